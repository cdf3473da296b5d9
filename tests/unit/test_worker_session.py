"""The worker's side of the protocol: dialogues with a coordinator, lost and late answers included."""

from __future__ import annotations

import pytest

from mapreduce.protocol.messages import (
    Assignment,
    AttemptId,
    Commit,
    ErrorReply,
    Fail,
    Failure,
    HeartbeatReply,
    NextReply,
    NextRequest,
    PartitionSize,
    RegisterReply,
    Release,
    TaskOutput,
    Verdict,
)
from mapreduce_worker.agent.actions import CancelAttempt, Exit, StartAttempt, WithdrawAttempt
from mapreduce_worker.agent.session import Session


def attempt(index: int, *, epoch: int = 1) -> AttemptId:
    return AttemptId(job=1, kind="map", index=index, attempt=1, epoch=epoch)


def commit(index: int, run_s: float = 1.0) -> Commit:
    return Commit(id=attempt(index), output=TaskOutput(), run_s=run_s)


def welcome(epoch: int = 1, *, keep: tuple[AttemptId, ...] = (), call: int = 0) -> RegisterReply:
    return RegisterReply(epoch=epoch, session=f"s{epoch}", lease_s=30, heartbeat_s=1, keep=keep, call=call)


def joined(slots: int = 1) -> Session:
    session = Session(worker="w", slots=slots, now_s=0.0)
    session.registered(welcome(), 0.0)
    return session


def asked(session: Session, now_s: float = 1.0) -> NextRequest:
    request = session.next_request(now_s)
    assert request is not None
    return request


def granted(session: Session, *indexes: int, now_s: float = 1.0) -> None:
    """One whole call that brings these tasks."""
    request = asked(session, now_s)
    tasks = tuple(Assignment(id=attempt(index)) for index in indexes)
    session.next_answered(request.call, NextReply(epoch=session.epoch, tasks=tasks), now_s)


def test_a_new_worker_registers_before_it_says_anything_else() -> None:
    session = Session(worker="w", slots=2, now_s=0.0)
    assert session.next_request(0.0) is None
    assert session.heartbeat_request() is None
    assert session.due_s(0.0) is None
    request = session.register_request()
    assert (request.worker, request.slots, request.held) == ("w", 2, ())


def test_an_idle_worker_asks_for_a_task_for_each_slot_and_waits_long() -> None:
    request = asked(joined(slots=3))
    assert (request.call, request.want, request.finished) == (1, 3, ())
    assert request.wait_s > 10


def test_tasks_are_started_once_each_in_the_order_of_the_grant() -> None:
    session = joined()
    request = asked(session)
    tasks = (Assignment(id=attempt(4)), Assignment(id=attempt(2)))
    reply = NextReply(epoch=1, tasks=tasks)
    assert session.next_answered(request.call, reply, 1.0) == [StartAttempt(tasks[0]), StartAttempt(tasks[1])]
    assert session.next_answered(request.call, reply, 1.0) == []


def test_a_lost_answer_is_asked_for_again_with_the_same_number_and_the_same_body() -> None:
    session = joined()
    granted(session, 0)
    session.finished(commit(0), 2.0)
    first = asked(session, 2.0)
    session.call_lost(3.0, 3.5)
    assert session.due_s(3.0) == 3.5
    assert asked(session, 3.5) == first


def test_results_made_while_a_call_is_lost_wait_for_the_next_number() -> None:
    session = joined(slots=2)
    granted(session, 0, 1)
    session.finished(commit(0), 2.0)
    first = asked(session, 2.0)
    session.finished(commit(1), 2.1)
    session.call_lost(3.0, 3.0)
    assert asked(session, 3.0).finished == first.finished
    session.next_answered(first.call, NextReply(epoch=1, verdicts=(Verdict(id=attempt(0), accepted=True),)), 3.1)
    second = asked(session, 3.1)
    assert second.call == first.call + 1
    assert [result.id for result in second.finished] == [attempt(1)]


def test_the_answer_to_the_first_sending_counts_even_after_it_was_given_up() -> None:
    session = joined()
    request = asked(session)
    session.call_lost(2.0, 3.0)
    actions = session.next_answered(request.call, NextReply(epoch=1, tasks=(Assignment(id=attempt(0)),)), 2.5)
    assert actions == [StartAttempt(Assignment(id=attempt(0)))]


