"""`mr scale`: another number of workers for a cluster job."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, cluster_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import in_cluster


@click.command(
    name="scale",
    epilog="""\b
Examples:
  mr scale wordcount --workers 8 -n team-a
  kubectl scale mapreducejob/wordcount --replicas 8 -n team-a      does the same
\b
Workers that go hand back what they hold; nothing committed is lost, and the result does not change.""",
)
@job_argument("JOB")
@click.option("--workers", type=click.IntRange(0, 10_000), metavar="N", required=True, help="How many workers.")
@cluster_options
def command(job: str, workers: int, target: Target) -> int:
    """Give a job of a cluster another number of workers.

    A job of a coordinator has as many workers as have joined it by `mr worker`.
    """
    found = in_cluster(job, target)
    if found.job.is_finished:
        click.echo(f"job '{found.job.name}' has ended already: it needs no workers")
        return 0
    found.jobs.scale(found.job.name, workers)
    click.echo(f"job '{found.job.name}' is to have {workers} worker{'' if workers == 1 else 's'}")
    return 0
