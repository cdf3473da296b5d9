"""A job's life as the operator leads it, with kubelets and coordinators by script: children, status, conditions."""

from __future__ import annotations

import json

import pytest

from tests.support.kubeapi import Object
from tests.support.operatorstage import Job, Stage, job_manifest
from tests.support.scriptedcluster import is_ready

STATUS_LIMIT_BYTES = 16 * 1024


def _children(job: Job) -> dict[str, list[str]]:
    """The children, with the job's own part of their names cut off."""
    names = job.stage.cluster.children()
    names.pop("pods", None)
    return {resource: sorted(name.replace(job.names.base, "BASE") for name in names[resource]) for resource in names}


def test_a_job_gets_its_children_runs_and_is_told_complete(stage: Stage) -> None:
    job = stage.submit()
    job.until_started()
    assert _children(job) == {
        "statefulsets": ["BASE-coordinator"],
        "jobs": ["BASE-workers"],
        "services": ["BASE-coordinator"],
        "secrets": ["BASE-admin", "BASE-worker"],
        "configmaps": ["BASE-job"],
        "persistentvolumeclaims": ["BASE-log", "results"],
    }
    assert job.workers["spec"]["parallelism"] == 2
    job.until_reducing()
    job.complete()
    status = job.status
    assert status["state"] == "Complete"
    assert (status["maps"]["progress"], status["reduces"]["progress"]) == ("8/8", "2/2")
    assert job.is_true("ReducesComplete")
    assert not job.is_true("Failed")
    assert status["observedGeneration"] == job.content["metadata"]["generation"] == 1
    assert status["startTime"] <= status["completionTime"]


def test_workers_are_gone_after_the_end_and_the_coordinator_stays_to_serve_the_result(stage: Stage) -> None:
    job = stage.submit()
    job.complete()
    stage.until(lambda: len(job.live_pods) == 1, "the end of the workers")
    assert [pod["metadata"]["name"] for pod in job.live_pods] == [job.names.coordinator_pod]


def test_a_job_without_reducers_is_complete_after_its_maps(stage: Stage) -> None:
    job = stage.submit(reducers=0, reducer=None)
    job.until_mapping(committed=3, total=3)
    job.coordinator.set("Complete", (3, 3))
    stage.until(lambda: job.is_true("Complete"), "the end")
    assert job.status["reduces"].get("total", 0) == 0


def test_a_failed_job_says_the_coordinators_reason_and_words(stage: Stage) -> None:
    job = stage.submit()
    job.fail("TaskFailed", "map-3 failed 4 times: ZeroDivisionError: division by zero at job.py:3")
    failed = job.condition("Failed")
    assert (failed["status"], failed["reason"]) == ("True", "TaskFailed")
    assert "ZeroDivisionError" in failed["message"]
    assert job.is_true("Finished")
    assert not job.is_true("Complete")