def test_answers_to_other_call_numbers_are_not_believed() -> None:
    session = joined()
    request = asked(session)
    reply = NextReply(epoch=1, tasks=(Assignment(id=attempt(0)),))
    assert session.next_answered(request.call - 1, reply, 1.0) == []
    assert session.next_answered(request.call + 1, reply, 1.0) == []
    assert session.held == ()


def test_only_one_call_flies_at_a_time() -> None:
    session = joined()
    asked(session)
    assert session.due_s(1.0) is None
    assert session.next_request(1.0) is None


def test_an_accepted_and_a_refused_result_are_both_over() -> None:
    session = joined(slots=2)
    granted(session, 0, 1)
    session.finished(commit(0), 2.0)
    session.finished(commit(1), 2.0)
    request = asked(session, 2.0)
    verdicts = (
        Verdict(id=attempt(0), accepted=True),
        Verdict(id=attempt(1), accepted=False, reason="lease lost"),
    )
    session.next_answered(request.call, NextReply(epoch=1, verdicts=verdicts), 2.1)
    assert session.held == ()


def test_a_result_of_an_idle_worker_is_reported_at_once_together_with_the_wish_for_more() -> None:
    session = joined()
    granted(session, 0)
    session.begun(attempt(0))
    assert session.due_s(1.5) is None
    session.finished(commit(0), 2.0)
    assert session.due_s(2.0) == 2.0
    request = asked(session, 2.0)
    assert (request.want, request.wait_s, len(request.finished)) == (1, 0.0, 1)


def test_results_beside_slow_tasks_wait_only_a_moment() -> None:
    session = joined()
    granted(session, 0, 1, 2)
    session.finished(commit(0, run_s=5.0), 7.0)
    due_s = session.due_s(7.0)
    assert due_s is not None
    assert 7.0 < due_s < 7.5
    assert asked(session, due_s).want == 0


def test_more_is_asked_for_before_quick_tasks_run_out() -> None:
    session = joined()
    granted(session, *range(10))
    session.finished(commit(0, run_s=0.001), 1.1)
    assert session.due_s(1.1) == 1.1
    assert asked(session, 1.1).want == 1


def test_a_worker_whose_slots_are_full_of_slow_tasks_does_not_ask_for_more() -> None:
    session = joined()
    granted(session, 0)
    session.begun(attempt(0))
    assert session.due_s(100.0) is None


def test_while_other_slots_run_an_idle_one_does_not_wait_long_at_the_coordinator() -> None:
    session = joined(slots=2)
    granted(session, 0)
    session.begun(attempt(0))
    request = asked(session, 2.0)
    assert request.want == 1
    assert request.wait_s < 1.0


def test_an_empty_answer_that_comes_at_once_is_not_asked_for_again_at_once() -> None:
    session = joined()
    request = asked(session, 1.0)
    session.next_answered(request.call, NextReply(epoch=1), 1.001)
    due_s = session.due_s(1.001)
    assert due_s is not None
    assert due_s > 1.05


@pytest.mark.parametrize("code", ["epoch-changed", "unknown-worker", "stale-call"])
def test_a_coordinator_that_does_not_know_the_worker_gets_its_attempts_told(code: str) -> None:
    session = joined(slots=3)
    granted(session, 0, 1, 2)
    session.begun(attempt(0))
    session.finished(commit(1), 2.0)
    request = asked(session, 2.0)
    session.refused(409, ErrorReply(code=code, message=""), 2.0, call=request.call)
    assert not session.is_joined
    assert session.register_request().held == (attempt(0), attempt(1), attempt(2))


def test_after_a_restart_what_is_kept_runs_on_what_is_not_ends_and_results_are_reported_again() -> None:
    session = joined(slots=3)
    granted(session, 0, 1, 2)
    session.begun(attempt(0))
    session.begun(attempt(2))
    session.finished(commit(1), 2.0)
    lost = asked(session, 2.0)
    session.refused(409, ErrorReply(code="epoch-changed", message=""), 2.0, call=lost.call)
    actions = session.registered(welcome(2, keep=(attempt(0), attempt(1)), call=9), 3.0)
    assert actions == [CancelAttempt(attempt(2))]
    assert session.token == "s2"
    request = asked(session, 3.0)
    assert (request.epoch, request.call) == (2, 10)
    assert [result.id for result in request.finished] == [attempt(1)]
    assert session.holds(attempt(0))


def test_a_result_that_the_coordinator_does_not_keep_is_dropped_unseen() -> None:
    session = joined()
    granted(session, 0)
    session.finished(commit(0), 2.0)
    session.refused(409, ErrorReply(code="unknown-worker", message=""), 2.0, epoch=1)
    session.registered(welcome(2), 3.0)
    assert session.held == ()
    assert asked(session, 3.0).finished == ()


