"""`mr wait`: until a job has ended."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.connect import Address, Found
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder, resolve
from mapreduce_cli.options import duration


@click.command(
    name="wait",
    epilog="""\b
Examples:
  mr wait 1
  mr wait wordcount --timeout 10m
  mr wait wordcount -n team-a
  mr wait out/
\b
Exit codes: 0 complete, 1 failed, cancelled or not ended in time, 3 coordinator or cluster unreachable.""",
)
@job_argument()
@target_options
@click.option("--timeout", type=duration, metavar="TIME", help="Wait no longer than this.  [for ever]")
def command(job: str, target: Target, timeout: int | None) -> int:
    """Wait until a job has ended; the exit code says how.

    A job is named by its id, its name (the latest of that name), or its output: a folder, or pvc://CLAIM/PATH.
    """
    return wait_for_resolved(resolve(job, target), timeout)


def wait_for_resolved(named: Named, timeout: int | None) -> int:
    """Wait for a job wherever it is."""
    match named:
        case OfCluster() as found:
            from mapreduce_cli.cluster.following import wait_for

            return wait_for(found, timeout_s=timeout)
        case OfClaim(_, uri):
            raise UsageError(f"no MapReduceJob writes to {uri}; `mr get {uri}` reads what lies there")
        case OfCoordinator(_, client, number) as at:
            from mapreduce_cli.waiting import wait_for_job

            return wait_for_job(client, number, name=at.command_name, timeout_s=timeout)
        case OfFolder(folder):
            return _wait_for_folder(folder, timeout)


def _wait_for_folder(folder: Path, timeout: int | None) -> int:
    """By the folder alone: its result, or its owner record, which names the coordinator that writes there."""
    from mapreduce.local.claiming import look_into
    from mapreduce.local.paths import OutputPaths, typed_folder
    from mapreduce.protocol.endpoint import ENDPOINT_FILE
    from mapreduce_cli.waiting import wait_for_job

    paths = OutputPaths(folder.absolute())
    view = look_into(paths)
    if view.is_complete:
        return 0
    if view.owner is None:
        raise UsageError(f"{folder} holds no job of ours, or none yet; name the folder that was given as -o")
    if view.owner.end:
        ended = f"job '{view.owner.job_name}' has ended: {view.owner.end}"
        click.echo(f"mr: {ended}; `mr why {typed_folder(folder)}` says more", err=True)
        return 0 if view.owner.end == "Complete" else 1
    state = Path(view.owner.state_folder) if view.owner.state_folder else paths.state
    if state == paths.state and not (state / ENDPOINT_FILE).exists():
        raise Unreachable(
            f"{folder} holds an unfinished `mr run`, and nobody runs it; the same command goes on with it"
        )
    number = view.owner.job
    name = f"{number}{Address(folder=state).options}"  # a folder can be waited for, but nothing is cancelled by it
    return wait_for_job(Found(folder=state).client(), number, name=name, timeout_s=timeout)
