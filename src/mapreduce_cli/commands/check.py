"""`mr check`: a job's file, and with a sample its results, before it is run on everything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mapreduce_cli.options import JobOptions, check_options, duration, size

if TYPE_CHECKING:
    from mapreduce.local.preparing import PreparedJob
    from mapreduce_cli.checking.reports import Report
    from mapreduce_cli.checking.sampling import Sample

_SHOWN_LINES: Final = 5
#: Map tasks that a sample is cut into, so that what tasks have to do with one another shows.
_MAPS: Final = 4


@click.command(
    name="check",
    epilog="""\b
Examples:
  mr check wordcount.py                        does it import, are its functions callable?
  mr check wordcount.py 'books/*.txt'          try it on 1 MiB of the input, from many places
  mr check wordcount.py books/ --sample 64k    on less
\b
With an input, records of it are mapped and reduced one by one and then as whole jobs, in two processes under
different PYTHONHASHSEED: types that cannot be stored, functions that are not deterministic, combiners that change
results, values read twice and tasks that depend on one another are found and said with the fix.
Exit codes: 0 nothing wrong (there may be warnings), 1 a problem in the code, 2 wrong usage or code that cannot be
imported.""",
)
@check_options
@click.option("--sample", "sample_bytes", type=size, default="1MiB", metavar="SIZE", help="How much to try.  [1MiB]")
@click.option(
    "--records", type=click.IntRange(1), default=20_000, metavar="N", help="How many records to try.  [20000]"
)
@click.option("--timeout", "limit_s", type=duration, default="1m", metavar="TIME", help="How long to try.  [1m]")
@click.option("--strict", is_flag=True, help="Let warnings count as problems.")
def command(job: JobOptions, sample_bytes: int, records: int, limit_s: int, strict: bool) -> int:
    """Check a job's file, and with a sample its results, before running it.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml). Its code is imported in processes of
    its own.
    """
    from mapreduce_cli.checking.findings import describe, has_problems
    from mapreduce_cli.options import begin

    preparation = begin(job, is_check=True)
    try:
        prepared = preparation.finish()
    finally:
        preparation.abandon()
    spec = prepared.spec
    reducers = "one per 128 MiB" if spec.reducers is None else str(spec.reducers)
    click.echo(f"{job.file}: job '{prepared.name}' can be run")
    click.echo(f"  mapper {spec.mapper}, reducer {spec.reducer or '-'}, combiner {spec.combiner or '-'}")
    click.echo(f"  reduce tasks {reducers}, code {len(prepared.bundle.data):,} bytes")
    with tempfile.TemporaryDirectory(prefix="mapreduce-check-") as name:
        folder = Path(name)
        has_sample = bool(job.inputs)
        sample = _sample(prepared, folder, sample_bytes, records) if has_sample else None
        report = _try(prepared, sample, folder, limit_s)
    for line in _lines(report, sample):
        click.echo(line)
    for finding in report.findings:
        click.echo(describe(finding))
    is_wrong = has_problems(report.findings) or (strict and any(it.level == "warning" for it in report.findings))
    return 1 if is_wrong else 0


def _sample(job: PreparedJob, folder: Path, sample_bytes: int, records: int) -> Sample:
    from mapreduce_cli.checking.sampling import Limits, take_sample

    return take_sample(job.spec, folder, Limits(sample_bytes, records))


def _try(job: PreparedJob, sample: Sample | None, folder: Path, limit_s: int) -> Report:
    import msgspec

    from mapreduce_cli.checking.trying import try_out

    spec = job.spec
    if sample is not None:
        split = spec.split_size_bytes or max(1, sample.bytes // _MAPS)
        spec = msgspec.structs.replace(sample.spec, split_size_bytes=split)
    return try_out(job, spec, folder, has_sample=sample is not None, limit_s=limit_s)


def _lines(report: Report, sample: Sample | None) -> Iterator[str]:
    """What was tried and what came out of it."""
    from mapreduce.units import format_size
    from mapreduce_cli.checking.reports import ENGINE
    from mapreduce_cli.summary import WARNING_TEXTS, plural

    if sample is None:
        return
    part = "the whole input" if sample.is_whole else f"of {format_size(sample.input_bytes)}"
    yield f"sample: {format_size(sample.bytes)} ({part}), {plural(sample.records, 'record')}"
    yield f"  mapper: {plural(report.pairs, 'pair')} of {plural(report.records, 'record')}" + (
        f", {plural(report.keys, 'key')}" if report.keys else ""
    )
    parts = report.outputs.get(ENGINE)
    if parts is not None:
        lines = sum(content.count(b"\n") for content in parts.values())
        has_problem = any(finding.level == "problem" for finding in report.findings)
        same = "" if has_problem else ", the same by the engine and by the reference"
        yield f"  output: {plural(lines, 'record')} in {plural(len(parts), 'part')}{same}"
        for content in list(parts.values())[:1]:
            for line in content.split(b"\n", _SHOWN_LINES)[: min(_SHOWN_LINES, content.count(b"\n"))]:
                yield f"    {line.decode('utf-8', 'replace')}"
    for name, count in sorted(report.counters.items()):
        yield f"  counter {name} {count:,}"
    for name, count in report.warnings.items():
        yield f"warning: {name} {count:,}: {WARNING_TEXTS.get(name, '')}".rstrip(": ")
    if report.is_cut_short:
        yield "note: the time was over before everything was tried; give a smaller --sample or a longer --timeout"