def test_a_late_answer_of_the_old_incarnation_changes_nothing() -> None:
    session = joined()
    request = asked(session)
    session.refused(409, ErrorReply(code="epoch-changed", message=""), 2.0, epoch=1)
    session.registered(welcome(2), 3.0)
    late = NextReply(epoch=1, tasks=(Assignment(id=attempt(0)),))
    assert session.next_answered(request.call, late, 3.1) == []
    assert session.heartbeat_answered(HeartbeatReply(epoch=1, heartbeat_s=1, cancel=(attempt(0),)), 3.1) == []
    assert session.registered(welcome(1), 3.2) == []
    assert (session.epoch, session.held) == (2, ())


def test_a_refused_heartbeat_of_an_earlier_epoch_does_not_end_the_new_session() -> None:
    session = joined()
    session.registered(welcome(2), 1.0)
    session.refused(409, ErrorReply(code="epoch-changed", message=""), 2.0, epoch=1)
    assert session.is_joined


def test_an_old_coordinator_that_answers_the_open_call_is_not_believed_and_the_call_goes_out_again() -> None:
    session = joined()
    session.registered(welcome(3), 1.0)
    request = asked(session, 2.0)
    session.refused(409, ErrorReply(code="epoch-changed", message="", epoch=2), 2.1, call=request.call)
    assert session.is_joined
    due_s = session.due_s(2.1)
    assert due_s is not None
    assert asked(session, due_s) == request


def test_a_session_that_is_no_longer_valid_is_renewed() -> None:
    session = joined()
    request = asked(session)
    session.refused(401, ErrorReply(code="unauthorized", message=""), 2.0, call=request.call)
    assert not session.is_joined
    assert session.exit is None


def test_heartbeats_name_what_runs_and_what_waits_and_keep_results_alive() -> None:
    session = joined(slots=3)
    granted(session, 0, 1, 2)
    session.begun(attempt(0))
    session.finished(commit(1), 2.0)
    beat = session.heartbeat_request()
    assert beat is not None
    assert (beat.running, beat.queued) == ((attempt(0), attempt(1)), (attempt(2),))


def test_ordered_to_end_an_attempt_it_is_neither_run_nor_reported() -> None:
    session = joined()
    granted(session, 0)
    session.begun(attempt(0))
    order = HeartbeatReply(epoch=1, heartbeat_s=1, cancel=(attempt(0), attempt(7)))
    assert session.heartbeat_answered(order, 2.0) == [CancelAttempt(attempt(0))]
    session.finished(commit(0), 2.1)
    assert asked(session, 2.1).finished == ()


def test_an_order_to_end_what_is_being_reported_leaves_the_report_alone() -> None:
    session = joined()
    granted(session, 0)
    session.finished(commit(0), 2.0)
    request = asked(session, 2.0)
    order = HeartbeatReply(epoch=1, heartbeat_s=1, cancel=(attempt(0),))
    assert session.heartbeat_answered(order, 2.1) == []
    session.call_lost(2.2, 2.2)
    assert asked(session, 2.2) == request


def test_only_attempts_that_have_not_begun_are_given_back() -> None:
    session = joined()
    granted(session, 0, 1, 2)
    session.begun(attempt(0))
    order = HeartbeatReply(epoch=1, heartbeat_s=1, take_back=(attempt(0), attempt(1), attempt(2)))
    assert session.heartbeat_answered(order, 2.0) == [WithdrawAttempt(attempt(1)), WithdrawAttempt(attempt(2))]
    assert session.heartbeat_answered(order, 2.1) == [], "the same order again is not carried out again"
    session.begun(attempt(1))  # it was faster than the order
    session.withdrawn(attempt(1), 2.2)
    session.withdrawn(attempt(2), 2.2)
    request = asked(session, 2.5)
    assert request.finished == (Release(id=attempt(2), was_started=False),)
    assert session.holds(attempt(1))


def test_a_drained_worker_takes_nothing_more_but_ends_what_it_holds() -> None:
    session = joined(slots=2)
    granted(session, 0)
    session.begun(attempt(0))
    session.heartbeat_answered(HeartbeatReply(epoch=1, heartbeat_s=1, is_drain=True), 2.0)
    assert session.due_s(2.0) is None
    session.finished(commit(0), 3.0)
    request = asked(session, 3.0)
    assert (request.want, len(request.finished)) == (0, 1)


