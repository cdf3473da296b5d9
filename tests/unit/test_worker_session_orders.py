"""What a worker does when it is told: orders of the coordinator, the end of work, refusals."""

from __future__ import annotations

from mapreduce.protocol.messages import (
    Assignment,
    Commit,
    ErrorReply,
    Fail,
    Failure,
    HeartbeatReply,
    NextReply,
    PartitionSize,
    Release,
    TaskOutput,
    Verdict,
)
from mapreduce_worker.agent.actions import CancelAttempt, CommitAccepted, Exit, WithdrawAttempt
from mapreduce_worker.agent.session import Session
from tests.support.sessions import asked, attempt, commit, granted, joined, welcome


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


def test_a_worker_whose_executors_are_away_takes_nothing_and_can_give_back_what_waits() -> None:
    session = joined()
    granted(session, 0, 1)
    session.set_paused(True)
    session.finished(commit(0), 2.0)
    assert asked(session, 3.0).want == 0
    assert session.give_back() == [WithdrawAttempt(attempt(1))]
    session.withdrawn(attempt(1), 3.0)
    session.call_lost(3.0, 3.0)
    session.set_paused(False)
    session.next_answered(asked(session, 3.1).call, NextReply(epoch=1), 3.1)
    assert asked(session, 3.5).want == 1


def test_while_inputs_have_to_be_fetched_the_next_attempt_is_taken_before_the_slot_is_free() -> None:
    session = joined()
    granted(session, 0)
    session.begun(attempt(0))
    assert session.due_s(2.0) is None
    session.fetches_ahead = True
    due_s = session.due_s(2.0)
    assert due_s is not None
    assert due_s <= 2.0
    granted(session, 1, now_s=2.0)
    assert session.due_s(3.0) is None, "one ahead is enough"


def test_who_keeps_runs_hears_which_commits_were_accepted() -> None:
    session = joined(slots=2)
    session.keeps_runs = True
    granted(session, 0, 1)
    for index in range(2):
        session.finished(commit(index), 2.0)
    verdicts = (Verdict(id=attempt(0), accepted=True), Verdict(id=attempt(1), accepted=False, reason="lease lost"))
    reply = NextReply(epoch=1, verdicts=verdicts)
    assert session.next_answered(asked(session, 2.5).call, reply, 2.5) == [CommitAccepted(attempt(0))]


def test_who_keeps_runs_hears_of_a_commit_whose_answer_was_lost_when_it_registers_again() -> None:
    session = joined(slots=3)
    session.keeps_runs = True
    granted(session, 0, 1, 2)
    for index in range(2):
        session.finished(commit(index), 2.0)
    asked(session, 2.5)
    session.refused(409, ErrorReply(code="epoch-changed", message=""), 2.6, epoch=1)
    reply = welcome(2, keep=(attempt(2),), committed=(attempt(0), attempt(7)))
    assert session.registered(reply, 3.0) == [CommitAccepted(attempt(0))]
    assert session.held == (attempt(2),)
