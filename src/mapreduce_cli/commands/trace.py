"""`mr trace`: a job's attempts for Perfetto, or sent to an OpenTelemetry collector."""

from __future__ import annotations

import os

import click

from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.files import write_whole
from mapreduce_cli.jobarguments import job_argument
from mapreduce_cli.jobnames import resolve


@click.command(
    name="trace",
    epilog="""\b
Examples:
  mr trace out/ > trace.json           then open it in Perfetto, or chrome://tracing
  mr trace wordcount -n team-a -o trace.json
  mr trace out/ --otlp http://localhost:4318     to an OpenTelemetry collector
\b
A coordinator sends the trace of a job by itself when the job ends, where OTEL_EXPORTER_OTLP_ENDPOINT is set (HTTP, with
OTEL_EXPORTER_OTLP_HEADERS). There is one trace a job, with the same ids however often it is sent.""",
)
@job_argument()
@click.option("-o", "--output", "target_file", metavar="FILE", default="-", help="Where to.  [stdout]")
@click.option("--otlp", "otlp_url", metavar="URL", help="Send it to this collector instead, by OTLP over HTTP.")
@target_options
def command(job: str, target_file: str, otlp_url: str | None, target: Target) -> int:
    """Print a job's attempts in Chrome's trace format, for Perfetto.

    Each worker is a process in it, each slot a thread.
    """
    from mapreduce_cli.viewing import view_of

    if otlp_url is not None:
        from mapreduce.page.otlp import requests, trace_id
        from mapreduce.tracesending import TraceTarget, send

        where = TraceTarget.of(otlp_url, os.environ)
        traced = view_of(resolve(job, target)).traced(where.service)
        send(where, requests(traced))
        click.echo(f"trace {trace_id(traced.store_id, traced.status.job)} of job '{traced.status.name}' sent")
        return 0
    write_whole(target_file, view_of(resolve(job, target)).trace())
    return 0
