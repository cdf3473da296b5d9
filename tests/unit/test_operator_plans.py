"""What the operator does about a job in each situation: start, suspension, size, end, deadlines."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from mapreduce.protocol.messages import AttemptId, Failure, FailureSample, JobState, TaskCounts
from mapreduce_operator import times
from mapreduce_operator.naming import FINALIZER, Names
from mapreduce_operator.planning import actions, outcomes
from mapreduce_operator.planning.observed import Answer, CodeMap, Observed
from mapreduce_operator.planning.plan import decide, plan
from mapreduce_operator.planning.problem import Problem
from tests.support.operatorjobs import (
    NOW_S,
    UID,
    actions_of,
    answer,
    batch,
    claim,
    condition,
    conditions_of,
    coordinator,
    ended,
    given_claims,
    message_of,
    new,
    started,
    stateful_set,
    worker,
)

NAMES = Names("count", UID)


def _created(seen: Observed) -> list[str]:
    return [action.key[0] for action in plan(seen).actions if isinstance(action, actions.Create)]


def _with_children(seen: Observed, **fields: Any) -> Observed:
    return dataclasses.replace(seen, children=dataclasses.replace(seen.children, **fields))


# --------------------------------------------------------------------------------------------------------------- start


def test_the_snapshot_comes_first_then_what_pods_mount_then_the_pods() -> None:
    assert _created(new()) == [
        "ConfigMap",
        "Secret",
        "Secret",
        "PersistentVolumeClaim",
        "Service",
        "StatefulSet",
        "Job",
    ]


def test_the_finalizer_is_there_before_anything_else() -> None:
    assert actions_of(new())[:4] == ["Check", "Check", "AddFinalizer", "Create"]
    assert actions_of(started(finalizers=())) == ["AddFinalizer"]


def test_where_the_claim_of_the_log_is_given_none_is_made() -> None:
    assert "PersistentVolumeClaim" not in _created(new(storage={"log": {"claimName": "logs"}}))


def test_an_operator_that_comes_back_makes_only_what_is_missing() -> None:
    seen = _with_children(started(), workers=None)
    assert _created(seen) == ["Job"]
    assert _created(started()) == []


def test_a_job_waits_for_a_claim_that_it_names() -> None:
    seen = dataclasses.replace(new(), claims={})
    assert actions_of(seen) == []
    assert conditions_of(seen)["Validated"] == ("False", "ClaimMissing")
    assert "texts" in message_of(seen, "Validated")


def test_a_claim_that_the_job_makes_is_not_waited_for() -> None:
    output = {"uri": "pvc://results/x", "claimTemplate": {"size": "1Gi"}}
    seen = dataclasses.replace(new(output=output), claims={"texts": claim("texts")})
    assert _created(seen).count("PersistentVolumeClaim") == 2


def test_a_job_waits_for_the_config_map_of_its_code() -> None:
    code = {"configMapRef": {"name": "code"}}
    missing = dataclasses.replace(new(code=code), code=CodeMap(problem="ConfigMap code is not there."))
    assert actions_of(missing) == []
    assert conditions_of(missing)["Validated"] == ("False", "ConfigMapMissing")
    there = dataclasses.replace(new(code=code), code=CodeMap(text="def mapper(x): ..."))
    config_map = next(one for one in plan(there).actions if isinstance(one, actions.Create))
    assert config_map.manifest["data"]["job.py"] == "def mapper(x): ..."


def test_a_claim_for_one_pod_that_two_need_is_refused_for_good() -> None:
    seen = new()
    seen = dataclasses.replace(seen, claims=given_claims(seen.job, "ReadWriteOncePod"))
    assert conditions_of(seen)["Failed"] == ("True", "InvalidSpec")
    assert "ReadWriteOncePod" in message_of(seen, "Failed")


def test_a_claim_for_one_pod_does_for_the_coordinator_alone() -> None:
    seen = new(storage={"shuffle": "Peer"})
    seen = dataclasses.replace(seen, claims=given_claims(seen.job, "ReadWriteOncePod"))
    assert conditions_of(seen)["Validated"] == ("True", "Accepted")


def test_a_specification_that_cannot_work_fails_the_job_and_makes_nothing() -> None:
    seen = new(inputs=[{"uri": "nowhere"}])
    assert actions_of(seen) == []
    found = conditions_of(seen)
    assert found["Failed"] == ("True", "InvalidSpec")
    assert found["Validated"] == ("False", "InvalidSpec")
    assert found["Finished"] == ("True", "JobFailed")


def test_a_pod_template_that_the_api_server_refuses_fails_the_job() -> None:
    seen = dataclasses.replace(started(), refusal=Problem("InvalidPodTemplate", "spec.x: Invalid value"))
    assert conditions_of(seen)["Failed"] == ("True", "InvalidPodTemplate")
    assert actions_of(seen) == ["ChangeWorkers"]


# -------------------------------------------------------------------------------------------------- suspend and resume


def test_a_job_that_is_made_suspended_makes_nothing_until_it_is_resumed() -> None:
    seen = new(suspend=True)
    assert actions_of(seen) == []
    assert conditions_of(seen)["Suspended"] == ("True", "SuspendedByUser")
    assert plan(seen).status is not None


def test_suspending_ends_the_workers_first() -> None:
    todo = plan(started(suspend=True)).actions
    assert todo == (actions.ChangeWorkers(name=NAMES.workers, is_suspended=True),)


def test_the_coordinator_stays_until_the_workers_have_drained() -> None:
    seen = _with_children(started(suspend=True), workers=batch(is_suspended=True))
    assert actions_of(seen) == []
    assert conditions_of(seen)["Suspended"] == ("False", "Draining")
    drained = dataclasses.replace(_with_children(seen, pods=(coordinator(),)), answer=Answer())
    assert plan(drained).actions == (actions.ScaleCoordinator(name=NAMES.coordinator, replicas=0),)


def test_the_coordinator_stays_until_what_its_workers_committed_last_is_reported() -> None:
    """Or nobody would know how far a suspended job is: its status may be written once a second only."""
    drained = _with_children(started(suspend=True), workers=batch(is_suspended=True), pods=(coordinator(),))
    said = answer(maps=TaskCounts(total=8, committed=5))
    draining = dataclasses.replace(_with_children(started(suspend=True), workers=batch(is_suspended=True)), answer=said)
    assert plan(draining).look_again_s is None, "while workers go it is looked at as often as any job"
    seen = dataclasses.replace(drained, answer=said)
    assert actions_of(seen) == []
    assert plan(seen).look_again_s == pytest.approx(0.5)
    reported = plan(seen).status
    assert reported is not None
    seen = dataclasses.replace(seen, job=dataclasses.replace(seen.job, status=reported))
    assert actions_of(seen) == ["ScaleCoordinator"]
    silent = dataclasses.replace(drained, answer=Answer(problem="connection refused"))
    assert actions_of(silent) == ["ScaleCoordinator"]


def test_a_job_is_suspended_when_it_has_no_pods() -> None:
    seen = _with_children(
        started(suspend=True), workers=batch(is_suspended=True), stateful_set=stateful_set(replicas=0), pods=()
    )
    assert actions_of(seen) == []
    assert conditions_of(seen)["Suspended"] == ("True", "SuspendedByUser")


def test_resuming_starts_both_at_the_size_that_is_wanted_now() -> None:
    seen = _with_children(
        started(workers={"replicas": 5}),
        workers=batch(is_suspended=True),
        stateful_set=stateful_set(replicas=0),
        pods=(),
    )
    assert (
        plan(seen).actions
        == (
            actions.ScaleCoordinator(name=NAMES.coordinator, replicas=1),
            actions.ChangeWorkers(name=NAMES.workers, parallelism=5, is_suspended=False),
            actions.ChangeWorkers(name=NAMES.workers, parallelism=5),
        )[: len(plan(seen).actions)]
    )


def test_time_in_suspension_does_not_count_for_the_active_deadline() -> None:
    suspended = condition("Suspended", "True", "SuspendedByUser", at_s=NOW_S - 30)
    seen = started(conditions=[suspended], activeDeadlineSeconds=40)
    assert outcomes.active_s(seen) == 20  # started 50 s ago, suspended 30 s ago
    status = plan(seen).status
    assert status is not None
    assert status.suspended_seconds == 30
    assert decide(seen).outcome is None


# ---------------------------------------------------------------------------------------------------------------- size


def test_the_workers_job_follows_the_size_and_is_never_made_anew() -> None:
    assert plan(started(workers={"replicas": 7})).actions == (actions.ChangeWorkers(name=NAMES.workers, parallelism=7),)


def test_a_size_of_zero_is_said_not_failed() -> None:
    seen = started(workers={"replicas": 0}, pendingDeadlineSeconds=1)
    assert conditions_of(seen)["WorkersReady"] == ("False", "WorkersScaledDown")
    assert conditions_of(seen)["Stalled"] == ("True", "WorkersScaledDown")


def test_workers_that_ended_without_the_coordinators_word_are_replaced_by_a_new_job() -> None:
    seen = _with_children(started(), workers=batch(is_complete=True))
    assert actions_of(seen) == ["Delete"]
    silent = dataclasses.replace(seen, answer=Answer())
    assert actions_of(silent) == [], "the coordinator may have said that it is done"


def test_of_workers_that_crash_again_and_again_only_the_latest_pods_stay() -> None:
    crashed = tuple(worker(number, phase="Failed", created_s=NOW_S - number, is_ready=False) for number in range(12))
    todo = plan(started(pods=(coordinator(), *crashed))).actions
    removed = [action.name for action in todo if isinstance(action, actions.Delete)]
    assert removed == [one.name for one in crashed[5:]]


# ------------------------------------------------------------------------------------------------------ end of the job


def test_a_job_is_complete_when_its_coordinator_says_so() -> None:
    seen = started(fields={"answer": answer("Complete", maps=TaskCounts(total=8, committed=8))})
    found = conditions_of(seen)
    assert found["Complete"] == ("True", "Published")
    assert found["Finished"] == ("True", "Succeeded")
    assert found["Failed"] == ("False", "Succeeded")
    assert found["MapsComplete"] == ("True", "AllCommitted")
    assert actions_of(seen) == [], "the coordinator tells its workers itself"


@pytest.mark.parametrize("state", ["Failed", "Cancelled"])
def test_a_failure_has_the_coordinators_reason_and_the_users_last_frame_and_record(state: JobState) -> None:
    trace = 'File "wc.py", line 2, in mapper\n    return helper(line)\nFile "wc.py", line 7, in helper\n    1 / 0\n'
    failure = Failure(
        failure_class="user", message="ZeroDivisionError: division by zero", traceback=trace, record="a.txt, byte 12"
    )
    sample = FailureSample(id=AttemptId(job=1, kind="map", index=3, attempt=4, epoch=1), failure=failure, at=NOW_S)
    said = answer(state, reason="TaskFailed", message="map-3 failed 4 times.", failures=(sample,))
    seen = started(fields={"answer": said})
    assert conditions_of(seen)["Failed"] == ("True", "TaskFailed")
    words = message_of(seen, "Failed")
    for part in ("map-3 failed 4 times", "ZeroDivisionError", 'File "wc.py", line 7, in helper: 1 / 0', "byte 12"):
        assert part in words


def test_what_the_coordinator_says_can_never_work_fails_the_job_and_ends_its_pods() -> None:
    said = json.dumps({"reason": "OutputExists", "message": "pvc://results/count holds a result."})
    dead = coordinator(is_ready=False, containers=(ended("coordinator", 2, said),))
    seen = started(pods=(dead, worker(0)), fields={"answer": Answer()})
    assert conditions_of(seen)["Failed"] == ("True", "OutputExists")
    assert "pvc://results/count" in message_of(seen, "Failed")
    assert actions_of(seen) == ["ChangeWorkers", "ScaleCoordinator"]


@pytest.mark.parametrize("message", ["", "usage: ...", "{}", "[]", '{"reason": "X"}'])
def test_exit_code_2_without_a_reason_is_a_crash_like_any_other(message: str) -> None:
    dead = coordinator(is_ready=False, containers=(ended("coordinator", 2, message),))
    assert decide(started(pods=(dead,), fields={"answer": Answer()})).outcome is None


def test_a_coordinator_that_cannot_be_reached_is_never_the_jobs_failure() -> None:
    seen = started(fields={"answer": Answer(problem="timeout")})
    assert decide(seen).outcome is None
    assert conditions_of(seen)["CoordinatorReady"] == ("False", "CoordinatorUnreachable")


def _ended(kind: str, reason: str, *, ago_s: float, **options: Any) -> Observed:
    conditions = [
        condition(kind, "True", reason),
        condition("Finished", "True", "Succeeded" if kind == "Complete" else "JobFailed"),
    ]
    return started(
        status={"completionTime": times.text(NOW_S - ago_s)},
        conditions=conditions,
        fields={"answer": Answer()},
        **{"finalizers": (), **options},
    )


def test_an_end_is_for_ever_whatever_is_seen_later() -> None:
    seen = dataclasses.replace(_ended("Complete", "Published", ago_s=5), answer=answer("Mapping"))
    outcome = decide(seen).outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == ("Complete", "Published")


def test_workers_that_do_not_end_after_the_job_are_ended() -> None:
    assert actions_of(_ended("Complete", "Published", ago_s=5)) == []
    assert actions_of(_ended("Complete", "Published", ago_s=61)) == ["ChangeWorkers"]


def test_the_coordinator_stays_after_the_end_until_the_jobs_time_to_live() -> None:
    assert actions_of(_ended("Complete", "Published", ago_s=5, ttlSecondsAfterFinished=6)) == []
    assert actions_of(_ended("Complete", "Published", ago_s=6, ttlSecondsAfterFinished=6)) == ["DeleteJob"]
    assert plan(_ended("Complete", "Published", ago_s=5, ttlSecondsAfterFinished=6)).look_again_s == 1


def test_a_published_job_is_held_no_longer_than_until_its_end_is_reported() -> None:
    published = started(fields={"answer": answer("Complete")})
    assert actions_of(published) == []
    assert plan(published).look_again_s == 1
    assert actions_of(_ended("Complete", "Published", ago_s=5, finalizers=(FINALIZER,))) == ["RemoveFinalizer"]
    assert actions_of(_ended("Failed", "TaskFailed", ago_s=5, finalizers=(FINALIZER,))) == []
    given = {"log": {"claimName": "logs"}}
    assert actions_of(_ended("Complete", "Published", ago_s=5, finalizers=(FINALIZER,), storage=given)) == []


def test_a_job_that_ended_starts_nothing_that_is_missing() -> None:
    seen = _with_children(_ended("Failed", "TaskFailed", ago_s=5), workers=None, stateful_set=None, pods=())
    assert actions_of(seen) == []


# ----------------------------------------------------------------------------------------------------------- deadlines


def test_a_job_that_takes_too_long_fails_and_its_workers_end() -> None:
    seen = started(activeDeadlineSeconds=50)
    assert conditions_of(seen)["Failed"] == ("True", "DeadlineExceeded")
    assert actions_of(seen) == ["ChangeWorkers"]
    assert decide(started(activeDeadlineSeconds=51)).outcome is None


def test_a_job_that_was_complete_in_time_is_not_failed_by_a_late_look() -> None:
    seen = started(activeDeadlineSeconds=1, fields={"answer": answer("Complete")})
    assert conditions_of(seen)["Complete"] == ("True", "Published")


def test_a_coordinator_is_cancelled_once_the_reason_is_reported_and_again_if_that_got_lost() -> None:
    seen = dataclasses.replace(_ended("Failed", "DeadlineExceeded", ago_s=5), answer=answer("Mapping"))
    assert "CancelJob" in actions_of(seen)
    done = dataclasses.replace(seen, answer=answer("Cancelled"))
    assert "CancelJob" not in actions_of(done)


def test_a_job_without_a_ready_worker_fails_after_its_pending_deadline_with_the_cause() -> None:
    stuck = worker(0, is_ready=False, phase="Pending", node="", unschedulable="0/3 nodes are available.")
    seen = started(
        pods=(coordinator(), stuck), status={"pendingSince": times.text(NOW_S - 30)}, pendingDeadlineSeconds=30
    )
    assert conditions_of(seen)["Failed"] == ("True", "PendingDeadlineExceeded")
    assert "0/3 nodes" in message_of(seen, "Failed")


def test_a_ready_worker_ends_the_pending_time() -> None:
    seen = started(status={"pendingSince": times.text(NOW_S - 99)}, pendingDeadlineSeconds=30)
    assert decide(seen).outcome is None
    status = plan(seen).status
    assert status is not None
    assert status.pending_since is None
