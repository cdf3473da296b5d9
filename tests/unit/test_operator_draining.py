"""Workers that are told to go while committed runs lie on their disks only: the time they have, and what is said."""

from __future__ import annotations

import dataclasses
from typing import Any

from mapreduce_operator.coordinatorreport import CoordinatorReport
from mapreduce_operator.manifests import workers
from tests.support.operatorjobs import (
    NOW_S,
    actions_of,
    answer,
    conditions_of,
    coordinator,
    manifests,
    message_of,
    started,
    worker,
)


def test_with_peer_workers_have_the_time_to_bring_their_runs_to_safety() -> None:
    def grace(**fields: Any) -> tuple[int, bool]:
        pod = workers.batch_job(manifests(**fields), replicas=2, is_suspended=False)["spec"]["template"]["spec"]
        (agent,) = pod["containers"]
        return pod["terminationGracePeriodSeconds"], "--replica-grace-s" in agent["args"]

    assert grace() == (30, False)
    assert grace(storage={"shuffle": "Peer"}) == (130, True)


def test_without_a_view_of_nodes_a_worker_that_brings_runs_to_safety_is_told_from_one_whose_node_died() -> None:
    ready = worker(0, deadline_s=NOW_S + 500, grace_s=610.0)
    assert actions_of(started(pods=(ready,))) == []
    ending = dataclasses.replace(ready, deadline_s=NOW_S + 610 - 89, is_ready=False)
    assert actions_of(started(pods=(ending,))) == []
    silent = dataclasses.replace(ready, deadline_s=NOW_S + 610 - 91, is_ready=False)
    assert actions_of(started(pods=(silent,))) == ["Delete"]


def test_a_suspension_that_waits_for_replicas_says_how_many() -> None:
    seen = started(
        suspend=True,
        storage={"shuffle": "Peer"},
        pods=(coordinator(), worker(0, deadline_s=NOW_S + 600)),
        fields={"answer": answer(report=CoordinatorReport(replicas_pending=7))},
    )
    assert conditions_of(seen)["Suspended"] == ("False", "ReplicasPending")
    assert "7 are left" in message_of(seen, "Suspended")
    copied = dataclasses.replace(seen, answer=answer(report=CoordinatorReport()))
    assert conditions_of(copied)["Suspended"] == ("False", "Draining")
