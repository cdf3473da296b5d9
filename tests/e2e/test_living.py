"""What people and time do to a job: suspend it, scale it, wait too long, give it too little memory."""

from __future__ import annotations

from pathlib import Path

from tests.support import clusterjobs
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, Object, condition, holds


def _expect_oracle(namespace: Namespace, manifest: Object, folder: Path) -> Object:
    ended = clusterjobs.await_complete(namespace, manifest["metadata"]["name"])
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, folder)
    assert ended["status"]["maps"].get("remade", 0) == 0
    return ended


def test_a_suspended_job_has_no_pods_and_goes_on_where_it_was(namespace: Namespace, tmp_path: Path) -> None:
    manifest = clusterjobs.slow_job("rests", storage={"shuffle": "Peer"})
    namespace.apply(manifest)
    job = clusterjobs.await_progress(namespace, "rests", maps=3)
    namespace.patch("mapreducejob", "rests", {"spec": {"suspend": True}})
    namespace.until("mapreducejob", "rests", "is suspended", holds("Suspended"))
    namespace.until_gone("pods", clusterjobs.labels_of(job))
    namespace.patch("mapreducejob", "rests", {"spec": {"suspend": False}})
    _expect_oracle(namespace, manifest, tmp_path)


def test_workers_come_and_go_with_the_scale(namespace: Namespace, tmp_path: Path) -> None:
    manifest = clusterjobs.slow_job("scales", maps=16, workers={"replicas": 1}, storage={"shuffle": "Peer"})
    namespace.apply(manifest)
    job = clusterjobs.await_progress(namespace, "scales", maps=1)
    namespace.kubectl("scale", "mapreducejob/scales", "--replicas=3")
    clusterjobs.await_pods(namespace, job, "worker", 3)
    namespace.kubectl("scale", "mapreducejob/scales", "--replicas=1")
    _expect_oracle(namespace, manifest, tmp_path)


def test_a_mapper_that_takes_too_much_memory_fails_the_job_by_that_name(namespace: Namespace) -> None:
    code = "def mapper(line):\n    yield len(b'x' * (1 << 30)), 1\n"
    limits = {"containers": [{"name": "executor", "resources": {"limits": {"memory": "192Mi"}}}]}
    namespace.apply(
        clusterjobs.job(
            "greedy",
            code=code,
            texts=["a\n"],
            reducer="count",
            maxAttempts=2,
            workers={"replicas": 1, "memoryBudgetBytes": 32 << 20, "podTemplate": {"spec": limits}},
        )
    )
    failed = condition(clusterjobs.await_end(namespace, "greedy"), "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "OutOfMemory")


def test_a_job_whose_time_is_up_fails_and_stops(namespace: Namespace) -> None:
    namespace.apply(clusterjobs.slow_job("late", maps=4, seconds_per_map=600, activeDeadlineSeconds=15))
    ended = clusterjobs.await_end(namespace, "late")
    failed = condition(ended, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "DeadlineExceeded")
    namespace.until_gone("pods", f"{clusterjobs.labels_of(ended)},app.kubernetes.io/component=worker")


def test_a_finished_job_goes_away_after_its_time_and_leaves_its_output(namespace: Namespace, tmp_path: Path) -> None:
    manifest = clusterjobs.job("brief", texts=["a b a\n"], ttlSecondsAfterFinished=3)
    namespace.apply(manifest)
    job = namespace.get("mapreducejob", "brief")
    namespace.until_gone("mapreducejobs", "")
    namespace.until_gone(clusterjobs.CHILDREN, clusterjobs.labels_of(job))
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, tmp_path)