def test_when_no_work_is_left_the_worker_ends_well() -> None:
    session = joined()
    request = asked(session)
    actions = session.next_answered(request.call, NextReply(epoch=1, is_done=True), 2.0)
    assert actions == [Exit(0, "no job is left")]
    assert session.next_request(2.0) is None
    assert session.due_s(2.0) is None


def test_a_worker_told_to_leave_gives_back_what_waits_and_reports_what_ran() -> None:
    session = joined()
    granted(session, 0, 1)
    session.begun(attempt(0))
    assert session.leave() == [WithdrawAttempt(attempt(1))]
    session.withdrawn(attempt(1), 2.0)
    session.finished(Release(id=attempt(0), was_started=True), 2.0)
    request = asked(session, 2.0)
    assert request.want == 0
    assert {result.id for result in request.finished} == {attempt(0), attempt(1)}
    session.next_answered(request.call, NextReply(epoch=1), 2.1)
    assert session.held == ()
    assert session.next_request(2.2) is None
    assert session.terminated() == [Exit(143, "told to end")]
    assert session.terminated() == []


def test_tasks_that_arrive_while_the_worker_leaves_are_given_back_unstarted() -> None:
    session = joined()
    request = asked(session)
    session.leave()
    reply = NextReply(epoch=1, tasks=(Assignment(id=attempt(0)),))
    assert session.next_answered(request.call, reply, 1.0) == []
    assert asked(session, 1.0).finished == (Release(id=attempt(0), was_started=False),)


def test_a_coordinator_that_stays_away_for_too_long_ends_the_worker() -> None:
    session = Session(worker="w", slots=1, now_s=0.0, reconnect_s=60.0)
    session.registered(welcome(), 10.0)
    assert session.call_lost(69.0, 70.0, "refused") == []
    (action,) = session.call_lost(70.0, 71.0, "refused")
    assert isinstance(action, Exit)
    assert action.code == 3
    assert "refused" in action.reason


def test_another_protocol_version_ends_the_worker_in_words() -> None:
    session = Session(worker="w", slots=1, now_s=0.0)
    actions = session.register_refused(400, ErrorReply(code="bad-request", message="protocol 9 is too new"), 1.0)
    assert actions == [Exit(3, "protocol 9 is too new")]


def test_a_coordinator_that_is_not_ready_is_asked_again_with_the_same_call() -> None:
    session = joined()
    request = asked(session, 1.0)
    session.refused(503, ErrorReply(code="not-ready", message=""), 1.0, call=request.call)
    due_s = session.due_s(1.0)
    assert due_s is not None
    assert due_s > 1.0
    assert asked(session, due_s) == request


def test_results_with_very_many_partitions_travel_in_several_calls() -> None:
    session = joined(slots=3)
    granted(session, 0, 1, 2)
    sizes = tuple(PartitionSize(partition=index, bytes=1, records=1) for index in range(30_000))
    for index in range(3):
        session.finished(Commit(id=attempt(index), output=TaskOutput(partitions=sizes)), 2.0)
    assert len(asked(session, 2.0).finished) == 1


def test_a_report_that_the_coordinator_cannot_read_is_split_and_in_the_end_told_as_a_failure() -> None:
    session = joined(slots=2)
    granted(session, 0, 1)
    session.finished(commit(0), 2.0)
    session.finished(commit(1), 2.0)
    error = ErrorReply(code="bad-request", message="output.counters: too many")
    for expected in (2, 1):
        request = asked(session, 2.0)
        assert len(request.finished) == expected
        session.refused(400, error, 2.0, call=request.call)
    (told,) = asked(session, 2.0).finished
    assert isinstance(told, Fail)
    assert told.failure.failure_class == "system"
    assert "too many" in told.failure.message


def test_nothing_that_comes_at_the_wrong_time_does_any_harm() -> None:
    session = Session(worker="w", slots=1, now_s=0.0)
    session.begun(attempt(0))
    session.finished(commit(0), 1.0)
    session.finished(Fail(id=attempt(0), failure=Failure(failure_class="user", message="")), 1.0)
    session.withdrawn(attempt(0), 1.0)
    session.next_answered(1, NextReply(epoch=1), 1.0)
    session.heartbeat_answered(HeartbeatReply(epoch=1, heartbeat_s=1, take_back=(attempt(0),)), 1.0)
    session.refused(409, ErrorReply(code="epoch-changed", message=""), 1.0, call=3)
    session.call_lost(1.0, 1.0)
    session.leave()
    assert (session.held, session.exit, session.is_joined) == ((), None, False)
