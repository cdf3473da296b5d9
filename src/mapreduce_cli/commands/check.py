"""`mr check`: a job's file, and with a sample its results, before it is run on everything."""

from __future__ import annotations

import subprocess
import sys

import click
import msgspec

from mapreduce_cli.options import JobOptions, check_options


@click.command(
    name="check",
    epilog="""\b
Examples:
  mr check wordcount.py                        does it import, are its functions callable?
  mr check wordcount.py sample.txt             run it on a sample, twice, and compare
\b
With a sample the job is run by the engine in one process and by the plain reference, and the outputs are
compared. A difference means a combiner that changes results, or functions that are not deterministic.""",
)
@check_options
def command(job: JobOptions) -> int:
    """Check a job's file, and with a sample its results, before running it.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml). Its code is imported in a child process.
    """
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
    if not job.inputs:
        return 0
    sys.stdout.flush()
    from mapreduce_cli.trial import Trial

    trial = Trial(name=prepared.name, spec=spec, bundle=prepared.bundle.data, sha256=prepared.bundle.sha256)
    # A child, for the user's code is imported there; its output is ours.
    child = subprocess.run(
        [sys.executable, "-P", "-m", "mapreduce_cli.trial"], input=msgspec.msgpack.encode(trial), check=False
    )
    return child.returncode
