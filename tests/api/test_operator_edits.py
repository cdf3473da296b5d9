"""A job that was started keeps to what it was started with, whoever edits what meanwhile (K7)."""

from __future__ import annotations

import pytest

from tests.support.kubeapi import ApiRefused
from tests.support.operatorstage import CODE, Stage


@pytest.mark.parametrize(
    "edit",
    [
        {"reducers": 7},
        {"inputs": [{"inline": "other"}]},
        {"code": {"inline": "def mapper(line): yield line, 1"}},
        {"mapper": "other"},
        {"output": {"uri": "pvc://results/elsewhere"}},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_what_changes_the_result_cannot_be_edited_after_the_start(stage: Stage, edit: dict[str, object]) -> None:
    job = stage.submit()
    stage.until(lambda: "startTime" in job.status, "the start")
    with pytest.raises(ApiRefused, match=r"(?i)started|immutable|cannot be changed"):
        job.patch(**edit)


def test_what_does_not_change_the_result_can_be_edited(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    job.patch(workers={"replicas": 3}, activeDeadlineSeconds=3600, ttlSecondsAfterFinished=600)
    stage.until(lambda: len(job.pods) == 4, "a third worker")
    stage.until(lambda: job.status["observedGeneration"] == job.content["metadata"]["generation"], "the generation")
    assert not job.is_true("SpecDrift")


def test_an_edited_config_map_is_drift_and_the_job_keeps_its_code(stage: Stage) -> None:
    content = {"metadata": {"name": "code"}, "data": {"job.py": CODE}}
    stage.api.create("configmaps", stage.namespace, content)
    job = stage.submit(code={"configMapRef": {"name": "code", "key": "job.py"}})
    job.until_mapping()
    kept = (job.child("configmaps", job.names.config_map) or {})["data"]
    digest = job.status["codeDigest"]
    stage.api.patch("configmaps", stage.namespace, "code", {"data": {"job.py": CODE + "# edited\n"}})
    stage.until(lambda: job.is_true("SpecDrift"), "the drift")
    assert job.reason("SpecDrift") == "CodeChanged"
    assert (job.child("configmaps", job.names.config_map) or {})["data"] == kept
    assert job.status["codeDigest"] == digest
    stage.api.patch("configmaps", stage.namespace, "code", {"data": {"job.py": CODE}})
    stage.until(lambda: not job.is_true("SpecDrift"), "the undone edit")


def test_an_edited_pod_template_is_drift(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    generation = job.workers["metadata"]["generation"]
    template = {"spec": {"nodeSelector": {"disk": "fast"}}}
    job.patch(workers={"replicas": 2, "podTemplate": template})
    stage.until(lambda: job.is_true("SpecDrift"), "the drift")
    assert job.workers["metadata"]["generation"] == generation
    job.complete()
