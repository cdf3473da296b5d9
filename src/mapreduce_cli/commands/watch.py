"""`mr watch`: what becomes of a job, line by line or as bars, until it has ended."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.commands.wait import wait_for_resolved
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import resolve


@click.command(
    name="watch",
    epilog="""\b
Examples:
  mr watch wordcount -n team-a
  mr watch 3 --dir state/
  mr watch out/
\b
Ctrl-C ends the watching, not the job. Exit codes as for `mr wait`.""",
)
@job_argument()
@target_options
def command(job: str, target: Target) -> int:
    """Watch a job until it has ended.

    On a terminal as bars, elsewhere one line each five seconds; then how it ended, as for `mr wait`.
    """
    return wait_for_resolved(resolve(job, target), None)
