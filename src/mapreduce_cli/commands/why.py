"""`mr why`: one sentence about a job, and what to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import Named, OfClaim, OfCluster, OfCoordinator, OfFolder, resolve

if TYPE_CHECKING:
    from mapreduce_cli.why import Answer

_MOST_GROUPS = 5


@click.command(
    name="why",
    epilog="""\b
Examples:
  mr why out/                      a `mr run`, going on, stopped or failed
  mr why 3                         a job of a coordinator
  mr why wordcount -n team-a       quota, image, volume, bad record, skew, straggler, ...
\b
Failures are grouped by their cause. The exit code is 0 whatever the answer is.""",
)
@job_argument()
@click.option("-o", "--output", "format_", type=click.Choice(["text", "json"]), default="text", help="How to print.")
@target_options
def command(job: str, format_: str, target: Target) -> int:
    """Say in a sentence what a job waits for, or why it failed, and what to do.

    What the job's coordinator, its log, and in a cluster the operator know is put together; the first cause that
    explains everything after it is told.
    """
    answer = _ask(resolve(job, target))
    if format_ == "json":
        import dataclasses

        import msgspec

        plain = msgspec.to_builtins(dataclasses.asdict(answer), enc_hook=msgspec.to_builtins)
        click.echo(msgspec.json.format(msgspec.json.encode(plain), indent=2))
        return 0
    from mapreduce_cli.summary import describe_answer

    click.echo(describe_answer(answer, most_groups=_MOST_GROUPS))
    sys.stdout.flush()
    return 0


def _ask(named: Named) -> Answer:
    from mapreduce_cli import why

    match named:
        case OfCluster() as found:
            return why.of_cluster(found)
        case OfCoordinator() as at:
            return why.of_coordinator(at)
        case OfFolder(folder):
            return why.of_folder(folder)
        case OfClaim(_, uri):
            raise UsageError(f"no MapReduceJob writes to {uri}; `mr get {uri}` reads what lies there")
