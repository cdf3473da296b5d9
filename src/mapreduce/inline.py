"""The engine in one process, task after task, without coordinator and workers: for pdb, tests and samples.

Splits, map tasks, runs, merges and outputs are the real ones; only leases, retries and processes are missing. What the
user's functions raise comes through as it is, with a note that names the record.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mapreduce.api import Context
from mapreduce.coordinator.statefiles import replace_file
from mapreduce.dataplane.documents import download, is_url
from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.dataplane.work import MapWork, ReduceWork, RunSource
from mapreduce.errors import TaskFailed
from mapreduce.inlineinputs import with_files
from mapreduce.model import JobSpec, reducer_count
from mapreduce.protocol.messages import FileRange, Split, TaskOutput
from mapreduce.userjob import UserJob
from mapreduce.wal.files import make_folder, sync_folder


def run_inline(
    spec: JobSpec, job: UserJob, output: Path, *, job_of_task: Callable[[], UserJob] | None = None
) -> dict[str, int]:
    """Run the job here and write its parts and a `_SUCCESS` into `output`; the counters.

    `job_of_task` gives each task the functions that it calls, to see that none depends on what another one left.

    Raises what the user's functions raise; `TaskFailed` for what they emit wrongly and for bad inputs; `InvalidInput`.
    """
    make_folder(output)
    with tempfile.TemporaryDirectory(prefix="_inline-", dir=output) as scratch:
        files = [list_input(source) for source in with_files(spec, Path(scratch)).inputs]
        input_bytes = sum(file.bytes for listed in files for file in listed)
        splits = list(plan_inputs(spec, files))
        partitions = reducer_count(spec, input_bytes)
        return _InlineRun(spec, job, output, Path(scratch), partitions, job_of_task).run(splits)


class _InlineRun:
    """One run: its folders, and what its tasks have made so far."""

    def __init__(
        self,
        spec: JobSpec,
        job: UserJob,
        output: Path,
        scratch: Path,
        partitions: int,
        job_of_task: Callable[[], UserJob] | None,
    ) -> None:
        self._spec, self._job, self._output, self._scratch, self._partitions = spec, job, output, scratch, partitions
        self._job_of_task = job_of_task or (lambda: job)
        self._counters: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._parts: dict[str, dict[str, Any]] = {}
        self._fetched: dict[str, Path] = {}

    def run(self, splits: list[Split]) -> dict[str, int]:
        """All map tasks, then all reduce tasks, then the marker."""
        runs: list[RunSource] = []
        for index, split in enumerate(splits):
            target, made = self._map(index, split)
            if not self._partitions:
                self._publish(index, target, made)
            elif made.has_file:
                runs.append(RunSource(index, target, made.digest, f"map-{index}"))
        for partition in range(self._partitions):
            self._publish(partition, *self._reduce(partition, runs))
        self._write_success()
        return dict(self._counters)

    def _map(self, index: int, split: Split) -> tuple[Path, TaskOutput]:
        target = self._scratch / f"map-{index:05d}"
        work = MapWork(
            job=self._job_of_task(),
            context=self._context(f"map-{index}"),
            split=split,
            input=self._spec.inputs[split.input],
            map_index=index,
            partitions=self._partitions,
            budget_bytes=self._spec.workers.memory_budget_bytes,
            target=target,
            output_format=self._spec.output.format,
            header=RunHeader(job=1, index=index, attempt=1, epoch=1),
            input_paths=tuple(self._path(part) for part in split.files),
        )
        return target, self._carry_out(lambda: run_map(work))

    def _path(self, part: FileRange) -> str:
        """Where a file of a split is: a document behind a URL is fetched once, whole."""
        if not is_url(part.path):
            return part.path
        known = self._fetched.get(part.path)
        if known is None:
            known = self._fetched[part.path] = self._scratch / f"document-{len(self._fetched)}"
            download(part.path, known, headers={}, expected_bytes=part.size)
        return str(known)

    def _reduce(self, partition: int, runs: list[RunSource]) -> tuple[Path, TaskOutput]:
        target = self._scratch / f"reduce-{partition:05d}"
        work = ReduceWork(
            job=self._job_of_task(),
            context=self._context(f"reduce-{partition}"),
            partition=partition,
            sources=runs,
            budget_bytes=self._spec.workers.memory_budget_bytes,
            target=target,
            output_format=self._spec.output.format,
            scratch=self._scratch,
        )
        return target, self._carry_out(lambda: run_reduce(work))

    def _carry_out(self, task: Callable[[], TaskOutput]) -> TaskOutput:
        try:
            made = task()
        except TaskFailed as failure:
            raised = as_raised(failure)
        else:
            self._counters.update(made.counters)
            self._warnings.update(made.warnings)
            return made
        raise raised  # outside the handler: the user sees one exception, not one during the handling of another

    def _context(self, task_id: str) -> Context:
        return Context(job_name=self._job.name, task_id=task_id, args=self._spec.args)

    def _publish(self, index: int, made_at: Path, made: TaskOutput) -> None:
        if made.has_file:
            name = self._spec.output.name_template.format(partition=index)
            made_at.rename(self._output / name)
            self._parts[name] = {
                "bytes": made.bytes,
                "records": made.records,
                "xxh3": f"{made.digest:016x}",
                "keyType": made.key_type,
                "sorted": made.is_sorted,
            }

    def _write_success(self) -> None:
        content = {
            "format": 1,
            "name": self._job.name,
            "output": {
                "bytes": sum(part["bytes"] for part in self._parts.values()),
                "records": sum(part["records"] for part in self._parts.values()),
                "format": self._spec.output.format,
            },
            "counters": dict(sorted(self._counters.items())),
            "warnings": dict(sorted(self._warnings.items())),
            "parts": self._parts,
        }
        sync_folder(self._output)  # the parts are synced themselves: the marker is never there without one of them
        replace_file(self._output / "_SUCCESS", (json.dumps(content, indent=1) + "\n").encode())


def as_raised(failure: TaskFailed) -> BaseException:
    """What the user's own code raised, with the record as a note; a failure of ours stays as it is."""
    cause = failure.__cause__
    if failure.failure_class != "user" or cause is None or not failure.traceback:
        return failure
    if failure.record:
        cause.add_note(f"record: {failure.record}")
    return cause
