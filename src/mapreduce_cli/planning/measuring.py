"""Measuring a job in a process of its own, and what is known of its run without running anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.errors import JobFailed, UsageError
from mapreduce.inlineinputs import with_files
from mapreduce.local.preflight import default_worker_count
from mapreduce.local.preparing import PreparedJob
from mapreduce.model import JobSpec, Workers, reducer_count
from mapreduce.typed import from_msgpack
from mapreduce.userenvironment import user_environment
from mapreduce_cli.checking.sampling import Limits, Sample, take_sample
from mapreduce_cli.planning.measures import Measures, Request
from mapreduce_cli.planning.predicting import Shape

#: The smaller of the two samples.
_SMALL_SHARE: Final = 4
_ALL: Final = 1 << 62
#: A run starts a coordinator and workers, each of which imports about what the measuring process does.
_STARTS: Final = 2.0


def measure_job(job: PreparedJob, folder: Path, *, sample_bytes: int, limit_s: float) -> tuple[Measures, Sample, float]:
    """Measures, the larger sample, and how long the process took to be there.

    Raises UsageError, and JobFailed when the job's functions fail on the sample.
    """
    large = take_sample(job.spec, folder / "large", Limits(sample_bytes, _ALL))
    small = take_sample(job.spec, folder / "small", Limits(max(1, large.bytes // _SMALL_SHARE), _ALL))
    report = folder / "measures"
    request = Request(
        name=job.name,
        bundle=job.bundle.data,
        sha256=job.bundle.sha256,
        small=small.spec,
        large=large.spec,
        limit_s=limit_s,
        report=str(report),
    )
    environment = user_environment(os.environ, temporary=os.environ.get("TMPDIR"))
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-P", "-c", "import mapreduce_cli.planning.child"], env=environment, check=True)
    start_s = (time.monotonic() - started_s) * _STARTS
    try:
        done = subprocess.run(  # our own module by our own interpreter
            [sys.executable, "-P", "-m", "mapreduce_cli.planning.child"],
            input=msgspec.msgpack.encode(request),
            env=environment,
            stdout=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"the sample of {large.bytes:,} bytes takes longer than {limit_s:.0f} s; give a smaller --sample or a "
            f"longer --timeout"
        ) from None
    if not report.exists():
        raise JobFailed(
            "TaskFailed", f"the job's code ended the process that measured it (exit code {done.returncode})"
        )
    measures = from_msgpack(report.read_bytes(), Measures)
    if measures.problem:
        raise JobFailed("TaskFailed", f"the sample fails: {measures.problem}")
    return measures, large, start_s


def shape_of(
    job: PreparedJob, sample: Sample, folder: Path, *, workers: int | None, is_here: bool, start_s: float
) -> Shape:
    """Splits, reduce tasks and slots of the whole run; workers that are not here have a CPU for each slot."""
    spec = with_files(job.spec, folder / "inline")
    files = [list_input(source) for source in spec.inputs]
    stored = sample.stored_bytes or sample.bytes
    content = sample.bytes / stored if stored else 1.0
    splits = [round(split.bytes * content) for split in plan_inputs(spec, files)]
    cpus = default_worker_count()
    slots = (workers or usual_workers(spec, cpus, is_here=is_here)) * spec.workers.slots
    return Shape(
        split_bytes=splits,
        reduces=reducer_count(spec, sample.input_bytes),
        slots=slots,
        cpus=cpus if is_here else slots,
        start_s=start_s,
        budget_bytes=spec.workers.memory_budget_bytes,
    )


def usual_workers(spec: JobSpec, cpus: int, *, is_here: bool) -> int:
    """How many workers a run has of which nobody says so: in a cluster by the job, here by `mr run`'s rule."""
    usual = Workers().replicas
    if is_here:
        return cpus if spec.workers.replicas in (0, usual) else spec.workers.replicas
    return spec.workers.replicas or usual
