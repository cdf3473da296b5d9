"""Carries out one order: the job's functions, loaded once, applied by the data plane. No sockets, no processes."""

from __future__ import annotations

import os
from pathlib import Path

from mapreduce.api import Context
from mapreduce.bundle import load_job, source_in
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.tracing import RecordTrace
from mapreduce.dataplane.work import MapWork, ReduceWork, RunSource
from mapreduce.errors import TaskFailed
from mapreduce.protocol.messages import JobDefinition, TaskOutput
from mapreduce.userjob import UserJob
from mapreduce_worker.executor.messages import Job, Order


class JobTasks:
    """All tasks of one job that this executor runs. The user's code is imported by the first of them.

    So what the code does when it is imported (print, fail, hang, crash) belongs to an attempt like everything else.
    """

    def __init__(self, job: Job) -> None:
        self.definition: JobDefinition = job.definition
        self._folder = Path(job.code_folder)
        self._functions: UserJob | None = None
        self._made_folders: set[str] = set()

    def run(self, order: Order) -> TaskOutput:
        """Run one attempt to its end; raises whatever `failures.failure_of` knows how to tell."""
        if self._functions is None:
            self._functions = load_job(source_in(self._folder), self.definition.spec, name=self.definition.name)
        target = Path(order.target)
        self._make_folder_of(order.target)
        try:
            if order.id.kind == "map":
                return self._map(order, self._functions, target)
            return self._reduce(order, self._functions, target)
        except BaseException:
            self._made_folders.clear()  # one may have been removed: the next attempt looks again
            raise

    def _map(self, order: Order, functions: UserJob, target: Path) -> TaskOutput:
        if order.split is None:
            raise TaskFailed("system", f"{order.id} came without a split. Use one release everywhere.")
        trace: RecordTrace | None = None
        if order.trace:
            self._make_folder_of(order.trace)
            trace = RecordTrace(Path(order.trace))
        try:
            return run_map(
                MapWork(
                    job=functions,
                    context=self._context(order, None),
                    split=order.split,
                    input=self.definition.spec.inputs[order.split.input],
                    map_index=order.id.index,
                    partitions=self.definition.partitions,
                    budget_bytes=order.budget_bytes,
                    target=target,
                    output_format=self.definition.spec.output.format,
                    header=RunHeader(
                        job=order.id.job, index=order.id.index, attempt=order.id.attempt, epoch=order.id.epoch
                    ),
                    trace=trace,
                    input_paths=order.inputs,
                )
            )
        finally:
            if trace is not None:
                trace.close()

    def _reduce(self, order: Order, functions: UserJob, target: Path) -> TaskOutput:
        scratch = Path(order.scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        return run_reduce(
            ReduceWork(
                job=functions,
                context=self._context(order, order.id.index),
                partition=order.id.index,
                sources=[
                    RunSource(map_index=run.map.index, path=Path(run.path), digest=run.digest, name=run.map.stem)
                    for run in order.sources
                ],
                budget_bytes=order.budget_bytes,
                target=target,
                output_format=self.definition.spec.output.format,
                scratch=scratch,
            )
        )

    def _context(self, order: Order, partition: int | None) -> Context:
        return Context(
            job_name=self.definition.name,
            task_id=order.id.task,
            attempt=order.id.attempt,
            args=self.definition.spec.args,
            partition=partition,
        )

    def _make_folder_of(self, file: str) -> None:
        folder = os.path.dirname(file)  # noqa: PTH120 - for each task: a Path costs more than the rest of this
        if folder not in self._made_folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._made_folders.add(folder)
