"""`mr rm`: delete cluster jobs and all that they own."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, cluster_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import in_cluster
from mapreduce_cli.options import duration


@click.command(
    name="rm",
    epilog="""\b
Examples:
  mr rm wordcount -n team-a
  mr ls -n team-a -o name | xargs mr rm -n team-a
  mr rm wordcount -n team-a --wait 2m
\b
Pods, log and intermediate runs go; the output stays. A job that runs is ended.""",
)
@job_argument("JOB...", name="jobs", nargs=-1, required=True)
@cluster_options
@click.option("--wait", "wait_s", type=duration, metavar="TIME", help="Wait so long until they are gone.  [not at all]")
def command(jobs: tuple[str, ...], target: Target, wait_s: int | None) -> int:
    """Delete jobs of a cluster and all that they own; outputs stay.

    Names are looked up first: if one is wrong, none is deleted.
    """
    found = [in_cluster(name, target) for name in jobs]
    for one in found:
        one.jobs.delete(one.job.name, uid=one.job.uid)
        click.echo(f'mapreducejob.mapreduce.dev "{one.job.name}" deleted')
    if wait_s is None:
        return 0
    import time

    from mapreduce_cli.cluster.following import follow_to_deletion

    deadline_s = time.monotonic() + wait_s
    left = [one.job.name for one in found if not follow_to_deletion(one, deadline_s=deadline_s)]
    if left:
        click.echo(f"mr: still there: {', '.join(left)}", err=True)
    return 1 if left else 0
