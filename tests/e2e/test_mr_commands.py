"""The command line against a real cluster: a job from `mr submit` to what is left of it, by nothing else than `mr`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.nodes import Cluster
from tests.support import clusterjobs
from tests.support.claimfiles import claim
from tests.support.clusterjobs import SLOW_WORDCOUNT, WORDCOUNT
from tests.support.kubecalls import Namespace, Object, condition, holds

Mr = Callable[..., str]

#: A command that waits for a job ends before the test's own timeout.
_LONGEST_S = 300
#: Of the input of a job that has to be caught amid its work.
_LINES = 20


@pytest.fixture
def mr(operator: Cluster, namespace: Namespace, tmp_path: Path) -> Mr:
    """Run a command in the test's namespace; standard output of it, which must end with the code given."""
    (tmp_path / "wc.py").write_text(WORDCOUNT)
    (tmp_path / "slow.py").write_text(SLOW_WORDCOUNT)
    (tmp_path / "bad.py").write_text("def mapper(line):\n    print('saw', line)\n    yield int(line), 1\n")
    (tmp_path / "long.txt").write_text("".join(f"{number}\n" for number in range(_LINES)))
    (tmp_path / "text.txt").write_text("the cat and the dog\nthe end\n")
    namespace.apply(claim("results"))
    where = ["-n", namespace.name, "--kubeconfig", operator.kubeconfig]

    def run(command: str, *arguments: str, code: int = 0) -> str:
        argv = [sys.executable, "-m", "mapreduce_cli", command, *arguments, *where]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def test_a_job_is_submitted_followed_read_and_read_again_when_it_is_gone(
    mr: Mr, namespace: Namespace, tmp_path: Path
) -> None:
    counts = "and\t1\ncat\t1\ndog\t1\nend\t1\nthe\t3\n"
    mr("submit", "wc.py", "text.txt", "-o", "pvc://made/wc", "--output-size", "64Mi", "--workers", "1", "--wait")
    assert mr("get", "wc", "--merge") == counts
    assert mr("get", "wc", "--top", "1") == "the\t3\n"
    mr("get", "pvc://made/wc", "-o", "copy/")
    parts = [part.read_text() for part in sorted((tmp_path / "copy").glob("part-*"))]
    assert sorted("".join(parts).splitlines(keepends=True)) == counts.splitlines(keepends=True)
    assert mr("ls", "-o", "name") == "mapreducejob.mapreduce.dev/wc\n"
    assert mr("ls").splitlines()[1].split()[:4] == ["wc", "Complete", "1/1", "1/1"]
    assert mr("why", "wc").startswith("wc: Complete in ")
    mr("rm", "wc", "--wait", "2m")
    assert mr("get", "pvc://made/wc", "--merge") == counts
    namespace.until_gone("pods", "app.kubernetes.io/component=reader")


def test_a_failure_is_explained_by_the_record_and_the_users_own_frames(mr: Mr) -> None:
    mr("submit", "bad.py", "text.txt", "-o", "pvc://results/bad", "--workers", "1", "--max-attempts", "2")
    mr("wait", "bad", "--timeout", "4m", code=1)
    answer = json.loads(mr("why", "bad", "-o", "json"))
    assert answer["reason"] == "TaskFailed"
    (group,) = answer["failures"]
    assert "invalid literal for int()" in group["title"]
    assert "the cat and the dog" in group["newest"]["failure"]["record"]
    assert mr("logs", "bad", "--task", "map-0").count("saw the cat and the dog") == 2


def test_a_claim_that_one_pod_alone_may_mount_is_explained_before_any_pod_is_made(mr: Mr, namespace: Namespace) -> None:
    namespace.apply(claim("log", access_mode="ReadWriteOncePod"))
    storage = {"shuffle": "Shared", "log": {"claimName": "log"}}
    namespace.apply(clusterjobs.job("single", texts=["a b a\n"], storage=storage))
    mr("wait", "single", "--timeout", "4m", code=1)
    answer = json.loads(mr("why", "single", "-o", "json"))
    assert answer["reason"] == "InvalidSpec"
    assert "Claim log is ReadWriteOncePod, but coordinator and workers share it." in answer["sentence"]
    assert "Set storage.shuffle to Peer" in json.dumps(answer)
    assert namespace.listed("pods") == []


@pytest.mark.full
def test_a_suspended_job_shows_its_logs_and_goes_on_without_redoing_anything(mr: Mr, namespace: Namespace) -> None:
    pace = ("--arg", "seconds_per_line=4", "--split-size", "2")  # two thirds of a minute for two workers
    mr("submit", "slow.py", "long.txt", "-o", "pvc://results/slow", "--workers", "2", *pace)
    namespace.until("mapreducejob", "slow", "a committed map", lambda job: _status(job, "maps").get("committed", 0) > 0)
    mr("suspend", "slow")
    namespace.until_gone("pods", "app.kubernetes.io/component=coordinator")
    assert "spec.suspend is true" in mr("why", "slow")
    mr("logs", "slow", "--task", "map-0")
    mr("resume", "slow")
    mr("wait", "slow", "--timeout", "4m")
    assert len(mr("get", "slow", "--merge").splitlines()) == _LINES
    assert namespace.get("mapreducejob", "slow")["status"]["maps"].get("remade", 0) == 0


@pytest.mark.full
def test_a_cancelled_job_has_failed_and_says_so(mr: Mr, namespace: Namespace) -> None:
    mr("submit", "slow.py", "text.txt", "-o", "pvc://results/slow", "--workers", "1", "--arg", "seconds_per_line=60")
    namespace.until("mapreducejob", "slow", "mapping", lambda job: job.get("status", {}).get("state") == "Mapping")
    assert mr("cancel", "slow") == "job 'slow' is Cancelled\n"
    mr("wait", "slow", "--timeout", "2m", code=1)
    assert json.loads(mr("why", "slow", "-o", "json"))["reason"] == "Cancelled"


@pytest.mark.full
def test_a_job_that_waits_for_a_quota_is_explained_and_goes_on_with_fewer_workers(mr: Mr, namespace: Namespace) -> None:
    namespace.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
    )
    pace = ("--arg", "seconds_per_line=1", "--split-size", "2")
    mr("submit", "slow.py", "long.txt", "-o", "pvc://results/slow", "--workers", "4", *pace)
    namespace.until("mapreducejob", "slow", "is short of pods", _is_short_of_workers)
    answer = json.loads(mr("why", "slow", "-o", "json"))
    assert answer["reason"] == "QuotaExceeded"
    assert "exceeded quota: q" in answer["sentence"]
    mr("scale", "slow", "--workers", "1")
    namespace.until("mapreducejob", "slow", "has enough", holds("WorkersReady"))
    mr("wait", "slow", "--timeout", "4m")
    assert len(mr("get", "slow", "--merge").splitlines()) == _LINES


def test_doctor_finds_a_cluster_that_can_run_jobs(mr: Mr) -> None:
    found = {one["subject"]: one["verdict"] for one in json.loads(mr("doctor", "-o", "json"))}
    assert "bad" not in found.values()
    assert {"cluster", "namespace"} <= found.keys()


def _is_short_of_workers(job: Object) -> bool:
    return condition(job, "WorkersReady").get("reason") == "QuotaExceeded"


def _status(job: Object, part: str) -> Object:
    """A part of a job's status, empty while there is none."""
    found: Object = job.get("status", {}).get(part, {})
    return found
