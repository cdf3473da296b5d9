"""`mr report`: the page about a job as one file."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.files import write_whole
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import resolve


@click.command(
    name="report",
    epilog="""\b
Examples:
  mr report out/                       of a `mr run`, going on or over; no process need be alive
  mr report out/ -o report.html
  mr report wordcount -n team-a        of a job in a cluster""",
)
@job_argument()
@click.option("-o", "--output", "target_file", metavar="FILE", help="Where to; - is stdout.  [NAME-report.html]")
@target_options
def command(job: str, target_file: str | None, target: Target) -> int:
    """Write the page about a job as one HTML file; no process need be alive.

    The file fetches nothing, and shows a job that still runs as it is now.
    """
    from mapreduce_cli.viewing import view_of

    view = view_of(resolve(job, target))
    name = target_file or f"{_safe(view.frame.status.name)}-report.html"
    write_whole(name, view.report())
    if name != "-":
        click.echo(f"{name}  {view.frame.status.name}: {view.frame.head.sentence}")
        click.echo(f"  open it in a browser: {Path(name).absolute().as_uri()}", err=True)
    return 0


def _safe(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in name).lstrip(".-") or "job"
