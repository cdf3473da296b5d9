"""When a cluster is ready: names resolve in a pod on every node, and a claim of the default StorageClass binds."""

from __future__ import annotations

from collections.abc import Iterator

from cluster import debian, kindconfig
from cluster.deciding import Way
from cluster.errors import ClusterError, CommandFailed
from cluster.nodes import Cluster
from cluster.running import wait_until

_PUBLIC_PROBE_IMAGE = "docker.io/library/busybox:1.36"


def await_ready(cluster: Cluster, *, timeout_s: float = 180.0) -> None:
    """Waits until nodes, names and storage work; raises `ClusterError` with the events of what does not."""
    cluster.wait_ready(timeout_s=timeout_s)
    image = debian.BASE_IMAGE if Way(cluster.way) is Way.PODMAN else _PUBLIC_PROBE_IMAGE
    manifest = kindconfig.probe_manifest(list(cluster.nodes), image, claiming=cluster.nodes[-1])
    try:
        # A namespace gets its service account, without which no pod is admitted, a moment after it was made.
        wait_until("the probes are admitted", _applied(cluster, manifest), timeout_s=timeout_s)
        wait_until("names resolve and a claim binds", _pods_succeeded(cluster), timeout_s=timeout_s)
    except ClusterError as error:
        events = cluster.kubectl(
            "get", "events,pods,pvc", "--namespace", kindconfig.PROBE_NAMESPACE, "--output", "wide"
        )
        raise ClusterError(f"{error}\n{events}") from error
    finally:
        cluster.kubectl("delete", "namespace", kindconfig.PROBE_NAMESPACE, "--wait=false")


def _applied(cluster: Cluster, manifest: str) -> Iterator[bool]:
    while True:
        try:
            cluster.kubectl("apply", "--filename", "-", given=manifest)
        except CommandFailed:
            yield False
        else:
            yield True


def _pods_succeeded(cluster: Cluster) -> Iterator[bool]:
    while True:
        try:
            said = cluster.kubectl(
                "get",
                "pods",
                "--namespace",
                kindconfig.PROBE_NAMESPACE,
                "--output",
                "jsonpath={.items[*].status.phase}",
            )
        except CommandFailed:
            yield False
        else:
            yield said.split() == ["Succeeded"] * len(cluster.nodes)
