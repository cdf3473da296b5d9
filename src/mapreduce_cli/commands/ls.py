"""`mr ls`: the jobs of a cluster's namespace, or of a coordinator."""

from __future__ import annotations

import time
from typing import Final

import click

from mapreduce.errors import UsageError
from mapreduce.protocol.messages import JobStatus, TaskCounts
from mapreduce.units import format_duration, format_size
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.connect import find
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import OfCluster, jobs_of, means_cluster, resolve
from mapreduce_cli.tables import Column, format_option, render

_OF_RUN: Final = "those of `mr run` are named by their output folder, as in `mr why out/`"


@click.command(
    name="ls",
    epilog="""\b
Examples:
  mr ls                                          the coordinator that runs here, else the cluster's jobs
  mr ls -n team-a                                mr ls -A
  mr ls wordcount -n team-a -o yaml              one job, as the API server holds it
  mr ls -n team-a -o name | xargs -n1 mr wait -n team-a
  mr ls -o json --dir state/ | jq '.[] | select(.state == "Failed") | .message'""",
)
@job_argument("[JOB]", name="name", required=False)
@target_options
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Jobs of all namespaces of the cluster.")
@format_option
def command(name: str | None, target: Target, everywhere: bool, format_: str) -> int:
    """List the jobs of a cluster or of a coordinator.

    Those of a coordinator are in order of submission, which is the order in which they run.
    """
    if everywhere and target.means_coordinator:
        raise click.UsageError("-A means a cluster's namespaces, and --dir or --coordinator a coordinator outside one")
    if name is not None:
        found = resolve(name, target)
        if not isinstance(found, OfCluster):
            raise UsageError("a single job is shown for clusters only; `mr ls` lists all of a coordinator")
        from mapreduce_cli.cluster.listing import show

        click.echo(show([found.job], format_, is_one=True), nl=False)
        return 0
    if everywhere or means_cluster(target):
        return _of_cluster(target, format_, everywhere=everywhere)
    return _of_coordinator(target, format_)


def _of_cluster(target: Target, format_: str, *, everywhere: bool) -> int:
    from mapreduce_cli.cluster.listing import show

    jobs = jobs_of(target)
    found = jobs.list(everywhere=everywhere)
    if not found and format_ in {"table", "wide"}:
        where = "the cluster" if everywhere else f"namespace {jobs.cluster.namespace}"
        click.echo(f"mr: there are no MapReduceJobs in {where}; {_OF_RUN}", err=True)
        return 0
    click.echo(show(found, format_, everywhere=everywhere), nl=False)
    return 0


def _of_coordinator(target: Target, format_: str) -> int:
    client = find(target.address).client()
    jobs = client.statuses().jobs
    if not jobs and format_ in {"table", "wide"}:
        click.echo(f"mr: the coordinator at {client.address()} has no jobs; {_OF_RUN}", err=True)
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
