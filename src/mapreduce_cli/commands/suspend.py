"""`mr suspend` and `mr resume`: end a cluster job's pods and keep its work, and go on from there."""

from __future__ import annotations

import click

from mapreduce_cli.cluster.options import Target, cluster_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import in_cluster


@click.command(
    name="suspend",
    epilog="""\b
Examples:
  mr suspend wordcount -n team-a
  mr suspend pvc://results/wc -n team-a
\b
It sets spec.suspend, as `kubectl patch` would. Nothing committed is redone after `mr resume`.""",
)
@job_argument("JOB")
@cluster_options
def command(job: str, target: Target) -> int:
    """Suspend a job of a cluster: its pods end, its work stays.

    Committed work is brought to safety first, so the last pods go a little later.
    """
    return _set(job, target, suspend=True)


@click.command(
    name="resume",
    epilog="""\b
Examples:
  mr resume wordcount -n team-a""",
)
@job_argument("JOB")
@cluster_options
def resume_command(job: str, target: Target) -> int:
    """Go on with a suspended job of a cluster.

    It goes on where its log ends.
    """
    return _set(job, target, suspend=False)


def _set(name: str, target: Target, *, suspend: bool) -> int:
    found = in_cluster(name, target)
    done = "suspended" if suspend else "resumed"
    if found.job.is_finished:
        click.echo(f"job '{found.job.name}' has ended already: nothing to be {done}")
        return 0
    if bool(found.job.spec.get("suspend", False)) == suspend:
        click.echo(f"job '{found.job.name}' is {'suspended' if suspend else 'not suspended'} already")
        return 0
    found.jobs.patch(found.job.name, {"suspend": suspend})
    click.echo(f"job '{found.job.name}' is {'being suspended' if suspend else 'going on'}")
    return 0
