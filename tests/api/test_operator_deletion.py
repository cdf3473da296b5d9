"""What is left when a job is deleted: in every phase nothing but its output. And jobs that come again (K6, K7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.operatorstage import Job, Stage
from tests.support.scriptedcluster import ended, running, unschedulable

RESULTS = {"persistentvolumeclaims": ["results"]}
PHASES: dict[str, Callable[[Job], object]] = {
    "at once": lambda _: None,
    "starting": lambda job: job.stage.until(lambda: bool(job.pods), "a pod"),
    "mapping": lambda job: job.until_mapping(),
    "reducing": lambda job: job.until_reducing(),
    "suspended": lambda job: _suspend(job),
    "complete": lambda job: job.complete(),
    "failed": lambda job: job.fail(),
}


def _suspend(job: Job) -> None:
    job.until_mapping()
    job.patch(suspend=True)
    job.stage.until(lambda: job.is_true("Suspended") and not job.pods, "no pods")


def _has_only_results(stage: Stage) -> bool:
    return stage.cluster.children() in ({}, RESULTS)


@pytest.mark.parametrize("phase", PHASES)
def test_a_deleted_job_leaves_nothing_but_its_output(stage: Stage, phase: str) -> None:
    job = stage.submit()
    PHASES[phase](job)
    job.delete()
    stage.until(lambda: not job.content, "the deletion")
    stage.until(lambda: _has_only_results(stage), "nothing else")
    stage.until_quiet()
    assert _has_only_results(stage)
    if phase not in {"at once", "starting"}:
        assert stage.cluster.children() == RESULTS


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_the_deletion_of_a_published_job_is_not_held_up_without_the_operator(stage: Stage, policy: str) -> None:
    job = stage.submit()
    job.complete()
    stage.until(lambda: not job.content["metadata"].get("finalizers"), "nothing to remove")
    stage.operator.kill()
    job.delete(propagationPolicy=policy)
    for _ in range(3):
        stage.cluster.collect_garbage()
    assert not job.content
    assert _has_only_results(stage)


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_the_output_folder_of_a_job_deleted_at_work_is_given_up(stage: Stage, policy: str) -> None:
    stage.cleanup = running
    job = stage.submit()
    job.until_mapping()
    assert job.content["metadata"]["finalizers"] == ["mapreduce.dev/runs"]
    job.delete(propagationPolicy=policy)
    stage.until(lambda: job.child("jobs", job.names.cleanup) is not None, "the clean-up")
    cleanup = job.child("jobs", job.names.cleanup) or {}
    container = cleanup["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "mapreduce.podcleanup"]
    assert container["args"][:4] == ["--output", "/mr/claims/results/out", "--owner", job.uid]
    stage.cleanup = ended(0)
    stage.until(lambda: not job.content, "the deletion")
    stage.until(lambda: stage.cluster.children() == RESULTS, "the output alone")


def test_a_job_that_was_kept_from_starting_is_deleted_without_a_clean_up(stage: Stage) -> None:
    stage.cluster.coordinator = unschedulable("0/2 nodes are available: 2 node(s) didn't match the selector.")
    job = stage.submit()
    stage.until(lambda: job.reason("CoordinatorReady") == "Unschedulable", "the scheduler's word")
    job.delete()
    stage.until(lambda: not job.content, "the deletion")
    stage.until(lambda: stage.cluster.children() == RESULTS, "the output alone")
    assert not any(job.names.cleanup in str(call) for call in stage.changes())


def test_claims_that_the_user_gave_are_cleaned_by_a_job_and_stay(stage: Stage) -> None:
    stage.cleanup = running
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    stage.api.create("persistentvolumeclaims", stage.namespace, {"metadata": {"name": "mine"}, "spec": claim})
    job = stage.submit(storage={"log": {"claimName": "mine"}})
    job.until_mapping()
    assert job.content["metadata"]["finalizers"] == ["mapreduce.dev/runs"]
    job.delete()
    stage.until(lambda: job.child("jobs", job.names.cleanup) is not None, "the clean-up")
    cleanup = job.child("jobs", job.names.cleanup) or {}
    mounted = [volume.get("persistentVolumeClaim", {}) for volume in cleanup["spec"]["template"]["spec"]["volumes"]]
    assert {"claimName": "mine"} in mounted
    stage.cleanup = ended(0)
    stage.until(lambda: not job.content, "the deletion")
    stage.until(lambda: stage.cluster.children() == {"persistentvolumeclaims": ["mine", "results"]}, "both claims")


def test_a_clean_up_that_does_not_come_to_an_end_holds_the_job_no_longer_than_its_deadline(stage: Stage) -> None:
    stage.cleanup = running
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    stage.api.create("persistentvolumeclaims", stage.namespace, {"metadata": {"name": "mine"}, "spec": claim})
    job = stage.submit(storage={"log": {"claimName": "mine"}})
    job.until_mapping()
    job.delete()
    stage.until(lambda: not job.content, "the deletion")


def test_a_job_created_again_under_the_same_name_never_sees_the_old_one(stage: Stage) -> None:
    old = stage.submit("count")
    old.until_mapping()
    old_names = old.names
    old.delete()
    stage.until(lambda: not old.content, "the deletion")
    new = stage.submit("count")
    assert new.uid != old.uid
    new.until_started()
    assert new.status.get("maps", {}).get("committed", 0) == 0
    assert new.names.base != old_names.base
    owners = {owner["uid"] for pod in stage.cluster.pods() for owner in pod["metadata"]["ownerReferences"]}
    assert owners == {
        new.workers["metadata"]["uid"],
        (new.child("statefulsets", new.names.coordinator) or {})["metadata"]["uid"],
    }
    assert not old.pods
    new.complete()


def test_a_child_of_somebody_else_with_our_name_is_not_taken_over(stage: Stage) -> None:
    job = stage.submit(suspend=True)
    stage.until(lambda: job.is_true("Suspended"), "the condition")
    stage.api.delete("services", stage.namespace, job.names.coordinator)
    foreign = {"metadata": {"name": job.names.coordinator}, "spec": {"ports": [{"port": 1}]}}
    stage.api.create("services", stage.namespace, foreign)
    job.patch(suspend=False)
    stage.until(lambda: "NameTaken" in {found["reason"] for found in job.status.get("conditions", [])}, "the reason")
    service = job.child("services", job.names.coordinator) or {}
    assert service["spec"]["ports"][0]["port"] == 1
    stage.api.delete("services", stage.namespace, job.names.coordinator)
    job.complete()


def test_a_namespace_deleted_with_live_jobs_is_not_held_up_and_nothing_is_made_in_it(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.api.delete("namespaces", "", stage.namespace)  # from now on the API refuses anything new in it
    for resource in ("mapreducejobs", "statefulsets", "jobs", "pods", "services", "secrets", "configmaps"):
        for found in stage.api.list(resource, stage.namespace):
            stage.api.delete(
                resource,
                stage.namespace,
                found["metadata"]["name"],
                gracePeriodSeconds=0,
                propagationPolicy="Background",
            )
    stage.until(lambda: not job.content, "the deletion")
    other = stage.operator
    assert other.is_running
    count = len(stage.changes())
    stage.until_quiet()
    assert len(stage.changes()) - count < 20, "\n".join(map(str, stage.changes()[count:]))
    assert not stage.cluster.children().keys() - {"persistentvolumeclaims"}
