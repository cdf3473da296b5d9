"""The operator's process, kopf and all, told to look after some namespaces of which one is closed to it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakecluster import FakeCluster, fake_cluster
from tests.support.mrruns import DEADLINE_S, until

CHILDREN = ("/api/v1/{}/pods", "/apis/apps/v1/{}/statefulsets", "/apis/batch/v1/{}/jobs")
JOBS = "/apis/mapreduce.dev/v1alpha1/{}/mapreducejobs"


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """An API server that says what it serves, as kopf asks."""
    with fake_cluster() as made:
        version = {"groupVersion": "mapreduce.dev/v1alpha1", "version": "v1alpha1"}
        made.put("/api", {"versions": ["v1"]})
        made.put("/apis", {"groups": [{"name": "mapreduce.dev", "versions": [version], "preferredVersion": version}]})
        made.put("/api/v1", {"resources": [_resource("namespaces", "Namespace", is_namespaced=False)]})
        made.put("/apis/mapreduce.dev/v1alpha1", {"resources": [_resource("mapreducejobs", "MapReduceJob")]})
        yield made


def _resource(plural: str, kind: str, *, is_namespaced: bool = True) -> dict[str, object]:
    verbs = ["get", "list", "watch", "patch"]
    named = {"name": plural, "singularName": kind.lower(), "kind": kind}
    return {**named, "namespaced": is_namespaced, "verbs": verbs}


@contextlib.contextmanager
def _operator(cluster: FakeCluster, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process, as its image starts it, and the port on which it tells how it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MR_", "KOPF_"))}
    own = {"KUBECONFIG": str(cluster.kubeconfig(folder)), "MR_HEALTH_PORT": str(port), "MR_WATCH_SECONDS": "2"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mapreduce_operator"], env={**inherited, **own, "MR_NAMESPACES": "team-b,team-a"}
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _close(cluster: FakeCluster, namespace: str) -> None:
    for path in (*CHILDREN, JOBS):
        cluster.refusals["GET", path.format(f"namespaces/{namespace}")] = (403, "Forbidden")


def _watched(cluster: FakeCluster) -> set[str]:
    """The namespaces whose jobs kopf has asked for: the operator's own calls go by another name."""
    paths = {one.path for one in cluster.asked if one.headers.get("user-agent") != "mapreduce-operator"}
    return {path.split("/")[-2] for path in paths if path.endswith("/mapreducejobs")}


def test_a_closed_namespace_is_left_out_and_taken_in_by_a_new_process_once_it_is_open(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    _close(cluster, "team-b")
    with _operator(cluster, tmp_path) as (process, port):
        until(lambda: _is_ready(port), "the operator to act")
        until(lambda: _watched(cluster) != set(), "jobs to be watched")
        assert _watched(cluster) == {"team-a"}
        cluster.refusals.clear()
        assert process.wait(DEADLINE_S) == 0
    with _operator(cluster, tmp_path):
        until(lambda: _watched(cluster) == {"team-a", "team-b"}, "jobs of both to be watched")


def test_an_operator_of_which_no_namespace_is_open_waits_and_is_not_ready(cluster: FakeCluster, tmp_path: Path) -> None:
    for namespace in ("team-a", "team-b"):
        _close(cluster, namespace)
    jobs = JOBS.format("namespaces/team-a")
    with _operator(cluster, tmp_path) as (process, port):
        until(lambda: sum(one.path == jobs for one in cluster.asked) > 1, "a second look")
        assert not _is_ready(port)
        cluster.refusals.clear()
        until(lambda: _is_ready(port), "the operator to act")
        assert process.poll() is None
