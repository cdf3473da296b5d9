"""What falls silent without an end: frozen workers, pods without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import clusterjobs, podprocesses
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, Object


def _expect_oracle(namespace: Namespace, manifest: Object, folder: Path) -> Object:
    ended = clusterjobs.await_complete(namespace, manifest["metadata"]["name"])
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, folder)
    return ended


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Peer", "Shared"])
def test_a_frozen_worker_loses_its_task_and_cannot_commit_it_when_it_wakes(
    namespace: Namespace, shuffle: str, tmp_path: Path
) -> None:
    manifest = clusterjobs.slow_job(
        "frozen", maps=16, seconds_per_map=1.0, leaseSeconds=5, storage={"shuffle": shuffle}
    )
    namespace.apply(manifest)
    job = clusterjobs.await_progress(namespace, "frozen", maps=1)
    pod = clusterjobs.pods_of(namespace, job, "worker")[0]
    for container in ("agent", "executor"):
        podprocesses.freeze(namespace, pod, container)
    clusterjobs.await_progress(namespace, "frozen", maps=job["status"]["maps"]["total"])
    for container in ("agent", "executor"):
        podprocesses.thaw(namespace, pod, container)
    _expect_oracle(namespace, manifest, tmp_path)


@pytest.mark.full
def test_a_worker_without_a_network_is_given_up(namespace: Namespace, tmp_path: Path) -> None:
    manifest = clusterjobs.slow_job("cut", maps=16, seconds_per_map=1.0, leaseSeconds=5, storage={"shuffle": "Peer"})
    namespace.apply(manifest)
    job = clusterjobs.await_progress(namespace, "cut", maps=1)
    podprocesses.cut_off(namespace, clusterjobs.pods_of(namespace, job, "worker")[0], "agent")
    ended = _expect_oracle(namespace, manifest, tmp_path)
    assert ended["status"]["maps"].get("remade", 0) == 0
