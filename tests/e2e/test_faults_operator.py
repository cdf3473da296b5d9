"""The operator killed, away, or upgraded amid a job: the job goes on without it, and its end is reported afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.nodes import Cluster
from tests.support import clusterjobs, operatorrelease
from tests.support.gatedjobs import GatedJob, Stage
from tests.support.kubecalls import Namespace, Object
from tests.support.podprocesses import kill_container


def test_without_an_operator_a_job_goes_on_and_its_end_is_reported_afterwards(
    operator: Cluster, stage: Stage, tmp_path: Path
) -> None:
    job = held(stage, "alone", "Peer")
    with operatorrelease.without_operator(operator):
        job.open("all")
        (workers,) = stage.namespace.listed("jobs.batch", clusterjobs.labels_of(job.found()))
        stage.namespace.until("jobs.batch", workers["metadata"]["name"], "a worker ended well", has_succeeded)
        assert "completionTime" not in job.found()["status"]
    job.check_complete(tmp_path)
    job.check_begun_once()


def test_an_operator_upgraded_amid_a_job_restarts_none_of_its_pods(
    operator: Cluster, stage: Stage, tmp_path: Path
) -> None:
    job = held(stage, "upgraded", "Shared")
    job.until_condition("WorkersReady")
    job.until_condition("CoordinatorReady")
    before = containers_of(job)
    # Jobs of the new version would get an image of which this one must hear nothing.
    with operatorrelease.upgraded(operator, {"log.level": "DEBUG", "workerImage.tag": "next"}):
        assert containers_of(job) == before
        job.open("all")
        job.check_complete(tmp_path)
    job.check_begun_once()


@pytest.mark.full
def test_a_killed_operator_comes_back_and_goes_on(operator: Cluster, stage: Stage, tmp_path: Path) -> None:
    job = held(stage, "killed", "Shared")
    operators = Namespace(operator, operatorrelease.NAMESPACE)
    for pod in operators.listed("pods", operatorrelease.OPERATOR_PODS):
        kill_container(operators, pod["metadata"]["name"], "operator")
    job.open("all")
    job.check_complete(tmp_path)


@pytest.mark.full
def test_a_deleted_operator_pod_is_replaced_and_goes_on(operator: Cluster, stage: Stage, tmp_path: Path) -> None:
    job = held(stage, "deleted", "Peer")
    operators = Namespace(operator, operatorrelease.NAMESPACE)
    for pod in operators.listed("pods", operatorrelease.OPERATOR_PODS):
        operators.kill_pod(pod["metadata"]["name"])
    job.open("all")
    job.check_complete(tmp_path)


def held(stage: Stage, name: str, shuffle: str) -> GatedJob:
    """A job with two maps committed and two amid their work."""
    job = stage.start(name, shuffle, "map-begin", "map-0@map-end", "map-1@map-end")
    job.until_at("map-end", 4)
    return job


def containers_of(job: GatedJob) -> dict[str, dict[str, str]]:
    """The ids of the containers of each of its pods: another one after a restart."""
    found: dict[str, dict[str, str]] = {}
    for pod in job.namespace.listed("pods", clusterjobs.labels_of(job.found())):
        states = [*pod["status"]["containerStatuses"], *pod["status"].get("initContainerStatuses", ())]
        found[pod["metadata"]["name"]] = {state["name"]: state["containerID"] for state in states}
    return found


def has_succeeded(workers: Object) -> bool:
    return bool(workers["status"].get("succeeded", 0) >= 1)
