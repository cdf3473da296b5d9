"""`mr doctor`: whether what jobs need is there, on this machine or in a cluster."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.tables import format_option

_MARKS = {"ok": "ok", "note": "note", "bad": "BAD", "unknown": "?"}


@click.command(
    name="doctor",
    epilog="""\b
Examples:
  mr doctor                      this machine
  mr doctor --dir state/         and a state folder
  mr doctor -n team-a            a cluster: access, CRD, operator, storage, rights
\b
Exit codes: 0 nothing is wrong, 1 something is, 3 the cluster does not answer.""",
)
@target_options
@format_option
def command(target: Target, format_: str) -> int:
    """Check this machine, or a cluster, for what jobs need.

    Nothing is changed. Each line that is not ok says what to do.
    """
    from mapreduce_cli import health
    from mapreduce_cli.tables import Column, render

    if target.means_cluster:
        from mapreduce_cli.cluster.health import check_cluster

        found = check_cluster(target)
    else:
        found = health.check_machine(target.address.folder)
    if format_ in {"table", "wide"}:
        for one in found:
            click.echo(f"{_MARKS[one.verdict]:<5} {one.subject}: {one.finding}")
            if one.fix:
                click.echo(f"      {one.fix}")
    else:
        columns: list[Column[health.Finding]] = []
        click.echo(render(found, columns, format_, name=lambda one: one.subject), nl=False)
    return 1 if any(one.verdict == "bad" for one in found) else 0
