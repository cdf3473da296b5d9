"""`mr wait`: until a job has ended."""

from __future__ import annotations

from pathlib import Path

import click

from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.connect import Address, Found, as_folder, coordinator_options, find, find_job
from mapreduce_cli.options import duration


@click.command(
    name="wait",
    epilog="""\b
Examples:
  mr wait 1
  mr wait wordcount --timeout 10m
  mr wait out/
\b
Exit codes: 0 complete, 1 failed, cancelled or not ended in time, 3 coordinator unreachable.""",
)
@click.argument("job", metavar="JOB|OUT")
@coordinator_options
@click.option("--timeout", type=duration, metavar="TIME", help="Wait no longer than this.  [for ever]")
def command(job: str, address: Address, timeout: int | None) -> int:
    """Wait until a job has ended; the exit code says how.

    A job is named by its id, its name (the latest of that name), or its output folder.
    """
    from mapreduce_cli.waiting import wait_for_job

    folder = as_folder(job)
    if folder is None:
        client = find(address).client()
        return wait_for_job(client, find_job(client, job), timeout_s=timeout)
    return _wait_for_folder(folder, timeout)


def _wait_for_folder(folder: Path, timeout: int | None) -> int:
    """By the folder alone: its result, or its owner record, which names the coordinator that writes there."""
    from mapreduce.local.claiming import look_into
    from mapreduce.local.paths import OutputPaths
    from mapreduce.protocol.endpoint import ENDPOINT_FILE
    from mapreduce_cli.waiting import wait_for_job

    paths = OutputPaths(folder.absolute())
    view = look_into(paths)
    if view.is_complete:
        return 0
    if view.owner is None:
        raise UsageError(f"{folder} holds no job of ours, or none yet")
    if view.owner.end:
        click.echo(f"mr: job '{view.owner.job_name}' has ended: {view.owner.end}", err=True)
        return 0 if view.owner.end == "Complete" else 1
    state = Path(view.owner.state_folder) if view.owner.state_folder else paths.state
    if state == paths.state and not (state / ENDPOINT_FILE).exists():
        raise Unreachable(
            f"{folder} holds an unfinished `mr run`, and nobody runs it; the same command goes on with it"
        )
    return wait_for_job(Found(folder=state).client(), view.owner.job, timeout_s=timeout)
