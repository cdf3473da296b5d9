"""How long a job may wait before it can work: what counts, from when, and what is said at the end of the patience."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mapreduce_operator import times
from mapreduce_operator.planning.observed import Answer, CodeMap, Observed
from mapreduce_operator.planning.plan import decide, plan
from tests.support.operatorjobs import (
    NOW_S,
    actions_of,
    condition,
    conditions_of,
    coordinator,
    message_of,
    new,
    started,
    worker,
)


def test_a_job_whose_coordinator_cannot_start_fails_after_its_pending_deadline_however_many_workers_are_ready() -> None:
    stuck = coordinator(is_ready=False, phase="Pending", node="", unschedulable="unbound PersistentVolumeClaims")
    silent = {"answer": Answer()}
    pending = {"pendingSince": times.text(NOW_S - 30)}
    pods = (stuck, worker(0), worker(1))
    seen = started(pods=pods, fields=silent, status=pending, pendingDeadlineSeconds=30)
    assert conditions_of(seen)["Failed"] == ("True", "PendingDeadlineExceeded")
    assert "unbound" in message_of(seen, "Failed")
    first = plan(started(pods=pods, fields=silent, pendingDeadlineSeconds=30)).status
    assert first is not None
    assert first.pending_since == times.text(NOW_S)


def test_a_coordinator_that_only_the_operator_cannot_reach_is_not_pending() -> None:
    pending = {"pendingSince": times.text(NOW_S - 99)}
    seen = started(fields={"answer": Answer(problem="timeout")}, status=pending, pendingDeadlineSeconds=30)
    assert decide(seen).outcome is None
    status = plan(seen).status
    assert status is not None
    assert status.pending_since is None


@pytest.mark.parametrize("missing", ["claim", "code"])
def test_a_job_that_waits_for_something_missing_fails_after_its_pending_deadline(missing: str) -> None:
    def seen(**status: Any) -> Observed:
        code = {"configMapRef": {"name": "code"}} if missing == "code" else {"inline": "x = 1"}
        made = new(code=code, pendingDeadlineSeconds=30, status=status)
        if missing == "code":
            return dataclasses.replace(made, code=CodeMap(problem="ConfigMap code is not there."))
        return dataclasses.replace(made, claims={})

    first = plan(seen()).status
    assert first is not None
    assert (first.pending_since, first.start_time) == (times.text(NOW_S), None)
    reason = "ConfigMapMissing" if missing == "code" else "ClaimMissing"
    blocked = [condition("Validated", "False", reason, message="It is missing.")]
    late = seen(pendingSince=times.text(NOW_S - 30), conditions=blocked)
    assert actions_of(late) == []
    assert conditions_of(late)["Failed"] == ("True", "PendingDeadlineExceeded")
    assert conditions_of(late)["Validated"] == ("False", reason)
    assert {"claim": "texts", "code": "ConfigMap code"}[missing] in message_of(late, "Failed")
