"""Logs of a MapReduceJob: of its attempts through the coordinator or a reader, of its pods through the API server."""

from __future__ import annotations

import sys
from typing import Final
from urllib.parse import quote

import click

from mapreduce.errors import UsageError
from mapreduce_cli.cluster import reader as pods
from mapreduce_cli.cluster.access import Cluster, Json, refusal_of
from mapreduce_cli.cluster.proxied import JOB_NUMBER, CoordinatorGone, coordinator_client, names_of
from mapreduce_cli.commands.logs import show_remote
from mapreduce_cli.jobnames import OfCluster
from mapreduce_operator.naming import selector_text

#: A log that is followed may be silent for long.
_SILENCE_S: Final = 86_400.0


def show_tasks(found: OfCluster, task: str | None, reader_image: str | None) -> int:
    """What attempts printed: one task's, or those of all tasks that failed; the exit code."""
    client = coordinator_client(found.jobs, found.job)
    try:
        client.status(JOB_NUMBER)
    except CoordinatorGone:
        image, pulls = pods.find_image(found.jobs, found.job, reader_image)
        template = pods.template_of(found.job)
        wanted = pods.Wanted(image, state=pods.log_mount(found.job), pull_secrets=pulls, template=template)
        with pods.reader(found.jobs, wanted) as reading:
            tasks = [task] if task is not None else reading.logged_tasks(JOB_NUMBER)
            contents = [reading.logs(JOB_NUMBER, name) for name in tasks]
        sys.stdout.buffer.writelines(contents)
        sys.stdout.buffer.flush()
        if not any(contents):
            click.echo("mr: nothing was printed", err=True)
        return 0
    return show_remote(client, JOB_NUMBER, task)


def show_pods(found: OfCluster, *, worker: str | None, follow: bool) -> int:
    """What the coordinator's container says, or all containers of one worker; the exit code."""
    names, cluster = names_of(found.job), found.cluster
    if worker is None:
        _copy(cluster, names.coordinator_pod, "coordinator", follow=follow)
        return 0
    labels = selector_text(names.selector("worker"))
    found_pods = cluster.get(f"/api/v1/namespaces/{quote(cluster.namespace)}/pods", labelSelector=labels)
    workers: dict[str, Json] = {item["metadata"]["name"]: item for item in found_pods.get("items", [])}
    if worker not in workers:
        known = ", ".join(sorted(workers)) or "none"
        raise UsageError(f"job '{found.job.name}' has no worker {worker!r}; its workers: {known}")
    spec = workers[worker]["spec"]
    containers = [item["name"] for item in [*spec.get("containers", []), *(spec.get("initContainers") or [])]]
    if follow:
        containers = containers[:1]
    for container in containers:
        if len(containers) > 1:
            sys.stdout.buffer.write(f"==> {worker}/{container} <==\n".encode())
        _copy(cluster, worker, container, follow=follow)
    return 0


def _copy(cluster: Cluster, pod: str, container: str, *, follow: bool) -> None:
    path = f"/api/v1/namespaces/{quote(cluster.namespace)}/pods/{quote(pod)}/log"
    query = {"container": container, **({"follow": "true"} if follow else {})}
    silence_s = _SILENCE_S if follow else 60.0
    with cluster.stream("GET", path, query=query, deadline_s=silence_s) as answer:
        if answer.status >= 400:
            raise refusal_of(answer, cluster)
        for piece in answer.pieces(1 << 14):
            sys.stdout.buffer.write(piece)
            if follow:
                sys.stdout.buffer.flush()
    sys.stdout.buffer.flush()
