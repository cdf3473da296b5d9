"""Many jobs at once, names and specifications at their limits: refused or run, bounded, never a crash (K13, K14)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.kubeapi import ApiRefused
from tests.support.operatorprocess import USUAL_WAITS
from tests.support.operatorstage import Job, Stage

MANY = 100
MEMORY_LIMIT_BYTES = 150 << 20
CHANGES_PER_JOB = 30
REST_S = 10
ROUND_S = 1.0
"""Rounds of so large a namespace are not played more often: they list all of it, beside what is to be measured."""
#: Fifty looks a second, of which each reads its job, and as much again for what is still written and made sure of.
CALLS_PER_S = 100
TRACEBACK = "Traceback (most recent call last)"


@pytest.fixture
def patient(stage: Stage) -> Iterator[Stage]:
    """A namespace whose operator waits as long as in a cluster."""
    stage.operator.end()
    stage.operator.environment = USUAL_WAITS
    stage.operator.start()
    yield stage
    stage.operator.end()
    stage.operator.environment = {}


@pytest.mark.timeout(600)
def test_a_hundred_jobs_at_once_start_within_bounded_memory_and_calls(patient: Stage) -> None:
    stage = patient
    jobs = [stage.submit(f"job-{number}", workers={"replicas": 1}) for number in range(MANY)]

    def all_ready() -> bool:
        found = stage.api.list("mapreducejobs", stage.namespace)
        return sum(_is_ready(content) for content in found) == len(jobs)

    took_s = stage.until(all_ready, "all jobs", within_s=240, pause_s=ROUND_S)
    per_job = len(stage.changes()) / MANY
    assert per_job < CHANGES_PER_JOB
    assert stage.operator.memory_bytes() < MEMORY_LIMIT_BYTES
    count, began_s = len(stage.proxy.calls), time.monotonic()
    stage.until(lambda: time.monotonic() - began_s > REST_S, "seconds of rest", pause_s=ROUND_S)
    per_s = (len(stage.proxy.calls) - count) / (time.monotonic() - began_s)
    print(f"{MANY} jobs ready after {took_s:.1f} s, {per_job:.1f} changes each, at rest {per_s:.1f} calls/s")
    assert per_s < CALLS_PER_S


def _is_ready(content: dict[str, Any]) -> bool:
    conditions = content.get("status", {}).get("conditions", [])
    return any(found["type"] == "WorkersReady" and found["status"] == "True" for found in conditions)


# --------------------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize(
    "name",
    ["a", "1", "0-9", "a" * 63, "a.b.c", f"{'a' * 31}.{'b' * 31}", f"{'a' * 27}--{'b' * 34}", "g" * 252 + "-"],
    ids=["one letter", "a digit", "digits", "63", "dots", "63 with dots", "cut at a dash", "generateName of 253"],
)
def test_a_name_at_its_limits_runs(stage: Stage, name: str) -> None:
    job = stage.submit(name)
    job.until_started()
    assert job.names.coordinator in stage.cluster.children()["services"]
    job.complete()


@pytest.mark.parametrize("name", ["a" * 64, "Upper", "under_score", "-a", "a..b", ""])
def test_a_name_beyond_the_limits_is_refused_by_the_api(stage: Stage, name: str) -> None:
    with pytest.raises(ApiRefused):
        stage.submit(name)


# ------------------------------------------------------------------------------------------------------- specifications
def _pod(**spec: Any) -> dict[str, Any]:
    return {"workers": {"replicas": 1, "podTemplate": {"spec": spec}}}


ODD: dict[str, dict[str, Any]] = {
    "no-such-field": _pod(noSuchField=1),
    "spec-is-text": {"workers": {"replicas": 1, "podTemplate": {"spec": "x"}}},
    "template-is-deep": {"workers": {"replicas": 1, "podTemplate": {"spec": {"affinity": {"nodeAffinity": 7}}}}},
    "null-everywhere": {"workers": {"replicas": 1, "podTemplate": {"metadata": None, "spec": None}}},
    "containers-null": _pod(containers=None),
    "containers-text": _pod(containers=["agent"]),
    "no-name": _pod(containers=[{"image": "x"}]),
    "host-network": _pod(hostNetwork=True, hostPID=True),
    "privileged": _pod(containers=[{"name": "agent", "securityContext": {"privileged": True}}]),
    "root": _pod(securityContext={"runAsUser": 0, "runAsNonRoot": False}),
    "token": _pod(automountServiceAccountToken=True, serviceAccountName="mapreduce-operator"),
    "our-labels": {"workers": {"replicas": 1, "podTemplate": {"metadata": {"labels": {"mapreduce.dev/job-uid": "x"}}}}},
    "bad-label": {"workers": {"replicas": 1, "podTemplate": {"metadata": {"labels": {"a b": "c d"}}}}},
    "label-is-number": {"workers": {"replicas": 1, "podTemplate": {"metadata": {"labels": {"a": 1}}}}},
    "bad-quantity": _pod(containers=[{"name": "executor", "resources": {"limits": {"memory": "lots"}}}]),
    "our-volume": _pod(volumes=[{"name": "mr-tokens", "hostPath": {"path": "/etc"}}]),
    "host-path": _pod(volumes=[{"name": "mine", "hostPath": {"path": "/etc"}}]),
    "node-selector-number": _pod(nodeSelector={"zone": 3}),
    "long-image": {"image": "x" * 1_024},
    "odd-image": {"image": "not an image!"},
    "many-args": {"args": {f"argument-{number}": "v" * 100 for number in range(500)}},
    "dots-in-path": {"output": {"uri": "pvc://results/../../etc"}},
    "no-path": {"output": {"uri": "pvc://results"}},
    "slots": {"workers": {"replicas": 1, "slots": 256}},
    "no-workers": {"workers": {"replicas": 0}},
    "huge-claim": {"storage": {"log": {"claimTemplate": {"size": "999999999999999Pi"}}}},
    "no-such-class": {"storage": {"log": {"claimTemplate": {"storageClassName": "no-such-class"}}}},
    "no-such-function": {"mapper": "x" * 253},
}


def test_odd_specifications_are_refused_or_run_or_fail_with_words_and_never_hurt_others(stage: Stage) -> None:
    said_before = len(stage.operator.said)
    jobs: dict[str, Job] = {}
    refused: dict[str, int] = {}
    for name, spec in ODD.items():
        try:
            jobs[name] = stage.submit(name, **spec)
        except ApiRefused as refusal:
            refused[name] = refusal.status
    assert set(refused.values()) <= {400, 422}, refused
    plain = stage.submit("plain")
    stage.until(lambda: not _unsettled([*jobs.values(), plain]), "all jobs to settle")
    plain.complete()
    told = {name: _told(job) for name, job in jobs.items()}
    print("\n".join(f"{name}: {words}" for name, words in told.items()))
    said = stage.operator.said[said_before:]
    assert TRACEBACK not in said, said[said.index(TRACEBACK) - 500 :][:6000]
    for pod in stage.cluster.pods():
        assert not pod["spec"].get("hostNetwork")
        assert not pod["spec"]["automountServiceAccountToken"]
        assert not any("hostPath" in volume for volume in pod["spec"]["volumes"])


def _unsettled(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs if not _told(job)]


def _told(job: Job) -> str:
    """How a job has settled: running, failed with a reason, or waiting with one."""
    if job.is_true("Failed"):
        return f"failed: {job.reason('Failed')}: {job.condition('Failed')['message'][:150]}"
    for kind in ("Validated", "WorkersReady", "CoordinatorReady"):
        reason = job.reason(kind)
        if reason not in {"", "Pending", "Checking", "Accepted", "Starting", "Ready", "Answering"}:
            return f"{kind}: {reason}: {job.condition(kind)['message'][:150]}"
    return "runs" if job.is_true("WorkersReady") else ""
