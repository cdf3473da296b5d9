"""`mr worker`: becomes a worker process. Nothing of the worker is imported here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mapreduce_cli.connect import Address, coordinator_options
from mapreduce_cli.options import duration


@click.command(
    name="worker",
    epilog="""\b
Examples:
  mr worker                                     the coordinator of yours that runs here
  mr worker --dir state/ --slots 4
  mr worker --coordinator http://host:8080 --token-file token
\b
Workers come and go at any time. One that is stopped gives back what it runs; one that is killed is noticed
by its silence. While the coordinator is away it waits and comes back to it.""",
)
@coordinator_options
@click.option(
    "--slots", type=click.IntRange(1, 1_024), default=1, show_default=True, metavar="N", help="Tasks to run at once."
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for what it fetches and serves.  [a temporary one]",
)
@click.option("--reconnect", type=duration, metavar="TIME", help="How long to wait for an absent coordinator.  [10m]")
@click.option("--name", metavar="NAME", help="Name of this worker; unique.  [host, process id and a random part]")
@click.option(
    "--serve-host",
    metavar="ADDRESS",
    help="Address of this machine at which workers on others fetch its runs (shuffle Peer).  [127.0.0.1]",
)
def command(
    address: Address,
    slots: int,
    scratch: Path | None,
    reconnect: int | None,
    name: str | None,
    serve_host: str | None,
) -> int:
    """Join a coordinator and run tasks until it is told to stop."""
    arguments = [sys.executable, "-m", "mapreduce_worker", *_where(address), "--slots", str(slots)]
    given = {"--scratch": scratch, "--reconnect-s": reconnect, "--name": name, "--serve-host": serve_host}
    for option, value in given.items():
        if value is not None:
            arguments += [option, str(value)]
    sys.stdout.flush()
    os.execv(sys.executable, arguments)  # noqa: S606 - our own module by our own interpreter


def _where(address: Address) -> list[str]:
    """The worker's own options for where the coordinator is; a folder is best, for it outlives a change of port."""
    from mapreduce_cli.connect import find

    if address.folder is not None:
        return ["--dir", str(address.folder.resolve())]  # it may appear later; the worker waits for it
    found = find(address)
    if found.folder is not None:
        return ["--dir", str(found.folder)]
    return ["--coordinator", found.url, "--token-file", str(found.token_file)]
