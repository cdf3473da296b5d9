"""`mr coordinator`: serve a state folder until told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mapreduce.coordinator.host import Host


@click.command(
    name="coordinator",
    epilog="""\b
Examples:
  mr coordinator --dir state/
  mr worker --dir state/              in another terminal, as many as you like
  mr submit wordcount.py books/ -o out/ ; mr ls ; mr wait 1
\b
It listens on this machine only unless --host says otherwise. Tokens are in FOLDER/token (mode 0600).
Stopped or killed, the same command takes all jobs up where they were; workers wait for it and come back.""",
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="FOLDER",
    help="State folder: log, code, jobs. Made if it does not exist.",
)  # fmt: skip
@click.option("--host", "address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on.  [the last one if it is free, else any]"
)
@click.option("--page/--no-page", "has_page", default=True, help="Serve the page about jobs.  [page]")
def command(folder: Path, address: str, port: int | None, has_page: bool) -> int:
    """Serve a state folder: jobs can be submitted, workers can join and leave."""
    from mapreduce.local.eventloop import run_loop

    # Not resolve(): the path the user knows is the one that is shown and that outputs are compared with.
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100
    return run_loop(lambda: _serve(absolute, address, port, has_page))


async def _serve(folder: Path, address: str, port: int | None, has_page: bool) -> int:
    from mapreduce.coordinator.host import HostSettings, serving, wait_for_end
    from mapreduce.local.interrupts import stop_on_signals
    from mapreduce.tracesending import TraceTarget

    traces = TraceTarget.from_environment(os.environ)
    settings = HostSettings(
        folder=folder, address=address, port=port, is_announced=True, has_page=has_page, traces=traces
    )
    with stop_on_signals(at_once=lambda: None) as stop:
        async with serving(settings) as host:
            print(_announcement(host, folder), flush=True)
            await wait_for_end(host.service, stop.event)
            print("mr: coordinator ends; its jobs go on when it is started again", file=sys.stderr, flush=True)
    return 0


def _announcement(host: Host, folder: Path) -> str:
    url, page = host.url, host.page_address()
    opened = f"  page:           {page} (good once; mr page prints another)\n" if page else ""
    return (
        f"coordinator at {url} serves {folder} (epoch {host.service.epoch})\n"
        f"{opened}"
        f"  more workers:   mr worker --coordinator {url}\n"
        f"  submit a job:   mr submit --coordinator {url} FILE.py INPUT... -o OUT\n"
        f"  on another machine, bring the file {folder / 'token'} and give it with --token-file"
    )