def test_a_job_at_rest_is_not_touched(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    # Observed and asked about once a second: an operator that writes what is there already never leaves such a window.
    stage.until_quiet(5)
    for resource, name in (("statefulsets", job.names.coordinator), ("jobs", job.names.workers)):
        child = job.child(resource, name)
        assert child is not None
        assert child["metadata"]["generation"] == 1


def test_the_status_stays_small_with_a_hundred_thousand_tasks_and_long_words(stage: Stage) -> None:
    job = stage.submit()
    job.until_started()
    counters = {f"counter-{number}-{'n' * 100}": number for number in range(1_000)}
    job.coordinator.set(
        "Failed", (99_999, 100_000), (0, 1_000), reason="TaskFailed", message="m" * 60_000, counters=counters
    )
    stage.until(lambda: job.is_true("Failed"), "the end")
    assert job.status["maps"]["progress"] == "99999/100000"
    assert len(json.dumps(job.status)) < STATUS_LIMIT_BYTES


# -------------------------------------------------------------------------------------------------------- while it runs
def test_a_suspended_job_has_no_pods_keeps_its_claims_and_goes_on(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    job.patch(suspend=True)
    stage.until(lambda: job.is_true("Suspended") and not job.pods, "no pods")
    assert job.child("persistentvolumeclaims", job.names.log_claim) is not None
    assert job.child("configmaps", job.names.config_map) is not None
    job.patch(suspend=False)
    stage.until(lambda: len(job.pods) == 3 and not job.is_true("Suspended"), "all pods again")
    job.complete()


def test_a_job_created_suspended_starts_nothing_until_it_is_resumed(stage: Stage) -> None:
    job = stage.submit(suspend=True)
    stage.until(lambda: job.is_true("Suspended"), "the condition")
    stage.until_quiet()
    assert not job.pods
    job.patch(suspend=False)
    job.complete()


def test_scaling_changes_the_number_of_workers_by_the_scale_subresource(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.api.patch("mapreducejobs", stage.namespace, job.name, {"spec": {"replicas": 5}}, "scale")
    stage.until(lambda: job.status["workers"].get("ready") == 5, "five workers")
    stage.api.patch("mapreducejobs", stage.namespace, job.name, {"spec": {"replicas": 1}}, "scale")
    stage.until(lambda: job.status["workers"].get("ready") == 1 and len(job.pods) == 2, "one worker")
    selector = job.status["workers"]["selector"]
    assert len(stage.cluster.pods(selector)) == 1


def test_workers_that_were_deleted_by_hand_come_back(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.api.delete("jobs", stage.namespace, job.names.workers, propagationPolicy="Background")
    stage.until(lambda: len(job.pods) == 3 and all(map(is_ready, job.pods)), "the workers")


@pytest.mark.parametrize("resource", ["services", "statefulsets"])
def test_a_child_that_was_deleted_by_hand_comes_back(stage: Stage, resource: str) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.api.delete(resource, stage.namespace, job.names.coordinator, propagationPolicy="Background")
    stage.until(lambda: job.child(resource, job.names.coordinator) is not None, f"the {resource}")
    job.complete()


# ------------------------------------------------------------------------------------------------------------ deadlines
def test_a_job_that_takes_too_long_fails_and_its_pods_end(stage: Stage) -> None:
    job = stage.submit(activeDeadlineSeconds=1)
    stage.until(lambda: job.is_true("Failed"), "the failure")
    assert job.reason("Failed") == "DeadlineExceeded"
    stage.until(lambda: len(job.live_pods) <= 1, "the end of the workers")


def test_a_job_that_gets_no_worker_in_time_fails_with_the_cause(stage: Stage) -> None:
    stage.worker = lambda _: None
    job = stage.submit(pendingDeadlineSeconds=1)
    stage.until(lambda: job.is_true("Failed"), "the failure")
    assert job.reason("Failed") == "PendingDeadlineExceeded"


def test_a_finished_job_is_deleted_after_its_time_and_the_output_stays(stage: Stage) -> None:
    job = stage.submit(ttlSecondsAfterFinished=1)
    job.until_started()
    job.coordinator.set("Complete", (8, 8), (2, 2))
    stage.until(lambda: not job.content, "the deletion")
    stage.until(lambda: stage.cluster.children() == {"persistentvolumeclaims": ["results"]}, "only the output")


# --------------------------------------------------------------------------------------------------------- restrictions
def test_every_pod_is_accepted_where_restricted_pods_only_are(stage: Stage) -> None:
    job = stage.submit()
    job.until_started()
    assert not stage.cluster.refused
    for pod in job.pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        _check_every_container(pod)


def _check_every_container(pod: Object) -> None:
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_a_dry_run_of_a_job_makes_nothing(stage: Stage) -> None:
    stage.api.create("mapreducejobs", stage.namespace, job_manifest("dry"), dry_run=True)
    stage.until_quiet(0.3)
    assert not stage.cluster.children()
