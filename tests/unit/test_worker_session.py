"""The worker's side of the protocol: dialogues with a coordinator, lost and late answers included."""

from __future__ import annotations

import pytest

from mapreduce.protocol.messages import (
    Assignment,
    ErrorReply,
    HeartbeatReply,
    NextReply,
    Verdict,
)
from mapreduce_worker.agent.actions import CancelAttempt, StartAttempt
from mapreduce_worker.agent.session import Session
from tests.support.sessions import asked, attempt, commit, granted, joined, welcome


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
