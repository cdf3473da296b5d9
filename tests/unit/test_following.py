"""What is said to somebody who waits for a job of a cluster: the first thing that keeps it, in the operator's words."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mapreduce_cli.cluster.following import waits_for
from mapreduce_cli.cluster.jobs import ClusterJob
from mapreduce_operator import times
from tests.support.clustercommands import condition


def _job(*conditions: dict[str, Any], started_ago_s: float = 600.0) -> ClusterJob:
    began = times.text(time.time() - started_ago_s)
    status = {"startTime": began, "conditions": list(conditions)}
    return ClusterJob.of({"metadata": {"name": "wc"}, "status": status})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("CoordinatorReady", "ClaimPending"),
        ("CoordinatorReady", "CoordinatorUnreachable"),
        ("WorkersReady", "QuotaExceeded"),
        ("Validated", "ConfigMapMissing"),
    ],
)
def test_what_keeps_a_job_is_said(kind: str, reason: str) -> None:
    assert waits_for(_job(condition(kind, "False", reason, "Words."))) == "Words."


def test_the_coordinators_trouble_is_said_before_that_of_workers_which_can_do_nothing_without_it() -> None:
    workers = condition("WorkersReady", "False", "Unschedulable", "No node for workers.")
    assert (
        waits_for(_job(workers, condition("CoordinatorReady", "False", "VolumeNodeLost", "Its node."))) == "Its node."
    )


@pytest.mark.parametrize("reason", ["Starting", "Pending", "JobEnded"])
def test_what_is_usual_is_not_said(reason: str) -> None:
    assert waits_for(_job(condition("CoordinatorReady", "False", reason, "Words."))) == ""


def test_a_coordinator_that_is_not_reachable_at_the_moment_of_its_start_is_not_said() -> None:
    found = condition("CoordinatorReady", "False", "CoordinatorUnreachable", "Words.")
    assert waits_for(_job(found, started_ago_s=1)) == ""
