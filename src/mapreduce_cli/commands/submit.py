"""`mr submit`: hand a job to a running coordinator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from mapreduce_cli.connect import Address, coordinator_options, find
from mapreduce_cli.options import JobOptions, begin, job_options

if TYPE_CHECKING:
    from mapreduce.local.preparing import PreparedJob


@click.command(
    name="submit",
    epilog="""\b
Examples:
  mr submit wordcount.py 'books/*.txt' -o out/ --arg min_length=3
  mr submit --coordinator http://127.0.0.1:8080 job.yaml --wait
  id=$(mr submit wordcount.py books/ -o out/) && mr wait $id
\b
Paths are those of the coordinator's and the workers' machines. Jobs run one at a time, in order of submission.""",
)
@job_options
@coordinator_options
@click.option("--wait", "waits", is_flag=True, help="Wait until the job has ended; the exit code says how.")
def command(job: JobOptions, address: Address, waits: bool) -> int:
    """Hand a job to a running coordinator; prints the job's id.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml). INPUTs are files, folders or globs.
    """
    from mapreduce.protocol.messages import SubmitRequest

    preparation = begin(job)
    try:
        found = find(address)
        output = preparation.output
        prepared = preparation.finish()
        client = found.client()
        if found.folder is not None or _is_here(found.url):
            _check(prepared, output)
        client.put_code(prepared.bundle.sha256, prepared.bundle.data)
        request = SubmitRequest(name=prepared.name, spec=prepared.spec, code=prepared.bundle.sha256)
        number = client.submit(request)
    finally:
        preparation.abandon()
    print(number, flush=True)
    if not waits:
        return 0
    from mapreduce_cli.waiting import wait_for_job

    return wait_for_job(client, number)


def _check(job: PreparedJob, output: Path) -> None:
    """What can be refused here already, because the coordinator sees the same files."""
    from mapreduce.local.claiming import look_into
    from mapreduce.local.ownership import decide_finished, decide_foreign
    from mapreduce.local.paths import OutputPaths
    from mapreduce.local.preflight import list_inputs

    list_inputs(job.spec, output)
    view = look_into(OutputPaths(output))
    decide_foreign(view)
    decide_finished(view, overwrite=job.spec.output.overwrite == "Replace")


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}
