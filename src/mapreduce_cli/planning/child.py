"""The process of `mr plan` that imports and runs a job's code: `python -m mapreduce_cli.planning.child`.

Real map and reduce tasks of the data plane, timed. Reads a `Request` from stdin, writes `Measures` into its file.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from mapreduce.api import Context
from mapreduce.bundle import load_job, open_bundle
from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.dataplane.work import MapWork, ReduceWork, RunSource
from mapreduce.errors import MapReduceError, TaskFailed
from mapreduce.model import JobSpec
from mapreduce.protocol.messages import Split
from mapreduce.typed import from_msgpack
from mapreduce.userjob import UserJob
from mapreduce_cli.planning.measures import Measure, Measures, Request

_ONE_SPLIT = 1 << 40


def measure(spec: JobSpec, job: UserJob, folder: Path) -> Measure:
    """One go over a sample. Raises `TaskFailed`."""
    folder.mkdir()
    files = [list_input(source) for source in spec.inputs]
    splits = list(plan_inputs(msgspec.structs.replace(spec, split_size_bytes=_ONE_SPLIT), files))
    before = _peak_bytes()
    gc.disable()  # as executors do while a task runs
    started_s = time.perf_counter()
    runs, made = [], []
    for index, split in enumerate(splits):
        work = _map_work(spec, job, index, split, folder)
        output = run_map(work)
        made.append(output)
        if output.has_file and spec.reducers != 0:
            runs.append(RunSource(index, work.target, output.digest, f"map-{index}"))
    map_s = time.perf_counter() - started_s
    gc.enable()
    grouping = _peak_bytes() - before
    total = {name: sum(getattr(output, name) for output in made) for name in ("bytes", "records")}
    out, reduce_s = total, 0.0
    if spec.reducers != 0:
        started_s = time.perf_counter()
        reduced = run_reduce(_reduce_work(spec, job, runs, folder))
        reduce_s = time.perf_counter() - started_s
        out = {"bytes": reduced.bytes, "records": reduced.records}
    return Measure(
        input_bytes=sum(split.bytes for split in splits),
        input_records=sum(output.input_records for output in made),
        map_s=map_s,
        run_bytes=total["bytes"] if spec.reducers != 0 else 0,
        run_records=total["records"],
        reduce_s=reduce_s,
        output_bytes=out["bytes"],
        output_records=out["records"],
        grouping_bytes=max(0, grouping),
    )


def _map_work(spec: JobSpec, job: UserJob, index: int, split: Split, folder: Path) -> MapWork:
    return MapWork(
        job=job,
        context=Context(job_name=job.name, task_id=f"map-{index}", args=spec.args),
        split=split,
        input=spec.inputs[split.input],
        map_index=index,
        partitions=0 if spec.reducers == 0 else 1,
        budget_bytes=spec.workers.memory_budget_bytes,
        target=folder / f"map-{index}",
        output_format=spec.output.format,
        header=RunHeader(job=1, index=index, attempt=1, epoch=1),
    )


def _reduce_work(spec: JobSpec, job: UserJob, runs: list[RunSource], folder: Path) -> ReduceWork:
    return ReduceWork(
        job=job,
        context=Context(job_name=job.name, task_id="reduce-0", args=spec.args),
        partition=0,
        sources=runs,
        budget_bytes=spec.workers.memory_budget_bytes,
        target=folder / "reduce-0",
        output_format=spec.output.format,
        scratch=folder,
    )


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _measure_both(request: Request, folder: Path) -> Measures:
    started_s = time.monotonic()
    job = load_job(open_bundle(request.bundle, folder, sha256=request.sha256), request.large, name=request.name)
    base = _peak_bytes()
    try:
        measure(request.small, job, folder / "warm")  # imports and caches are not what the whole run is made of
        small = measure(request.small, job, folder / "small")
        spent_s = time.monotonic() - started_s
        is_slow = spent_s > request.limit_s / 4  # the larger one would take several times as long
        large = small if is_slow else measure(request.large, job, folder / "large")
    except TaskFailed as failure:
        place = f"\n  record    {failure.record}" if failure.record else ""
        return Measures(problem=f"{failure}{place}\n{failure.traceback}".rstrip())
    return Measures(small=small, large=large, base_bytes=base)


def main() -> int:
    """The child. Exit code 0 whenever there is an answer."""
    request = from_msgpack(sys.stdin.buffer.read(), Request)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="mapreduce-plan-") as folder:
        try:
            measures = _measure_both(request, Path(folder))
        except MapReduceError as error:
            measures = Measures(problem=str(error))
    Path(request.report).write_bytes(msgspec.msgpack.encode(measures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
