"""`mr page`: an address that opens the page about a job."""

from __future__ import annotations

import sys

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import OfClaim, OfCluster, OfCoordinator, OfFolder, resolve


@click.command(
    name="page",
    epilog="""\b
Examples:
  mr page out/                     of a `mr run` that is going on
  mr page 3 --open                 of a coordinator's job, in the browser
  mr page wordcount -n team-a      of a job in a cluster, by way of the API server, until Ctrl-C
\b
The address is good once and for 15 minutes; the browser that opens it may read for a week.""",
)
@job_argument()
@click.option("--open", "opens", is_flag=True, help="Open it in the browser of this machine.")
@target_options
def command(job: str, opens: bool, target: Target) -> int:
    """Print an address that opens the page about a job.

    The page is live while the job runs; afterwards `mr report` writes it as a file.
    """
    match resolve(job, target):
        case OfCoordinator(_, client, number):
            _show(f"{client.address()}/#ticket={client.page_ticket()}&job={number}", opens)
            return 0
        case OfFolder(folder):
            from mapreduce.local.paths import typed_folder
            from mapreduce_cli.commands.logs import served_by

            served = served_by(folder)
            if served is None:
                name = typed_folder(folder)
                raise UsageError(f"nothing serves {folder} now; `mr report {name}` writes the same page as a file")
            client, number = served
            ticket = client.page_ticket()
            _show(f"{client.address()}/#ticket={ticket}&job={number}", opens)
            return 0
        case OfCluster() as found:
            from mapreduce_cli.cluster.pageproxy import serve_page

            return serve_page(found, lambda address: _show(address, opens))
        case OfClaim(_, uri):
            raise UsageError(f"the job that wrote {uri} is gone, and its page with it")


def _show(address: str, opens: bool) -> None:
    print(address, flush=True)
    if opens:
        import webbrowser

        if not webbrowser.open(address):
            print("mr: no browser was found here; open the address yourself", file=sys.stderr)
