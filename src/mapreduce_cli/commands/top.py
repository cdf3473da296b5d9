"""`mr top`: one screen about a job, as it changes."""

from __future__ import annotations

import sys
import time

import click

from mapreduce.errors import Unreachable, UsageError
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder, resolve

_LINE_EVERY_S = 5.0
_AGAIN_S = 1.0


@click.command(
    name="top",
    epilog="""\b
Examples:
  mr top out/                      of a `mr run` that is going on in another terminal
  mr top 3
  mr top wordcount -n team-a
\b
Ctrl-C ends the looking, not the job. Where stdout is no terminal: one line each five seconds.
Exit codes: 0 the job is complete, or you have looked enough; 1 it failed; 3 its coordinator has gone.""",
)
@job_argument()
@target_options
def command(job: str, target: Target) -> int:
    """Show a job on one screen while it runs.

    How far it is, what slows it, its workers, its failures.
    """
    client, number = _coordinator(resolve(job, target))
    try:
        return _live(client, number) if sys.stdout.isatty() else _plain(client, number)
    except KeyboardInterrupt:
        return 0


def _coordinator(named: Named) -> tuple[CoordinatorClient, int]:
    match named:
        case OfCoordinator(_, client, number):
            return client, number
        case OfCluster() as found:
            from mapreduce_cli.cluster.proxied import JOB_NUMBER, coordinator_client

            return coordinator_client(found.jobs, found.job), JOB_NUMBER
        case OfFolder(folder):
            from mapreduce.local.paths import typed_folder
            from mapreduce_cli.commands.logs import served_by

            served = served_by(folder)
            if served is None:
                name = typed_folder(folder)
                raise Unreachable(
                    f"nothing serves {folder} now; `mr why {name}` says how it went, `mr report {name}` shows it"
                )
            return served
        case OfClaim(_, uri):
            raise UsageError(f"the job that wrote {uri} is gone: there is nothing to look at")


def _plain(client: CoordinatorClient, number: int) -> int:
    from mapreduce_cli.screen import Picture
    from mapreduce_cli.viewing import frames_of

    picture, last_s = Picture(), 0.0
    for frame in frames_of(client, number):
        picture.take(frame)
        is_over = frame.status.state in FINAL_STATES
        if is_over or time.monotonic() - last_s >= _LINE_EVERY_S:
            last_s = time.monotonic()
            print(picture.line(), flush=True)
        if is_over:
            return 0 if frame.status.state == "Complete" else 1
    return 0


def _live(client: CoordinatorClient, number: int) -> int:
    from rich.live import Live

    from mapreduce_cli.screen import Picture
    from mapreduce_cli.viewing import frames_of

    picture = Picture()
    with Live(picture, screen=True, refresh_per_second=2, transient=False) as live:
        while True:
            try:
                for frame in frames_of(client, number):
                    picture.take(frame)
                    picture.is_connected = True
                    live.refresh()
                    if frame.status.state in FINAL_STATES:
                        break
                else:
                    continue
                break
            except Unreachable:
                if picture.frame is None:
                    raise
                picture.is_connected = False
                live.refresh()
                time.sleep(_AGAIN_S)
    print(picture.line())
    return 0 if picture.state == "Complete" else 1
