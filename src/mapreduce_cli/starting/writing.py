"""Writing a new job: all of its files or none, and never over a file that is there."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mapreduce.errors import UsageError
from mapreduce_cli.starting.kinds import KINDS, Compute, Records, Where, code_of

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the person asked for."""

    name: str
    records: Records
    compute: Compute
    where: Where


def files_of(plan: Plan) -> dict[str, str]:
    """The contents of all files, by their names in the folder."""
    kind = KINDS[plan.records]
    code = code_of(plan.name, plan.records, plan.compute)
    return {
        "job.py": code,
        "test_job.py": _test(plan, code),
        "README.md": _readme(plan),
        f"data/{kind.sample_name}": kind.sample,
    }


def write(plan: Plan, folder: Path) -> list[Path]:
    """Write them; their paths. Raises UsageError, and writes nothing, when one of them is there."""
    contents = {folder / name: content for name, content in files_of(plan).items()}
    there = [path for path in contents if path.exists() or path.is_symlink()]
    if there:
        raise UsageError(f"{there[0]} is there already, and nothing is overwritten; name another folder")
    written: list[Path] = []
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(content)
    except OSError as error:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise UsageError(f"{folder} cannot be written: {error.strerror}; name another folder") from None
    return written


def name_for(folder: Path) -> str:
    """A name for a job in a folder, such as Kubernetes takes."""
    return _NOT_IN_NAMES.sub("-", folder.absolute().name.lower()).strip("-")[:50] or "job"


def _test(plan: Plan, code: str) -> str:
    kind = KINDS[plan.records]
    return f'''"""The job on a few records, and while its processes are being killed. Run with `pytest`."""

from pathlib import Path

from mapreduce.testing import assert_output

JOB = Path(__file__).with_name("job.py")
RECORDS = {kind.test_records}


def test_a_few_records(mr_run):
    assert_output(mr_run(JOB, RECORDS), {_expected(plan, code)!r})


def test_whatever_is_killed_the_result_is_the_same(mr_kill_anything):
    mr_kill_anything(JOB, Path(__file__).with_name("data"), kills=2)
'''


def _expected(plan: Plan, code: str) -> dict[Any, Any]:
    """What the new job gives for the records of its test."""
    from ast import literal_eval

    from mapreduce.testing import run_job

    with tempfile.TemporaryDirectory(prefix="mapreduce-init-") as folder:
        file = Path(folder) / "job.py"
        file.write_text(code, encoding="utf-8")
        return run_job(file, literal_eval(KINDS[plan.records].test_records)).as_dict()


def _readme(plan: Plan) -> str:
    pattern = " --arg pattern=rose" if plan.compute == "filter" else ""
    text = f"""# {plan.name}

```sh
mr check job.py data/                        # tries the code on a sample, says what is wrong and how to mend it
pytest                                       # the test beside it
mr plan job.py data/                         # how long, how large, how many tasks
mr run job.py data/ -o out/{pattern}
mr get out/                                  # the result; --top 10, --merge
```

`job.py` reads `data/`; put your own files there, or name others. Stopped or killed, `mr run` goes on where it was.
"""
    if plan.where == "cluster":
        text += f"""
In a cluster with the operator, the input on the claim `input`:

```sh
mr submit job.py pvc://input/ -o pvc://results/{plan.name} --output-size 1Gi --workers 4{pattern}
mr watch {plan.name}
mr get {plan.name} --top 10
mr manifest job.py pvc://input/ -o pvc://results/{plan.name} > job.yaml    # the same for kubectl apply
```

`--output-size` makes the claim `results` if there is none. It outlives the job.
"""
    return text
