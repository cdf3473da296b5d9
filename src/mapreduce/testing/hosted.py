"""The process that `kill_anything` starts, and kills, to run a job: `python -m mapreduce.testing.hosted REQUEST`.

Run again with the same request it goes on where the log ends, as `mr run` does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mapreduce.errors import MapReduceError
from mapreduce.local.run import run_job
from mapreduce.testing.request import Request
from mapreduce.typed import from_json


def main(path: Path) -> int:
    """Run the job; the exit code. What went wrong is said on stderr."""
    request = from_json(path.read_bytes(), Request)
    try:
        status = run_job(request.spec, name=request.name, source=Path(request.source), workers=request.workers)
    except MapReduceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if status.state != "Complete":
        sys.stderr.write(f"{status.reason}: {status.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
