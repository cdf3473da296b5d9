"""Jobs while no operator runs, and an operator that is killed amid them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import clusterjobs, podprocesses
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, Object
from tests.support.operatorrelease import NAMESPACE, OPERATOR_PODS, without_operator


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
