"""`mr cancel`: end a job without a result."""

from __future__ import annotations

import click

from mapreduce_cli.connect import Address, coordinator_options, find, find_job


@click.command(
    name="cancel",
    epilog="""\b
Examples:
  mr cancel 3
  mr cancel wordcount --dir state/
\b
A `mr run` is ended by Ctrl-C instead; the same command then goes on.""",
)
@click.argument("job", metavar="JOB")
@coordinator_options
def command(job: str, address: Address) -> int:
    """Cancel a job.

    Its tasks are ended and nothing of it is published. A job that has ended stays as it is.
    """
    client = find(address).client()
    status = client.cancel(find_job(client, job))
    click.echo(f"job {status.job} '{status.name}' is {status.state}")
    return 0
