"""Anything is killed amid a job; the job completes with the oracle's output, and what was committed is not redone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import clusterjobs, podprocesses
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, Object
from tests.support.operatorrelease import NAMESPACE, OPERATOR_PODS, without_operator

SHUFFLES = ("Shared", "Peer")


def _start(namespace: Namespace, shuffle: str, *, committed: int = 2, **spec: Any) -> tuple[Object, Object]:
    """A job of many short maps, some of which are committed: its manifest and the object."""
    manifest = clusterjobs.slow_job("killed", storage={"shuffle": shuffle}, **spec)
    namespace.apply(manifest)
    return manifest, clusterjobs.await_progress(namespace, "killed", maps=committed)


def _expect_oracle(namespace: Namespace, manifest: Object, folder: Path) -> Object:
    """Waits for the end and compares the output; nothing that was committed was made again."""
    ended = clusterjobs.await_complete(namespace, "killed")
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, folder)
    assert ended["status"]["maps"].get("remade", 0) == 0
    return ended


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_killed_coordinator_goes_on_where_its_log_ends(namespace: Namespace, shuffle: str, tmp_path: Path) -> None:
    manifest, job = _start(namespace, shuffle)
    (pod,) = clusterjobs.pods_of(namespace, job, "coordinator")
    podprocesses.kill_container(namespace, pod, "coordinator")
    ended = _expect_oracle(namespace, manifest, tmp_path)
    assert ended["status"]["coordinator"]["epoch"] == 2


def test_a_coordinator_whose_pod_is_taken_away_comes_back(namespace: Namespace, tmp_path: Path) -> None:
    manifest, job = _start(namespace, "Peer")
    (pod,) = clusterjobs.pods_of(namespace, job, "coordinator")
    namespace.kill_pod(pod)
    ended = _expect_oracle(namespace, manifest, tmp_path)
    assert ended["status"]["coordinator"]["epoch"] >= 2


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_killed_agent_is_replaced(namespace: Namespace, shuffle: str, tmp_path: Path) -> None:
    manifest, job = _start(namespace, shuffle)
    podprocesses.kill_container(namespace, clusterjobs.pods_of(namespace, job, "worker")[0], "agent")
    _expect_oracle(namespace, manifest, tmp_path)


def test_a_killed_process_of_the_user_costs_one_attempt(namespace: Namespace, tmp_path: Path) -> None:
    manifest, job = _start(namespace, "Peer")
    killed = podprocesses.kill_processes(
        namespace, clusterjobs.pods_of(namespace, job, "worker")[0], "executor", "mapreduce_worker.executor"
    )
    assert killed >= 1
    _expect_oracle(namespace, manifest, tmp_path)


def test_a_killed_container_of_the_user_comes_back_in_its_pod(namespace: Namespace, tmp_path: Path) -> None:
    manifest, job = _start(namespace, "Peer")
    pods = clusterjobs.pods_of(namespace, job, "worker")
    podprocesses.kill_container(namespace, pods[0], "executor")
    _expect_oracle(namespace, manifest, tmp_path)


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_worker_that_is_asked_to_go_hands_over_what_it_made(
    namespace: Namespace, shuffle: str, tmp_path: Path
) -> None:
    manifest, job = _start(namespace, shuffle)
    namespace.delete("pod", clusterjobs.pods_of(namespace, job, "worker")[0])
    _expect_oracle(namespace, manifest, tmp_path)


def test_all_workers_at_once_are_replaced(namespace: Namespace, tmp_path: Path) -> None:
    manifest, job = _start(namespace, "Peer")
    for pod in clusterjobs.pods_of(namespace, job, "worker"):
        namespace.kill_pod(pod)
    _expect_oracle(namespace, manifest, tmp_path)


def test_without_an_operator_a_job_goes_on_and_is_reported_afterwards(namespace: Namespace, tmp_path: Path) -> None:
    manifest, job = _start(namespace, "Peer")
    with without_operator(namespace.cluster):
        (workers,) = namespace.listed("jobs.batch", clusterjobs.labels_of(job))
        namespace.until("jobs.batch", workers["metadata"]["name"], "a worker ended well", _has_succeeded)
        assert "completionTime" not in namespace.get("mapreducejob", "killed")["status"]
    _expect_oracle(namespace, manifest, tmp_path)


def test_a_killed_operator_goes_on(namespace: Namespace, tmp_path: Path) -> None:
    manifest, _ = _start(namespace, "Shared")
    operators = Namespace(namespace.cluster, NAMESPACE)
    for pod in operators.listed("pods", OPERATOR_PODS):
        podprocesses.kill_container(operators, pod["metadata"]["name"], "operator")
    _expect_oracle(namespace, manifest, tmp_path)


def _has_succeeded(workers: Object) -> bool:
    return bool(workers["status"].get("succeeded", 0) >= 1)
