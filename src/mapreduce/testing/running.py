"""`run_job`: a job on records in memory, by the reference, by the engine in this process, or by the whole engine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mapreduce.errors import JobFailed
from mapreduce.inline import run_inline
from mapreduce.model import InputFormat, JobSpec
from mapreduce.sequential import run_sequential
from mapreduce.testing.jobs import Asked, Engine, JobLike, Tested, spec_of, tested_job
from mapreduce.testing.outcomes import Outcome, read_outcome
from mapreduce.testing.recordfiles import Records
from mapreduce.userjob import Names

_NO_ARGS: Mapping[str, object] = {}


def run_job(
    job: JobLike,
    records: Records,
    *,
    engine: Engine = "oracle",
    args: Mapping[str, object] = _NO_ARGS,
    format: InputFormat | None = None,  # noqa: A002 - the option's name everywhere else
    reducers: int | None = None,
    splits: int | None = None,
    workers: int = 2,
    mapper: str | None = None,
    reducer: str | None = None,
    combiner: str | None = None,
    folder: Path | None = None,
) -> Outcome:
    """Run a job on records in memory and wait for it.

    `job` is a `Job`, a module with `mapper` and `reducer`, or the path of its file; `records` lines (or, by the job's
    format, JSON values, rows, contents), or a dict of files by name, or a `Path` to read. `splits` cuts the input into
    about so many map tasks. By default nothing but the job's functions runs, in this process (a debugger stops there);
    `engine="inline"` takes the engine's own reading, grouping and merging, `engine="workers"` everything.

    Raises what the functions raise, and `JobFailed` with `engine="workers"`.
    """
    tested = tested_job(job, Names(mapper, reducer, combiner))
    asked = Asked(args=args, format=format, output_format="jsonl", reducers=reducers, splits=splits)
    if folder is not None:
        return run_tested(tested, spec_of(tested, records, folder, asked), engine, workers)
    with tempfile.TemporaryDirectory(prefix="mapreduce-test-") as temporary:
        return run_tested(tested, spec_of(tested, records, Path(temporary), asked), engine, workers)


def run_tested(tested: Tested, spec: JobSpec, engine: Engine, workers: int = 2) -> Outcome:
    """Run one of `testing.jobs`; see `run_job`."""
    output = Path(spec.output.uri)
    match engine:
        case "oracle":
            run_sequential(spec, tested.functions(spec), output)
        case "inline":
            run_inline(spec, tested.functions(spec), output)
        case "workers":
            from mapreduce.local.run import run_job as run_here

            status = run_here(spec, name=tested.name, source=tested.source, workers=workers)
            if status.state != "Complete":
                raise JobFailed(status.reason or status.state, status.message)
    return read_outcome(output)
