"""Proves on the running cluster what tests rely on: names and Services across nodes, claims, loaded images, lost nodes.

`python3 -m cluster selftest`: takes a minute, of which most is waiting until a killed node is given up. It needs a
cluster of ours with at least two nodes, made with the own node image (whose base image its pods run).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster import archives, debian
from cluster.errors import ClusterError, CommandFailed
from cluster.nodes import Cluster
from cluster.running import step, wait_until

_NAMESPACE = "mapreduce-selftest"
_LOADED_IMAGE = "localhost/mapreduce-selftest:1"


def run(cluster: Cluster) -> None:
    """Raises `ClusterError` at the first thing that is not as it should be."""
    if not cluster.workers:
        raise ClusterError("the self-test kills a worker: start a cluster with NODES=2 or more")
    cluster.kubectl("delete", "namespace", _NAMESPACE, "--ignore-not-found", "--timeout=60s", timeout_s=70)
    cluster.kubectl("create", "namespace", _NAMESPACE)
    cluster.kubectl("label", "namespace", _NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    control_plane, worker = cluster.nodes[0], cluster.workers[-1]
    try:
        with step("a Service answers by name from every node"):
            _serve(cluster, worker)
            for node in cluster.nodes:
                _expect_answer(cluster, f"asks-from-{node}", node)
        with step("what a pod wrote to a claim, another reads"):
            _check_claim(cluster, worker)
        with step("a loaded image runs"):
            _check_loading(cluster, worker)
        with step("a killed node is given up"):
            cluster.kill_node(worker)
            cluster.kubectl("wait", "--for=condition=Ready=Unknown", f"node/{worker}", "--timeout=90s", timeout_s=100)
        with step("the API server goes on without it"):
            _run(cluster, "goes-on", control_plane, debian.BASE_IMAGE, "exit 0")
        with step("a restarted node is Ready"):
            cluster.start_node(worker)
        with step("its Service answers again from the other node"):
            _serve(cluster, worker)
            _expect_answer(cluster, "asks-again", control_plane)
    finally:
        cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _serve(cluster: Cluster, node: str) -> None:
    """A web server on `node` behind a Service named `web`."""
    cluster.kubectl("delete", "pod", "web", "-n", _NAMESPACE, "--ignore-not-found", "--now", timeout_s=70)
    pod = _pod("web", node, debian.BASE_IMAGE, "cd /etc && exec python3 -m http.server 8080")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": _NAMESPACE},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    _apply(cluster, pod, service)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "-n", _NAMESPACE, "--timeout=60s", timeout_s=70)


def _expect_answer(cluster: Cluster, name: str, node: str) -> None:
    fetch = "import urllib.request as r; print(r.urlopen('http://web/hostname', timeout=5).read().decode())"
    said = _run(cluster, name, node, debian.BASE_IMAGE, f'until python3 -c "{fetch}"; do sleep 0.5; done')
    if said.strip() != "web":
        raise ClusterError(f"the Service said {said!r} to {node}")


def _check_claim(cluster: Cluster, node: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept", "namespace": _NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    _apply(cluster, claim)
    _run(cluster, "writes", node, debian.BASE_IMAGE, "echo written > /kept/file", claim="kept")
    said = _run(cluster, "reads", node, debian.BASE_IMAGE, "cat /kept/file", claim="kept")
    if said.strip() != "written":
        raise ClusterError(f"the claim gave back {said!r}")


def _check_loading(cluster: Cluster, node: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "marker"
        marker.write_text("loaded")
        layer = archives.write_layer(Path(folder) / "marker.tar", {"/marker": marker})
        image = archives.Image(_LOADED_IMAGE, (debian.layer(), layer))
        archives.write_archive(Path(folder) / "image.tar", [image], debian.machine_architecture())
        cluster.load(Path(folder) / "image.tar")
    if _run(cluster, "loaded", node, _LOADED_IMAGE, "cat /marker").strip() != "loaded":
        raise ClusterError("the loaded image is not the one that was loaded")


def _run(cluster: Cluster, name: str, node: str, image: str, script: str, *, claim: str = "") -> str:
    """What a pod on `node` prints until it ends."""
    _apply(cluster, _pod(name, node, image, script, claim=claim))
    try:
        wait_until(f"pod {name} succeeds", _has_succeeded(cluster, name), timeout_s=90)
    except ClusterError as error:
        raise ClusterError(f"{error}\n{cluster.kubectl('describe', 'pod', name, '-n', _NAMESPACE)}") from error
    return cluster.kubectl("logs", name, "-n", _NAMESPACE)


def _has_succeeded(cluster: Cluster, name: str) -> Iterator[bool]:
    while True:
        try:
            yield cluster.kubectl("get", "pod", name, "-n", _NAMESPACE, "-o", "jsonpath={.status.phase}") == "Succeeded"
        except CommandFailed:
            yield False


def _apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def _pod(name: str, node: str, image: str, script: str, *, claim: str = "") -> dict[str, Any]:
    """A pod that the restricted Pod Security standard admits."""
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/hostname": node},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if claim:
        container["volumeMounts"] = [{"name": "claim", "mountPath": f"/{claim}"}]
        spec["volumes"] = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}]
    metadata = {"name": name, "namespace": _NAMESPACE, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
