"""`python -m mapreduce.podcleanup`: removes what a deleted job left on claims that stay. Knows no Kubernetes.

Whole folders on claims that were given for log and runs, and in the output folder what is the job's and no result.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapreduce.coordinator.outputs import give_up_output


def main(arguments: Sequence[str]) -> int:
    """The container's process; its exit code. Everything is tried, whatever cannot be removed."""
    parser = argparse.ArgumentParser(prog="python -m mapreduce.podcleanup", description=__doc__)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="a folder that goes; may be repeated")
    parser.add_argument("--output", type=Path, help="output folder of the job")
    parser.add_argument("--owner", default="", help="the job, as its record in the output folder says")
    parser.add_argument("--pods", default="", help="how the names of its pods begin")
    asked = parser.parse_args(arguments)
    problems = []
    for folder in asked.folder:
        try:
            remove_folder(folder)
        except OSError as error:
            problems.append(str(error))
    if asked.output is not None and asked.owner and asked.pods:
        try:
            give_up_output(asked.output, asked.owner, asked.pods)
        except OSError as error:
            problems.append(str(error))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def remove_folder(folder: Path) -> None:
    """Removes a folder with all that is in it; a link stays. Raises OSError."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, onerror=_pass_over_what_is_harmless)


def _pass_over_what_is_harmless(_call: object, path: str, error: Any) -> None:
    """What is gone already; and files that a network volume still holds open for somebody, `.nfs...`."""
    if not isinstance(error[1], FileNotFoundError) and not os.path.basename(path).startswith(".nfs"):  # noqa: PTH119
        raise error[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
