"""What keeps a job from running shows as a condition with the cause, and goes away with it."""

from __future__ import annotations

import pytest

from mapreduce_operator.reasons import REASONS
from tests.support.kubeapi import Object
from tests.support.operatorstage import CODE, Job, Stage
from tests.support.scriptedcluster import PodScript, ended, running, unschedulable, waiting

PULL = waiting("ImagePullBackOff", 'Back-off pulling image "nowhere.example/x": no such host')


def _condition(job: Job, kind: str) -> Object:
    found = job.condition(kind)
    assert found.get("reason", "Pending") in REASONS, found
    return found


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        (PULL, "ImagePullFailed", "nowhere.example/x"),
        (unschedulable("0/3 nodes are available: 3 Insufficient memory."), "Unschedulable", "Insufficient memory"),
        (waiting("CreateContainerConfigError", 'secret "mine" not found'), "ContainerCannotStart", 'secret "mine"'),
        (ended(1, "no module named job", restarts=5), "CrashLoop", "no module named job"),
    ],
    ids=["image", "unschedulable", "config", "crash loop"],
)
def test_workers_that_cannot_start_say_why_and_recover(
    stage: Stage, script: PodScript, reason: str, words: str
) -> None:
    stage.worker = script
    job = stage.submit()
    stage.until(lambda: job.reason("WorkersReady") == reason, reason)
    found = _condition(job, "WorkersReady")
    assert found["status"] == "False"
    assert words in found["message"]
    stage.worker = running
    job.complete()


@pytest.mark.parametrize(
    ("script", "reason"),
    [(PULL, "ImagePullFailed"), (unschedulable("0/3 nodes are available"), "Unschedulable")],
    ids=["image", "unschedulable"],
)
def test_a_coordinator_that_cannot_start_says_why_and_recovers(stage: Stage, script: PodScript, reason: str) -> None:
    stage.cluster.coordinator = script
    job = stage.submit()
    stage.until(lambda: job.reason("CoordinatorReady") == reason, reason)
    assert _condition(job, "CoordinatorReady")["status"] == "False"
    stage.cluster.coordinator = running
    job.complete()


def test_a_quota_that_is_too_small_is_named_and_the_job_goes_on_when_it_is_raised(stage: Stage) -> None:
    _set_quota(stage, pods=2, used=0)
    job = stage.submit()
    stage.until(lambda: job.reason("WorkersReady") == "QuotaExceeded", "the reason")
    assert "small" in _condition(job, "WorkersReady")["message"]
    _set_quota(stage, pods=10, used=2)
    job.complete()


def _set_quota(stage: Stage, *, pods: int, used: int) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": str(pods)}}}
    if stage.api.get("resourcequotas", stage.namespace, "small") is None:
        stage.api.create("resourcequotas", stage.namespace, quota)
    else:
        stage.api.patch("resourcequotas", stage.namespace, "small", {"spec": quota["spec"]})
    status = {"status": {"hard": {"pods": str(pods)}, "used": {"pods": str(used)}}}
    stage.api.patch("resourcequotas", stage.namespace, "small", status, "status")


# ---------------------------------------------------------------------------------------------------- what can not work
@pytest.mark.parametrize("reason", ["InvalidCode", "InvalidInput", "OutputExists"])
def test_a_coordinator_that_says_why_it_gives_up_fails_the_job_with_that(stage: Stage, reason: str) -> None:
    message = f'{{"reason": "{reason}", "message": "job.py, line 3: what is wrong"}}'
    stage.cluster.coordinator = ended(2, message, restarts=1)
    job = stage.submit()
    stage.until(lambda: job.is_true("Failed"), "the failure")
    found = _condition(job, "Failed")
    assert found["reason"] == reason
    assert "job.py, line 3" in found["message"]


def test_a_coordinator_that_crashes_once_fails_nothing(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.cluster.coordinator = ended(137, reason="OOMKilled", restarts=1)
    stage.until(lambda: not job.is_true("CoordinatorReady"), "its end to be seen")
    stage.cluster.coordinator = running
    stage.until(lambda: job.is_true("CoordinatorReady"), "its return")
    assert not job.is_true("Failed")
    job.complete()


def test_a_config_map_that_is_missing_is_named_and_waited_for(stage: Stage) -> None:
    job = stage.submit(code={"configMapRef": {"name": "code", "key": "job.py"}})
    stage.until(lambda: "ConfigMapMissing" in {found["reason"] for found in _conditions(job)}, "the reason")
    assert not job.is_true("Failed")
    stage.api.create("configmaps", stage.namespace, {"metadata": {"name": "code"}, "data": {"job.py": CODE}})
    job.complete()


def test_a_claim_that_is_missing_is_named_and_waited_for(stage: Stage) -> None:
    job = stage.submit(inputs=[{"uri": "pvc://books/*.txt"}])
    stage.until(lambda: "ClaimMissing" in {found["reason"] for found in _conditions(job)}, "the reason")
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    stage.api.create("persistentvolumeclaims", stage.namespace, {"metadata": {"name": "books"}, "spec": claim})
    job.complete()


def _conditions(job: Job) -> list[Object]:
    conditions: list[Object] = job.status.get("conditions", [])
    return conditions


# --------------------------------------------------------------------------------------------- reaching the coordinator
def test_a_coordinator_that_does_not_answer_is_told_and_progress_stays(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping(committed=3)
    job.coordinator.refuses = 500
    stage.until(lambda: job.reason("CoordinatorReady") == "CoordinatorUnreachable", "the reason")
    assert job.status["maps"]["committed"] == 3
    job.coordinator.refuses = 0
    job.complete()


def test_workers_that_a_disruption_took_are_reported_and_not_charged(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    victim = next(pod for pod in job.pods if pod["metadata"]["name"] != job.names.coordinator_pod)
    name = victim["metadata"]["name"]
    status = ended(143)(victim)
    assert status is not None
    status["conditions"].append({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"})
    stage.worker = lambda pod: status if pod["metadata"]["name"] == name else running(pod)
    stage.until(lambda: any(name in report.workers for report in job.coordinator.gone), "the report")
    assert next(report.is_charged for report in job.coordinator.gone if name in report.workers) is False
    job.complete()


def test_a_worker_that_ran_out_of_memory_is_reported_and_charged(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    name = next(pod["metadata"]["name"] for pod in job.pods if pod["metadata"]["name"] != job.names.coordinator_pod)
    dead = ended(137, reason="OOMKilled")
    stage.worker = lambda pod: dead(pod) if pod["metadata"]["name"] == name else running(pod)
    stage.until(lambda: any(name in report.workers for report in job.coordinator.gone), "the report")
    assert next(report.is_charged for report in job.coordinator.gone if name in report.workers) is True
    job.complete()
