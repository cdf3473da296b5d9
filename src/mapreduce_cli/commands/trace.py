"""`mr trace`: a job's attempts for Perfetto."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.files import write_whole
from mapreduce_cli.jobnames import resolve


@click.command(
    name="trace",
    epilog="""\b
Examples:
  mr trace out/ > trace.json           then open it in Perfetto, or chrome://tracing
  mr trace wordcount -n team-a -o trace.json""",
)
@click.argument("job", metavar="JOB|OUT")
@click.option("-o", "--output", "target_file", metavar="FILE", default="-", help="Where to.  [stdout]")
@target_options
def command(job: str, target_file: str, target: Target) -> int:
    """Print a job's attempts in Chrome's trace format, for Perfetto.

    Each worker is a process in it, each slot a thread.
    """
    from mapreduce_cli.viewing import view_of

    write_whole(target_file, view_of(resolve(job, target)).trace())
    return 0
