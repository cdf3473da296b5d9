"""`mr counters`: what a job's functions have counted."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce.units import format_count
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder, resolve
from mapreduce_cli.tables import Column, format_option, render


@click.command(
    name="counters",
    epilog="""\b
Examples:
  mr counters out/
  mr counters wordcount -n team-a
  mr counters 3 -o json""",
)
@job_argument()
@target_options
@format_option
def command(job: str, target: Target, format_: str) -> int:
    """Show what a job's functions have counted, so far or in all.

    Only committed attempts count, each task once.
    """
    counters = sorted(counters_of(resolve(job, target)).items())
    if format_ == "json":
        import json

        click.echo(json.dumps(dict(counters), indent=2))
        return 0
    if format_ == "yaml":
        import yaml

        click.echo(yaml.safe_dump(dict(counters), sort_keys=False, allow_unicode=True), nl=False)
        return 0
    if not counters and format_ != "name":
        click.echo("mr: the job has counted nothing", err=True)
        return 0
    columns: list[Column[tuple[str, int]]] = [
        Column("COUNTER", lambda entry: entry[0]),
        Column("COUNT", lambda entry: format_count(entry[1])),
    ]
    click.echo(render(counters, columns, format_, name=lambda entry: entry[0]), nl=False)
    return 0


def counters_of(named: Named) -> dict[str, int]:
    """The counters of a job wherever it is. Raises UsageError where nobody knows them any more."""
    match named:
        case OfCoordinator(_, client, number):
            return dict(client.status(number)[0].counters)
        case OfCluster() as found:
            from mapreduce.errors import Unreachable
            from mapreduce_cli.cluster.proxied import JOB_NUMBER, coordinator_client

            try:
                return dict(coordinator_client(found.jobs, found.job).status(JOB_NUMBER)[0].counters)
            except Unreachable:  # the object itself keeps the first fifty
                return dict(found.job.status.counters)
        case OfClaim(jobs, uri):
            from mapreduce_cli.cluster.reader import read_success_of

            return dict(read_success_of(jobs, uri).counters)
        case OfFolder(folder):
            return _of_folder(folder)


def _of_folder(folder: Path) -> dict[str, int]:
    from mapreduce.local.paths import OutputPaths
    from mapreduce.local.success import no_result, read_success

    success = read_success(OutputPaths(folder).success)
    if success is None:
        raise no_result(folder)
    return dict(success.counters)
