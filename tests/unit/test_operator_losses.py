"""What the operator does when something is lost, deleted or edited: nodes, pods, the job itself, its code."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from mapreduce_operator.facts import Node, Pod
from mapreduce_operator.manifests import snapshot
from mapreduce_operator.naming import FINALIZER, Names
from mapreduce_operator.planning import actions, gone
from mapreduce_operator.planning.observed import Answer, Children, CodeMap, Observed
from mapreduce_operator.planning.plan import decide, plan
from tests.support.operatorjobs import (
    NOW_S,
    SETTINGS,
    UID,
    actions_of,
    batch,
    claim,
    conditions_of,
    coordinator,
    ended,
    job,
    new,
    pod,
    started,
    waiting,
    worker,
)

NAMES = Names("count", UID)


def _created(seen: Observed) -> list[str]:
    return [action.key[0] for action in plan(seen).actions if isinstance(action, actions.Create)]


def _with_children(seen: Observed, **fields: Any) -> Observed:
    return dataclasses.replace(seen, children=dataclasses.replace(seen.children, **fields))


# --------------------------------------------------------------------------------------------------- nodes and pods


def _lost_node(since_s: float) -> dict[str, Node]:
    return {"node-a": Node(name="node-a", exists=True, silent_since_s=NOW_S - since_s)}


def test_pods_on_a_node_that_is_silent_for_some_seconds_are_given_up() -> None:
    pods = (coordinator(is_ready=False), worker(0, is_ready=False))
    assert actions_of(started(pods=pods, fields={"nodes": _lost_node(9)})) == []
    todo = plan(started(pods=pods, fields={"nodes": _lost_node(10)})).actions
    assert [(action.name, action.is_forced) for action in todo if isinstance(action, actions.Delete)] == [
        (NAMES.coordinator_pod, True),
        (f"{NAMES.workers}-0", True),
    ]


def test_pods_on_a_node_that_is_gone_are_given_up_at_once() -> None:
    gone_node = {"node-a": Node(name="node-a", exists=False, silent_since_s=None)}
    assert actions_of(started(pods=(worker(0, is_ready=False),), fields={"nodes": gone_node})) == ["Delete"]


def test_without_a_view_of_nodes_a_pod_is_given_up_when_it_is_overdue() -> None:
    assert actions_of(started(pods=(worker(0, deadline_s=NOW_S - 59),))) == []
    assert actions_of(started(pods=(worker(0, deadline_s=NOW_S - 61),))) == ["Delete"]


def test_a_pod_that_takes_its_time_on_a_healthy_node_is_left_alone() -> None:
    healthy = {"node-a": Node(name="node-a", exists=True, silent_since_s=None)}
    assert actions_of(started(pods=(worker(0, deadline_s=NOW_S - 500),), fields={"nodes": healthy})) == []


def test_the_coordinator_is_told_of_workers_that_ended_and_whether_they_are_to_blame() -> None:
    evicted = worker(0, phase="Failed", disruption="EvictionByEvictionAPI")
    deleted = worker(1)
    too_big = worker(2, phase="Failed", containers=(ended("agent", 137, reason="OOMKilled"),))
    seen = started(pods=(coordinator(), evicted, too_big), fields={"departed": (deleted,)})
    told = [action for action in plan(seen).actions if isinstance(action, actions.TellGone)]
    assert [(one.workers, one.is_charged, one.reason) for one in told] == [
        ((deleted.name,), False, "Deleted"),
        ((evicted.name,), False, "EvictionByEvictionAPI"),
        ((too_big.name,), True, "OOMKilled"),
    ]


def test_the_coordinator_is_told_once() -> None:
    seen = started(pods=(coordinator(), worker(0, phase="Failed")), fields={"told": frozenset({f"{NAMES.workers}-0"})})
    assert "TellGone" not in actions_of(seen)


@pytest.mark.parametrize(
    ("lost", "is_charged"),
    [
        (worker(0, phase="Failed", reason="Evicted"), True),
        (worker(0, phase="Failed", reason="Evicted", disruption="TerminationByKubelet"), False),
        (worker(0, phase="Failed", reason="NodeLost"), False),
        (worker(0, phase="Failed", containers=(ended("agent", 1),)), False),
        (worker(0), False),
    ],
)
def test_only_what_a_task_can_have_caused_counts_against_it(lost: Pod, is_charged: bool) -> None:
    assert gone.cause(lost)[0] is is_charged


# ------------------------------------------------------------------------------------------------------------ deletion


def _deleted(ago_s: float = 1.0, **fields: Any) -> Observed:
    seen = started(storage={"log": {"claimName": "logs"}}, finalizers=(FINALIZER,), deleted_s=NOW_S - ago_s)
    resource = seen.job
    usual: dict[str, Any] = {"claims": {"logs": claim("logs"), "texts": claim("texts"), "results": claim("results")}}
    return dataclasses.replace(seen, job=resource, answer=Answer(), **{**usual, **fields})


def test_without_given_claims_a_deleted_job_needs_nothing_of_us() -> None:
    assert actions_of(started(deleted_s=NOW_S)) == []


def test_a_deleted_jobs_pods_go_before_its_folder_is_removed() -> None:
    seen = _deleted()
    assert [(one.kind, one.name) for one in plan(seen).actions if isinstance(one, actions.Delete)] == [
        ("Job", NAMES.workers),
        ("StatefulSet", NAMES.coordinator),
    ]
    going = _with_children(seen, stateful_set=None, workers=None)
    assert actions_of(going) == [], "the pods still write there"
    assert _created(_with_children(going, pods=())) == ["Job"]


def test_the_folder_is_removed_from_given_claims_only_and_then_the_object_may_go() -> None:
    seen = _with_children(_deleted(), stateful_set=None, workers=None, pods=())
    made = next(one.manifest for one in plan(seen).actions if isinstance(one, actions.Create))
    template = made["spec"]["template"]["spec"]
    assert [one["persistentVolumeClaim"]["claimName"] for one in template["volumes"][:-1]] == ["logs"]
    assert template["containers"][0]["args"] == [f"/mr/given/0/{NAMES.base}"]
    assert "ownerReferences" not in made["metadata"]
    done = _with_children(seen, cleanup=batch(name=NAMES.cleanup, is_complete=True))
    assert actions_of(done) == ["RemoveFinalizer", "Delete"]


def test_a_clean_up_that_fails_is_said_and_does_not_hold_the_object() -> None:
    seen = _with_children(_deleted(), stateful_set=None, workers=None, pods=(), cleanup=batch(is_failed=True))
    assert actions_of(seen) == ["Announce", "RemoveFinalizer", "Delete"]


def test_a_deletion_is_held_no_longer_than_its_deadline() -> None:
    seen = _deleted(ago_s=SETTINGS.cleanup_deadline_s)
    assert actions_of(seen) == ["Announce", "RemoveFinalizer"]


def test_a_deleted_job_whose_claims_are_gone_or_that_never_ran_goes_at_once() -> None:
    assert actions_of(_deleted(claims={})) == ["RemoveFinalizer"]
    never = new(storage={"log": {"claimName": "logs"}}, finalizers=(FINALIZER,), deleted_s=NOW_S)
    assert actions_of(never) == ["RemoveFinalizer"]


def test_dead_nodes_do_not_hold_a_deletion() -> None:
    seen = _with_children(_deleted(nodes=_lost_node(30)), stateful_set=None, workers=None)
    assert actions_of(_with_children(seen, pods=(coordinator(is_ready=False),))) == ["Delete"]


# --------------------------------------------------------------------------------------------------------------- drift


def test_an_edit_of_what_changes_results_is_said_and_not_followed() -> None:
    seen = started()
    edited = dataclasses.replace(seen, job=dataclasses.replace(seen.job, raw_spec=job(reducers=9).raw_spec))
    assert conditions_of(edited)["SpecDrift"] == ("True", "SpecChanged")
    assert actions_of(edited) == []
    assert conditions_of(seen)["SpecDrift"] == ("False", "InSync")


def test_an_edit_into_something_unreadable_changes_nothing_but_the_condition() -> None:
    seen = started()
    broken = job(inputs=[{"uri": "nowhere"}])
    edited = dataclasses.replace(seen, job=dataclasses.replace(broken, status=seen.job.status))
    assert decide(edited).outcome is None
    assert conditions_of(edited)["SpecDrift"] == ("True", "SpecChanged")
    assert actions_of(edited) == []


def test_an_edit_of_the_codes_config_map_is_said() -> None:
    code = {"configMapRef": {"name": "code"}}
    seen = started(code=code)
    digest = snapshot.code_digest(seen.job.raw_spec, "a")
    status = msgspec.structs.replace(seen.job.status, code_digest=digest)
    seen = dataclasses.replace(seen, job=dataclasses.replace(seen.job, status=status))
    same = dataclasses.replace(seen, code=CodeMap(text="a"))
    other = dataclasses.replace(seen, code=CodeMap(text="b"))
    assert conditions_of(same)["SpecDrift"] == ("False", "InSync")
    assert conditions_of(other)["SpecDrift"] == ("True", "CodeChanged")
    assert conditions_of(seen)["SpecDrift"] == ("False", "InSync")


def test_children_of_another_component_are_not_taken_for_workers() -> None:
    reader = pod("mr-count-reader", "reader", is_ready=True)
    children = Children(pods=(reader,))
    assert children.live_workers == ()
    assert children.coordinator is None


def test_a_pod_that_waits_for_its_image_is_no_reason_to_do_anything() -> None:
    stuck = worker(0, is_ready=False, phase="Pending", containers=(waiting("agent", "ImagePullBackOff", "no such"),))
    assert actions_of(started(pods=(coordinator(), stuck))) == []
