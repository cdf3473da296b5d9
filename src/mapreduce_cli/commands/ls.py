"""`mr ls`: the jobs of a coordinator."""

from __future__ import annotations

import time

import click

from mapreduce.protocol.messages import JobStatus, TaskCounts
from mapreduce_cli.connect import Address, coordinator_options, find
from mapreduce_cli.tables import Column, format_option, render
from mapreduce_cli.units import format_duration, format_size


@click.command(
    name="ls",
    epilog="""\b
Examples:
  mr ls
  mr ls -o wide
  mr ls -o name | xargs -n1 mr wait
  mr ls -o json --dir state/ | jq '.[] | select(.state == "Failed") | .message'""",
)
@coordinator_options
@format_option
def command(address: Address, format_: str) -> int:
    """List the jobs of a coordinator.

    They are in order of submission, which is the order in which they run.
    """
    client = find(address).client()
    jobs = client.statuses().jobs
    if not jobs and format_ in {"table", "wide"}:
        click.echo(f"mr: the coordinator at {client.address()} has no jobs", err=True)
        return 0
    now_at = time.time()
    columns: list[Column[JobStatus]] = [
        Column("ID", lambda job: str(job.job)),
        Column("NAME", lambda job: job.name),
        Column("STATE", lambda job: job.state),
        Column("MAPS", lambda job: _counts(job.maps)),
        Column("REDUCES", lambda job: _counts(job.reduces)),
        Column("TIME", lambda job: _time(job, now_at)),
        Column("OUTPUT", lambda job: job.output),
        Column("INPUT", lambda job: format_size(job.input_bytes), is_wide=True),
        Column("RECORDS", lambda job: str(job.output_records) if job.state == "Complete" else "-", is_wide=True),
        Column(
            "FAILED ATTEMPTS", lambda job: str(job.maps.attempts_failed + job.reduces.attempts_failed), is_wide=True
        ),
        Column("WORKERS", lambda job: str(job.workers), is_wide=True),
        Column("REASON", lambda job: job.reason if job.state in {"Failed", "Cancelled"} else "-", is_wide=True),
    ]
    click.echo(render(jobs, columns, format_, name=lambda job: str(job.job)), nl=False)
    return 0


def _counts(counts: TaskCounts) -> str:
    return f"{counts.committed}/{counts.total}" if counts.total else "-"


def _time(job: JobStatus, now_at: float) -> str:
    if not job.started_at:
        return "-"
    return format_duration((job.finished_at or now_at) - job.started_at)
