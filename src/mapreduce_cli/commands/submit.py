"""`mr submit`: hand a job to a cluster, or to a coordinator that runs."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.cluster.joboptions import ClusterJobOptions, cluster_job_options
from mapreduce_cli.cluster.options import Target, target_options
from mapreduce_cli.connect import find
from mapreduce_cli.jobnames import means_cluster
from mapreduce_cli.options import JobOptions, begin, job_options

if TYPE_CHECKING:
    from mapreduce.local.preparing import PreparedJob
    from mapreduce.protocol.client import CoordinatorClient
    from mapreduce.protocol.messages import SubmitRequest

_TRIES: Final = 4


@click.command(
    name="submit",
    epilog="""\b
Examples:
  mr submit wc.py pvc://books/ -o pvc://results/wc -n team-a
  mr submit wc.py pvc://books/ -o pvc://results/wc --output-size 10Gi --workers 8 --wait
  mr submit wordcount.py 'books/*.txt' -o out/ --dir state/
  id=$(mr submit job.yaml --coordinator http://127.0.0.1:8080) && mr wait $id
\b
With -n, --context, --kubeconfig or $MR_NAMESPACE it creates a MapReduceJob in that cluster; with --dir or
--coordinator the job goes to that coordinator, and paths are those of its and its workers' machines. With neither:
to the coordinator of yours that runs here, else to the kubeconfig's cluster.""",
)
@job_options
@cluster_job_options
@target_options
@click.option("--wait", "waits", is_flag=True, help="Wait until the job has ended; the exit code says how.")
def command(job: JobOptions, there: ClusterJobOptions, target: Target, waits: bool) -> int:
    """Hand a job to a cluster or to a running coordinator; prints its name or id.

    FILE is a Python file with a mapper (and a reducer), or a manifest (.yaml). INPUTs are files, folders or globs, or
    in a cluster pvc://CLAIM/PATH, configmap://NAME/PATH, http(s)://.
    """
    if means_cluster(target):
        from mapreduce_cli.cluster.submitting import submit

        return submit(job, there, target, waits=waits)
    if there.given:
        what = "a coordinator's workers join it by `mr worker`" if there.given[0] == "--workers" else "leave it out"
        raise UsageError(f"{there.given[0]} means something in a cluster only; {what}")
    return _to_coordinator(job, target, waits=waits)


def _to_coordinator(job: JobOptions, target: Target, *, waits: bool) -> int:
    from mapreduce.protocol.messages import SubmitRequest

    preparation = begin(job)
    try:
        found = find(target.address)
        output = preparation.output
        prepared = preparation.finish()
        client = found.client()
        if found.folder is not None or _is_here(found.url):
            _check(prepared, output)
        client.put_code(prepared.bundle.sha256, prepared.bundle.data)
        request = SubmitRequest(
            name=prepared.name, spec=prepared.spec, code=prepared.bundle.sha256, key=secrets.token_hex(16)
        )
        number = _submit_once(client, request)
    finally:
        preparation.abandon()
    print(number, flush=True)
    if not waits:
        return 0
    from mapreduce_cli.summary import this_command
    from mapreduce_cli.waiting import wait_for_job

    return wait_for_job(client, number, name=f"{number}{target.address.options}", retry=this_command())


def _submit_once(client: CoordinatorClient, request: SubmitRequest, *, pause_s: float = 0.5) -> int:
    """Hand the job in, again when no answer came: by its key it stays one job. Raises Unreachable at last."""
    for left in reversed(range(_TRIES)):
        try:
            return client.submit(request)
        except Unreachable as error:
            if not left:
                raise
            click.echo(f"mr: {error} Trying again.", err=True)
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


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
