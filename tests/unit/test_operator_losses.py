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
    answer,
    batch,
    claim,
    condition,
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


GIVEN = {"log": {"claimName": "logs"}}
STAYING = {name: claim(name) for name in ("logs", "texts", "results")}


def _deleted(ago_s: float = 1.0, options: dict[str, Any] | None = None, **fields: Any) -> Observed:
    """A job that was at work when it was deleted, whose coordinator does not answer."""
    seen = started(deleted_s=NOW_S - ago_s, **(options or {}))
    return dataclasses.replace(seen, **{"answer": Answer(), "claims": STAYING, **fields})


def _without_pods(seen: Observed, **children: Any) -> Observed:
    return _with_children(seen, **{"stateful_set": None, "workers": None, "pods": (), **children})


def _cleaning_up(seen: Observed) -> tuple[list[str], list[str]]:
    """The claims and the arguments of the clean-up that is begun."""
    made = next(one.manifest for one in plan(seen).actions if isinstance(one, actions.Create))
    assert "ownerReferences" not in made["metadata"]
    template = made["spec"]["template"]["spec"]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in template["volumes"][:-1]]
    return claims, template["containers"][0]["args"]


def test_without_a_finalizer_of_ours_a_deleted_job_needs_nothing_of_us() -> None:
    assert actions_of(_deleted(options={"finalizers": ()})) == []


def test_a_deleted_job_is_ended_by_its_coordinator_first_for_that_is_faster_than_a_grace() -> None:
    working = _deleted(answer=answer("Mapping"))
    assert actions_of(working) == ["CancelJob"]
    ended_now = dataclasses.replace(working, answer=answer("Cancelled"))
    assert actions_of(ended_now) == [], "its workers hear of it"
    assert actions_of(_with_children(ended_now, pods=(coordinator(),))) == ["Delete", "Delete"]


def test_a_coordinator_that_does_not_answer_or_takes_its_time_is_not_waited_for() -> None:
    assert actions_of(_deleted()) == ["Delete", "Delete"]
    assert actions_of(_deleted(ago_s=21, answer=answer("Committing"))) == ["Delete", "Delete"]


def test_a_deleted_jobs_pods_go_before_what_it_left_is_removed() -> None:
    seen = _deleted()
    assert [(one.kind, one.name) for one in plan(seen).actions if isinstance(one, actions.Delete)] == [
        ("Job", NAMES.workers),
        ("StatefulSet", NAMES.coordinator),
    ]
    going = _with_children(seen, stateful_set=None, workers=None)
    assert actions_of(going) == [], "the pods still write there"
    assert _created(_with_children(going, pods=())) == ["Job"]


def test_the_output_folder_of_a_job_without_a_result_is_given_up_and_then_the_object_may_go() -> None:
    seen = _without_pods(_deleted())
    output = ["--output", "/mr/claims/results/count", "--owner", UID, "--pods", f"{NAMES.base}-"]
    assert _cleaning_up(seen) == (["results"], output)
    done = _with_children(seen, cleanup=batch(name=NAMES.cleanup, is_complete=True))
    assert actions_of(done) == ["RemoveFinalizer", "Delete"]


def test_the_folder_is_removed_from_given_claims_too() -> None:
    seen = _without_pods(_deleted(options={"storage": GIVEN}))
    claims, arguments = _cleaning_up(seen)
    assert claims == ["logs", "results"]
    assert arguments[:3] == ["--folder", f"/mr/claims/logs/{NAMES.base}", "--output"]


def test_a_claim_for_log_and_output_is_mounted_once() -> None:
    seen = _without_pods(_deleted(options={"storage": GIVEN, "output": {"uri": "pvc://logs/out"}}))
    claims, arguments = _cleaning_up(seen)
    assert claims == ["logs"]
    assert arguments[:4] == ["--folder", f"/mr/claims/logs/{NAMES.base}", "--output", "/mr/claims/logs/out"]


def test_a_published_result_is_not_touched_by_the_deletion() -> None:
    published = [condition("Complete", "True", "Published"), condition("Finished", "True", "Succeeded")]
    assert actions_of(_deleted(options={"conditions": published})) == ["RemoveFinalizer"]
    given = _without_pods(_deleted(options={"conditions": published, "storage": GIVEN}))
    assert _cleaning_up(given) == (["logs"], ["--folder", f"/mr/claims/logs/{NAMES.base}"])


def test_what_a_failed_job_left_is_removed_with_it() -> None:
    failed = [condition("Failed", "True", "PendingDeadlineExceeded"), condition("Finished", "True", "JobFailed")]
    assert _cleaning_up(_without_pods(_deleted(options={"conditions": failed})))[0] == ["results"]


def test_a_job_whose_coordinator_was_kept_from_starting_has_left_nothing() -> None:
    pending = coordinator(phase="Pending", is_ready=False, node="", unschedulable="0/2 nodes are available")
    assert actions_of(_with_children(_deleted(), pods=(pending, worker(0)))) == ["RemoveFinalizer"]
    no_image = coordinator(phase="Pending", is_ready=False, containers=(waiting("coordinator", "ImagePullBackOff"),))
    assert actions_of(_with_children(_deleted(), pods=(no_image,))) == ["RemoveFinalizer"]


def test_a_coordinator_that_ran_before_it_was_kept_from_starting_may_have_left_something() -> None:
    pending = coordinator(phase="Pending", is_ready=False, node="", unschedulable="0/2 nodes are available")
    again = _deleted(options={"status": {"coordinator": {"epoch": 1}}})
    assert actions_of(_with_children(again, pods=(pending,))) == ["Delete", "Delete"]
    starting = coordinator(phase="Pending", is_ready=False)
    assert actions_of(_with_children(_deleted(), pods=(starting,))) == ["Delete", "Delete"], "it may start just now"


def test_a_clean_up_that_fails_is_said_and_does_not_hold_the_object() -> None:
    seen = _without_pods(_deleted(options={"storage": GIVEN}), cleanup=batch(is_failed=True))
    assert actions_of(seen) == ["Announce", "RemoveFinalizer", "Delete"]
    said = next(one.message for one in plan(seen).actions if isinstance(one, actions.Announce))
    assert f"Folder {NAMES.base} of logs. Folder _mapreduce of pvc://results/count." in said


def test_a_deletion_is_held_no_longer_than_its_deadline() -> None:
    seen = _deleted(ago_s=SETTINGS.cleanup_deadline_s, answer=answer("Mapping"))
    assert actions_of(seen) == ["Announce", "RemoveFinalizer"]


def test_a_deleted_job_whose_claims_are_gone_or_go_or_that_never_ran_goes_at_once() -> None:
    assert actions_of(_deleted(claims={})) == ["RemoveFinalizer"]
    going = {"results": dataclasses.replace(claim("results"), is_going=True)}
    assert actions_of(_deleted(claims=going)) == ["RemoveFinalizer"]
    never = new(storage=GIVEN, finalizers=(FINALIZER,), deleted_s=NOW_S)
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
