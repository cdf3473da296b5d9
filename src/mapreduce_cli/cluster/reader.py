"""A short-lived pod that reads what is left of a job: its output's claim, or its log's, when no coordinator serves it.

Restricted, without an API token, volumes mounted read-only; ended when the command ends, on Ctrl-C and SIGTERM too, and
by its own deadline if that fails. Called through the API server's pod proxy, with the paths of a coordinator.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable, UsageError
from mapreduce.local.sigterm import Interrupted, raise_on_sigterm
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.endpoint import Endpoint, UrlEndpoint
from mapreduce_cli.cluster.access import ApiRefusal, Cluster, Json
from mapreduce_cli.cluster.jobs import ClusterJob, Jobs
from mapreduce_cli.cluster.proxied import ProxyTransport, names_of
from mapreduce_operator.manifests.templates import placed

PORT: Final = 8080
START_S: Final = 180.0
#: The pod ends by itself after this, whatever became of the command.
DEADLINE_S: Final = 3_600
_POLL_S: Final = 0.5
_USER, _GROUP = 10_001, 10_000
_STATE_MOUNT: Final = "/mr/state"
_OPERATOR: Final = "mapreduce.dev/component=operator"
#: Reasons of a waiting container that do not get better by waiting.
_HOPELESS: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """One claim as the reader sees it."""

    claim: str
    sub_path: str
    """Below the claim's root; the job's folder, so that nothing else of the claim can be read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader is to read, and in which image."""

    image: str
    output: Mount | None = None
    state: Mount | None = None
    pull_secrets: tuple[str, ...] = ()
    template: Json = field(default_factory=dict)
    """Template of the coordinator's pod: the reader goes where that may."""


def output_mount(uri: str) -> Mount:
    """Claim and folder of `pvc://CLAIM/PATH`. Raises UsageError for anything else."""
    scheme, found, rest = uri.partition("://")
    claim, _, path = rest.partition("/")
    if scheme != "pvc" or not found or not claim or ".." in path.split("/"):
        raise UsageError(f"{uri} is no place on a claim; it looks like pvc://CLAIM/PATH")
    return Mount(claim, path.strip("/"))


def log_mount(job: ClusterJob) -> Mount:
    """Where a job's state folder lies: on a claim of its own, or on the one that was given."""
    given = job.spec.get("storage", {}).get("log", {}).get("claimName")
    names = names_of(job)
    return Mount(given or names.log_claim, names.base)


def template_of(job: ClusterJob | None) -> Json:
    """What a job says of its coordinator's pod."""
    template = (job.spec.get("coordinator") or {}).get("podTemplate") if job is not None else None
    return template if isinstance(template, dict) else {}


def find_image(jobs: Jobs, job: ClusterJob | None, image: str | None) -> tuple[str, tuple[str, ...]]:
    """Worker image and pull secrets of the job's coordinator, or of any other one here; else the operator's default.

    Raises UsageError when none is known.
    """
    if image is not None:
        return image, ()
    namespace, cluster = quote(jobs.cluster.namespace), jobs.cluster
    selector = "app.kubernetes.io/component=coordinator,app.kubernetes.io/managed-by=mapreduce-operator"
    with contextlib.suppress(ApiRefusal, Unauthorized, Unreachable):
        found = cluster.get(f"/apis/apps/v1/namespaces/{namespace}/statefulsets", labelSelector=selector)
        own = names_of(job).coordinator if job is not None else ""
        items = sorted(found.get("items", []), key=lambda item: item["metadata"]["name"] != own)
        for item in items:
            pod = item["spec"]["template"]["spec"]
            pulls = tuple(entry["name"] for entry in pod.get("imagePullSecrets") or [])
            for container in pod["containers"]:
                if container["name"] == "coordinator":
                    return container["image"], pulls
    with contextlib.suppress(ApiRefusal, Unauthorized, Unreachable):
        operators = cluster.get("/apis/apps/v1/deployments", labelSelector=_OPERATOR)
        for item in operators.get("items", []):
            for container in item["spec"]["template"]["spec"]["containers"]:
                for entry in container.get("env") or []:
                    if entry["name"] == "MR_WORKER_IMAGE" and entry.get("value"):
                        return entry["value"], ()
    raise UsageError(
        "no coordinator is left here whose image the reader could use; name the worker image by --reader-image "
        "(or MR_READER_IMAGE)"
    )


