"""One task once more, in this process: its recorded input, the job's recorded code, no coordinator and no worker.

What user code raises comes through as it is, so that a debugger shows where. Nothing of the job is changed: everything
is made in a folder of its own, and removed. Runs that a reduce task needs and that were deleted after the job are made
again from the inputs first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mapreduce.api import Context
from mapreduce.bundle import libraries_of, load_job, open_bundle
from mapreduce.coordinator.offline import read_state
from mapreduce.coordinator.plans import Plan
from mapreduce.coordinator.store import Store
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.work import MapWork, ReduceWork, RunSource
from mapreduce.errors import StorageFailed, TaskFailed, UsageError
from mapreduce.inline import as_raised
from mapreduce.loading import CodeSource
from mapreduce.protocol.messages import TaskOutput
from mapreduce.scheduling.policy import budget_bytes
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import TaskState
from mapreduce.userjob import UserJob

_TASK: Final = re.compile(r"(map|reduce)-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Replayed:
    """A task that ran to its end."""

    made: TaskOutput
    target: Path
    """What it wrote; gone when the block is left."""
    committed: TaskOutput | None
    """What the job has committed for it; None if nothing."""

    @property
    def is_same(self) -> bool:
        """The bytes are those that were committed."""
        return self.committed is not None and (self.made.bytes, self.made.digest) == (
            self.committed.bytes,
            self.committed.digest,
        )


class Replay:
    """One task of a job, ready to run."""

    def __init__(self, state: Path, number: int, task: str, *, edited: Path | None, scratch: Path) -> None:
        """Raises UsageError for a task that cannot be run here, InvalidUserCode for code that cannot be imported."""
        self._store, self._scratch = Store(state), scratch
        found = read_state(state).state.jobs.get(number)
        if found is None:
            raise UsageError(f"the log in {state} knows no job {number}")
        self._job: Final = found
        self._table, self._index = _task_of(found, task)
        self._plan: Final = self._load_plan()
        self._user: Final = self._load_code(edited)

    @property
    def last_failure(self) -> str:
        """How the newest failed attempt of the task is told, in one line; empty when none is known."""
        for note in reversed(self._job.failures):
            if (note.id.kind, note.id.index) == (self._table.kind, self._index):
                return f"attempt {note.id.attempt} failed: {note.failure.message.strip().partition(chr(10))[0]}"
        return ""

    def run(self, notice: Callable[[str], None]) -> Replayed:
        """Run it. Raises what the user's functions raise, and TaskFailed for everything else that ends an attempt."""
        if self._table.kind == "map":
            target, made = self._map(self._index)
        else:
            target, made = self._reduce(self._index, list(self._sources(notice)))
        return Replayed(made, target, self._committed())

    def _committed(self) -> TaskOutput | None:
        if self._table.state[self._index] != TaskState.COMMITTED:
            return None
        output = self._table.output(self._index)
        return TaskOutput(bytes=output.bytes, digest=output.digest, records=output.records, has_file=output.has_file)

    def _map(self, index: int) -> tuple[Path, TaskOutput]:
        job, split = self._job, self._plan.split(index)
        target = self._scratch / f"map-{index:05d}"
        work = MapWork(
            job=self._user,
            context=self._context(f"map-{index}", None),
            split=split,
            input=job.spec.inputs[split.input],
            map_index=index,
            partitions=job.reduces.count,
            budget_bytes=self._budget(job.maps, index),
            target=target,
            output_format=job.spec.output.format,
            header=RunHeader(job=job.id, index=index, attempt=max(1, job.maps.attempt[index]), epoch=1),
        )
        return target, _carry_out(lambda: run_map(work))

    def _reduce(self, index: int, sources: list[RunSource]) -> tuple[Path, TaskOutput]:
        job = self._job
        target = self._scratch / f"reduce-{index:05d}"
        work = ReduceWork(
            job=self._user,
            context=self._context(f"reduce-{index}", index),
            partition=index,
            sources=sources,
            budget_bytes=self._budget(job.reduces, index),
            target=target,
            output_format=job.spec.output.format,
            scratch=self._scratch,
        )
        return target, _carry_out(lambda: run_reduce(work))

    def _sources(self, notice: Callable[[str], None]) -> Iterator[RunSource]:
        """The runs of all maps: the job's own where they are still there, made again where not."""
        folder, maps = self._store.runs_folder(self._job.id), self._job.maps
        missing = []
        for index in range(maps.count):
            output = maps.output(index)
            path = folder / f"{output.id.stem}.run"
            if maps.state[index] == TaskState.COMMITTED and (not output.has_file or path.is_file()):
                if output.has_file:
                    yield RunSource(index, path, output.digest, output.id.stem)
            else:
                missing.append(index)
        if missing:
            notice(f"{len(missing)} of {maps.count} runs are gone; their maps run first, from the inputs")
        for index in missing:
            target, made = self._map(index)
            if made.has_file:
                yield RunSource(index, target, made.digest, f"map-{index}")

    def _budget(self, table: TaskTable, index: int) -> int:
        return budget_bytes(self._job.spec.workers.memory_budget_bytes, table.budget_shift[index])

    def _context(self, task: str, partition: int | None) -> Context:
        return Context(job_name=self._job.name, task_id=task, args=self._job.spec.args, partition=partition)

    def _load_plan(self) -> Plan:
        try:
            return self._store.plan(self._job.id, self._job.plan)
        except StorageFailed as error:
            raise UsageError(f"the job's plan is gone, and what each task reads with it: {error}") from error

    def _load_code(self, edited: Path | None) -> UserJob:
        data = self._store.code(self._job.code)
        if data is None:
            raise UsageError("the job's code bundle is gone; --edited FILE runs the task with a file of yours")
        source = open_bundle(data, self._scratch, sha256=self._job.code)
        if edited is not None:
            if not edited.is_file():
                raise UsageError(f"--edited {edited}: there is no such file")
            sys.path.insert(0, str(edited.absolute().parent))
            source = CodeSource(file=edited.absolute(), libraries=libraries_of(()))
        return load_job(source, self._job.spec, name=self._job.name)


def _task_of(job: Job, task: str) -> tuple[TaskTable, int]:
    match = _TASK.fullmatch(task)
    if match is None:
        raise UsageError(f"{task!r} is no task; tasks are called map-3 or reduce-0")
    table, index = (job.maps if match[1] == "map" else job.reduces), int(match[2])
    if index >= table.count:
        raise UsageError(f"job '{job.name}' has {table.count} {match[1]} tasks, and no {task}")
    return table, index


def _carry_out(task: Callable[[], TaskOutput]) -> TaskOutput:
    try:
        return task()
    except TaskFailed as failure:
        raised = as_raised(failure)
    raise raised  # outside the handler: the debugger shows one exception
