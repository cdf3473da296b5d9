"""Looking at a job's runs after a reader reported one as lost: which are really gone? Blocking, off the event loop.

The reported ones are read and verified whole; of the others only presence and size are looked at, so that a lost folder
is noticed at once and not run by run. What cannot be told now (a volume that is away, no descriptor left) is not lost.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from mapreduce.dataplane.runcheck import check_run
from mapreduce.errors import CorruptRun
from mapreduce.protocol.messages import AttemptId
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.tasks import Output
from mapreduce.scheduling.transitions import TaskState

_log = logging.getLogger(__name__)


def committed_runs(job: Job) -> list[Output]:
    """The runs that a reduce of `job` reads, taken from the state at once."""
    table = job.maps
    outputs = (table.output(index) for index in range(table.count) if table.state[index] == TaskState.COMMITTED)
    return [output for output in outputs if output.has_file]


def find_lost(folder: Path, runs: Sequence[Output], reported: Collection[int]) -> tuple[tuple[AttemptId, ...], str]:
    """Attempts whose run is gone or damaged, and what is wrong with the first; `reported` are map indexes."""
    lost: list[AttemptId] = []
    first = ""
    unknown: list[OSError] = []
    for run in runs:
        path = folder / f"{run.id.stem}.run"
        try:
            problem = _problem(path, run, is_reported=run.id.index in reported)
        except OSError as error:
            unknown.append(error)
            continue
        if problem:
            first = first or problem
            lost.append(run.id)
    if unknown:
        _log.warning("Of %d runs it cannot be told now whether they are lost: %s.", len(unknown), unknown[0])
    return tuple(lost), first


def remove(folder: Path, runs: Collection[AttemptId]) -> None:
    """Deletes what is left of these copies."""
    for run in runs:
        path = folder / f"{run.stem}.run"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("The damaged copy %s cannot be deleted: %s.", path, error.strerror or error)


def _problem(path: Path, run: Output, *, is_reported: bool) -> str:
    """Why the run is lost, or "". Raises OSError when that cannot be told."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"run {path.name} is gone"
    if size != run.bytes:
        return f"run {path.name} has {size} bytes, {run.bytes} were committed"
    if is_reported:
        try:
            check_run(path, run.digest)
        except CorruptRun as error:
            return str(error)
    return ""
