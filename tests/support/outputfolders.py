"""Output folders of every kind that a coordinator may find, and claims on them that are killed at any step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from mapreduce.coordinator.outputs import Claimant, claim_output, note_end, read_owner
from mapreduce.coordinator.statefiles import FolderLock
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.ownerrecord import End, OwnerRecord


def spec_for(folder: Path, *, replace: bool = False) -> JobSpec:
    overwrite = Output(uri=str(folder), overwrite="Replace" if replace else "Refuse")
    return JobSpec(code=Code(inline="-"), inputs=(Input(uri="in"),), output=overwrite)


def claimant(job: int = 1, store: str = "ab") -> Claimant:
    return Claimant(store, Path("/state"), job, f"job-{job}", "0" * 64)


def owner(folder: Path) -> int:
    record = read_owner(folder / "_mapreduce" / "owner.json")
    assert record is not None
    return record.job


def finished(folder: Path) -> None:
    """A folder with a finished result of ours, and a file of the user's."""
    claim_output(spec_for(folder), claimant(1))
    (folder / "part-00000").write_text("a\t1\n")
    (folder / "part-00001").write_text("b\t1\n")
    (folder / "_SUCCESS").write_bytes(msgspec.json.encode({"parts": {"part-00000": {}, "part-00001": {}}}))
    (folder / "_mapreduce" / "log").mkdir()
    (folder / "_mapreduce" / "log" / "segment").write_text("x")
    note_end(spec_for(folder), claimant(1), "Complete")


def run_here(folder: Path, end: End = "") -> None:
    """What an `mr run` leaves, with a record that says so or not how it ended."""
    for name in ("code", "jobs", "log", "workers"):
        (folder / "_mapreduce" / name).mkdir(parents=True)
        (folder / "_mapreduce" / name / "file").write_text("x")
    for name in ("inputs.json", "lock"):
        (folder / "_mapreduce" / name).write_text("")
    record = OwnerRecord(job_name="run", store_id="ef", job=1, end=end)
    (folder / "_mapreduce" / "owner.json").write_bytes(msgspec.json.encode(record))


def finished_here(folder: Path) -> None:
    """The result of an `mr run` that was killed before it said how it ended."""
    run_here(folder)
    (folder / "part-00000").write_text("a\t1\n")
    (folder / "_SUCCESS").write_bytes(msgspec.json.encode({"parts": {"part-00000": {}}}))


def state_names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "_mapreduce").iterdir() if path.suffix != ".tmp")


#: What may lie in a folder that a job is given.
BEFORE: Final[dict[str, Callable[[Path], None]]] = {
    "nothing": lambda folder: None,
    "finished": finished,
    "finished here": finished_here,
    "failed here": lambda folder: run_here(folder, "Failed"),
}


class Killed(BaseException):
    """The process ends here."""


def kill_at(monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    """Every change of a folder is a step; from the N-th on none is made any more, and locks are given up.

    What lies in a folder is found in the order of names, so that each run takes the same steps.
    """
    count = 0

    def wrap(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > position:
                raise Killed
            return change(*args, **kwargs)

        return run

    for name in ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink", "write"):
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    release, iterdir = FolderLock.release, Path.iterdir
    monkeypatch.setattr(
        FolderLock, "release", lambda lock, *, remove=False: release(lock, remove=remove and count <= position)
    )
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(sorted(iterdir(folder))))


def killed_at_each_step(root: Path, before: Callable[[Path], None], spec: Callable[[Path], JobSpec]) -> Iterator[Path]:
    """Folders as a claim of job 2 leaves them that is killed before each of its steps in turn; and one at its end."""
    for position in range(1000):
        folder = root / str(position)
        before(folder)
        is_killed = True
        with pytest.MonkeyPatch.context() as monkeypatch, contextlib.suppress(Killed):
            kill_at(monkeypatch, position)
            claim_output(spec(folder), claimant(2))
            is_killed = False
        yield folder
        if not is_killed:
            assert position > 5
            return
    raise AssertionError("no end of steps")
