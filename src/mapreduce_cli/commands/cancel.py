"""`mr cancel`: end a job without a result."""

from __future__ import annotations

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import OfClaim, OfCluster, OfCoordinator, OfFolder, resolve


@click.command(
    name="cancel",
    epilog="""\b
Examples:
  mr cancel 3
  mr cancel wordcount --dir state/
  mr cancel wordcount -n team-a
\b
In a cluster the coordinator ends the job, which then is Failed with reason Cancelled; `mr rm` deletes it.
A `mr run` is ended by Ctrl-C instead; the same command then goes on.""",
)
@job_argument("JOB")
@target_options
def command(job: str, target: Target) -> int:
    """Cancel a job.

    Its tasks are ended and nothing of it is published. A job that has ended stays as it is.
    """
    match resolve(job, target):
        case OfCoordinator(_, client, number):
            status = client.cancel(number)
            click.echo(f"job {status.job} '{status.name}' is {status.state}")
        case OfCluster() as found:
            _cancel_in_cluster(found)
        case OfClaim(_, uri):
            raise UsageError(f"no MapReduceJob writes to {uri}: there is nothing to cancel")
        case OfFolder(folder):
            raise UsageError(
                f"{folder} is an output folder: end its `mr run` by Ctrl-C, or name the job of its coordinator by id"
            )
    return 0


def _cancel_in_cluster(found: OfCluster) -> None:
    from mapreduce_cli.cluster.proxied import JOB_NUMBER, CoordinatorGone, coordinator_client

    job = found.job
    if job.is_finished:
        raise UsageError(f"job '{job.name}' has ended already ({job.status.state}); `mr rm` deletes it")
    try:
        status = coordinator_client(found.jobs, job).cancel(JOB_NUMBER)
    except CoordinatorGone as error:
        raise CoordinatorGone(
            f"job '{job.name}' has no coordinator that could cancel it ({error.problem}); "
            f"`mr rm {found.command_name}` deletes it"
        ) from None
    click.echo(f"job '{job.name}' is {status.state}")