@contextlib.contextmanager
def reader(jobs: Jobs, wanted: Wanted) -> Iterator[CoordinatorClient]:
    """Start the pod, give a client for it, and remove it at the end. Raises Unreachable when it does not start."""
    cluster, token = jobs.cluster, secrets.token_urlsafe(32)
    name = f"mr-reader-{secrets.token_hex(4)}"
    path = f"/api/v1/namespaces/{quote(cluster.namespace)}/pods"
    manifest = pod_manifest(name, wanted, hashlib.sha256(token.encode()).hexdigest())
    with raise_on_sigterm():
        try:
            cluster.create(path, manifest)
            print(f"mr: starting a pod that reads the volume ({name})", file=sys.stderr)
            _wait_until_ready(cluster, f"{path}/{name}")
            proxy = f"{path}/{name}:{PORT}/proxy"
            endpoint = UrlEndpoint(cluster.host.rstrip("/") + proxy, token)

            def connect(_: Endpoint) -> ProxyTransport:
                return ProxyTransport(cluster, proxy)

            yield CoordinatorClient(endpoint, connect=connect)
        except Interrupted as stopped:
            raise Interrupted(signal.SIGTERM, "stopped") from stopped
        finally:
            _remove(cluster, f"{path}/{name}")


def _remove(cluster: Cluster, path: str) -> None:
    """Delete the pod; what goes wrong with that does not hide what went wrong before."""
    try:
        cluster.delete(path, gracePeriodSeconds=1)
    except MapReduceError as error:
        name = path.rpartition("/")[2]
        print(f"mr: pod {name} could not be deleted ({error}); it ends by itself within the hour", file=sys.stderr)


def read_success_of(jobs: Jobs, uri: str, *, image: str | None = None) -> Any:
    """What `_SUCCESS` says of an output on a claim, by a reader of its own."""
    import tempfile
    from pathlib import Path

    from mapreduce.local.success import read_success

    found, pulls = find_image(jobs, None, image)
    with (
        tempfile.TemporaryDirectory(prefix="mapreduce-get-") as folder,
        reader(jobs, Wanted(found, output=output_mount(uri), pull_secrets=pulls)) as client,
    ):
        path = Path(folder) / "_SUCCESS"
        with path.open("wb") as into:
            client.download_part(1, "_SUCCESS", into)
        success = read_success(path)
    if success is None:
        raise UsageError(
            f"{uri} holds no finished result: its _SUCCESS cannot be read; run the job again, with another output"
        )
    return success


def pod_manifest(name: str, wanted: Wanted, token_sha256: str) -> Json:
    """The pod: Pod Security `restricted`, nothing writable, claims mounted read-only and only where it needs them."""
    volumes, mounts, arguments = [], [], []
    for role, mount, target in (
        ("output", wanted.output, "/mr/output"),
        ("state", wanted.state, _STATE_MOUNT),
    ):
        if mount is None:
            continue
        volumes.append({"name": role, "persistentVolumeClaim": {"claimName": mount.claim, "readOnly": True}})
        sub = {"subPath": mount.sub_path} if mount.sub_path else {}
        mounts.append({"name": role, "mountPath": target, "readOnly": True, **sub})
        arguments += [f"--{role}", target]
    spec: Json = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE_S,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": [{"name": secret} for secret in wanted.pull_secrets],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _GROUP,
            "fsGroup": _GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "reader",
                "image": wanted.image,
                "command": ["python", "-m", "mapreduce.coordinator.reader"],
                "args": [
                    *arguments,
                    "--token-sha256",
                    token_sha256,
                    "--host",
                    "0.0.0.0",  # noqa: S104 - the API server's proxy calls the pod's address
                    "--port",
                    str(PORT),
                    "--for-s",
                    str(DEADLINE_S),
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 1},
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"cpu": "1", "memory": "256Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "mapreduce",
                "app.kubernetes.io/component": "reader",
                "app.kubernetes.io/managed-by": "mr",
                "app.kubernetes.io/part-of": "mapreduce",
            },
        },
        "spec": placed(wanted.template, spec),
    }


def _wait_until_ready(cluster: Cluster, path: str) -> None:
    """Poll the pod until it is ready. Raises Unreachable with what keeps it, UsageError when it ended by itself."""
    deadline_s = time.monotonic() + START_S
    problem = "it did not start"
    while time.monotonic() < deadline_s:
        pod = cluster.get(path)
        status = pod.get("status", {})
        conditions = {entry["type"]: entry for entry in status.get("conditions") or []}
        if conditions.get("Ready", {}).get("status") == "True":
            return
        scheduled = conditions.get("PodScheduled", {})
        if scheduled.get("status") == "False":
            problem = f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
        for container in status.get("containerStatuses") or []:
            state = container.get("state", {})
            waiting, ended = state.get("waiting"), state.get("terminated")
            if waiting is not None and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
                problem = f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
                if waiting["reason"] in _HOPELESS:
                    raise Unreachable(f"the pod that reads the volume cannot start: {problem}")
            if ended is not None:
                raise Unreachable(
                    f"the pod that reads the volume ended (exit code {ended.get('exitCode')}): "
                    f"{ended.get('message') or ended.get('reason') or 'it said nothing'}"
                )
        time.sleep(_POLL_S)
    raise Unreachable(f"the pod that reads the volume was not ready within {START_S:.0f} s: {problem}")
