"""Leases, fencing, and calls that are repeated: what the machine answers to workers."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, records
from mapreduce.scheduling.turn import Refusal
from tests.support.machines import LEASE_S, Bench, failure, make_spec, output_of


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_worker_that_outlives_its_lease_cannot_commit(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("slow")
    bench.register("fast")
    old = bench.lease_one("slow")
    for _ in range(LEASE_S):
        bench.now_s += 1
        bench.turn(events.Tick())
        bench.heartbeat("fast")
    new = bench.lease_one("fast")
    assert (new.index, new.attempt) == (old.index, old.attempt + 1)
    assert bench.commit("fast", new).accepted
    bench.register("slow", held=[old])
    assert bench.commit("slow", old) == m.Verdict(id=old, accepted=False, reason="lease lost")


def test_a_lease_ends_at_its_deadline_even_before_anyone_looked(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    for _ in range(LEASE_S // 3):  # other turns, so that the silence is not taken for a pause; no tick
        bench.now_s += 3
        bench.turn(events.CancelRequested(77))
    assert bench.commit("a", attempt).reason == "lease lost"


def test_a_commit_just_before_the_deadline_counts(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    bench.pass_time(LEASE_S - 0.001)
    assert bench.commit("a", attempt).accepted


def test_a_heartbeat_renews_what_it_lists_and_nothing_else(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("a", slots=2)
    first, second = bench.lease("a", want=2)
    bench.pass_time(20)
    bench.heartbeat("a", running=[first])
    bench.pass_time(15)
    assert bench.commit("a", first).accepted
    assert not bench.commit("a", second).accepted


def test_a_worker_that_falls_silent_is_forgotten_with_its_leases(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    bench.lease_one("a")
    bench.pass_time(LEASE_S)
    assert not bench.state.workers
    assert bench.job.maps.lost[0] == 1
    refused = bench.try_next("a")
    assert isinstance(refused, Refusal)
    assert refused.code == "unknown-worker"


def test_a_call_to_another_epoch_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    before = len(bench.log)
    refused = bench.try_next("a", epoch=7)
    assert isinstance(refused, Refusal)
    assert refused.code == "epoch-changed"
    assert len(bench.log) == before


def test_the_same_call_again_gets_the_same_grant(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("a")
    first = bench.next("a", call=1)
    before = len(bench.log)
    assert bench.next("a", call=1) == first
    assert len(bench.log) == before


def test_the_same_call_again_gets_the_same_grant_after_a_restart(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("a")
    first = bench.next("a", call=1)
    bench.restart()
    again = bench.next("a", call=1)
    assert again.tasks == first.tasks


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_commit_whose_answer_was_lost_is_accepted_again_and_made_once(bench: Bench, is_restarted: bool) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    done = m.Commit(id=attempt, output=output_of(attempt, counters={"words": 5}))
    assert bench.next("a", finished=[done], call=9).verdicts[0].accepted
    if is_restarted:
        bench.restart()
    assert bench.next("a", finished=[done], call=9).verdicts[0].accepted
    assert bench.next("a", finished=[done], call=10).verdicts[0].accepted
    assert bench.job.counters == {"words": 5}
    assert sum(isinstance(record, records.TasksCommitted) for record in bench.log) == 1


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_failure_or_release_whose_answer_was_lost_is_accepted_again(bench: Bench, is_restarted: bool) -> None:
    bench.begin_job(maps=2)
    bench.register("a", slots=2)
    one, two = bench.lease("a", want=2)
    ended: list[m.Finished] = [m.Fail(id=one, failure=failure()), m.Release(id=two)]
    first = bench.next("a", finished=ended, want=0, call=9)
    assert all(verdict.accepted for verdict in first.verdicts)
    if is_restarted:
        bench.restart()
    assert bench.next("a", finished=ended, want=0, call=9).verdicts == first.verdicts
    assert bench.job.maps.failed_attempts == 1


def test_an_older_call_is_refused(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("a")
    bench.next("a", call=5)
    refused = bench.try_next("a", call=4)
    assert isinstance(refused, Refusal)
    assert refused.code == "stale-call"


def test_a_copy_of_an_answered_call_takes_nothing_that_its_worker_would_not_hear_of(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("a")
    bench.register("b")
    mine, others = bench.lease_one("a"), bench.lease_one("b")
    done = m.Commit(id=mine, output=output_of(mine))
    first = bench.next("a", finished=[done], call=50)
    assert not first.tasks
    assert bench.release("b", others).accepted
    assert bench.next("a", finished=[done], call=50) == first
    assert bench.lease_one("b").index == others.index


def test_two_commits_of_one_task_leave_the_first(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    old = bench.lease_one("a")
    bench.register("a")  # it came back without the attempt
    new = bench.lease_one("a")
    assert bench.commit("a", new).accepted
    assert not bench.commit("a", old).accepted
    assert bench.job.maps.output(0).id == new


def test_an_attempt_of_another_worker_cannot_be_committed_failed_or_released(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    bench.register("thief")
    attempt = bench.lease_one("a")
    assert not bench.commit("thief", attempt).accepted
    assert not bench.fail("thief", attempt).accepted
    assert not bench.release("thief", attempt).accepted
    assert bench.commit("a", attempt).accepted


def test_attempts_of_unknown_jobs_and_tasks_are_refused_in_words(bench: Bench) -> None:
    job = bench.begin_job(maps=1)
    bench.register("a")
    nowhere = m.AttemptId(job=job + 5, kind="map", index=0, attempt=1, epoch=1)
    beyond = m.AttemptId(job=job, kind="map", index=9, attempt=1, epoch=1)
    assert bench.commit("a", nowhere).reason == f"there is no job {job + 5}"
    assert bench.commit("a", beyond).reason == f"job {job} has no map-9"


def test_an_output_that_cannot_be_true_is_refused_and_the_lease_stays(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    lies = [
        m.TaskOutput(digest=1 << 64),
        m.TaskOutput(has_file=True),
        m.TaskOutput(bytes=5),
        m.TaskOutput(
            partitions=(
                m.PartitionSize(partition=1, bytes=1, records=1),
                m.PartitionSize(partition=1, bytes=1, records=1),
            )
        ),
    ]
    for lie in lies:
        assert not bench.commit("a", attempt, lie).accepted
    assert bench.commit("a", attempt).accepted


def test_a_worker_that_comes_back_keeps_what_it_holds_and_loses_what_it_never_heard_of(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("a", slots=2)
    held, unheard = bench.lease("a", want=2)
    reply = bench.register("a", slots=2, held=[held])
    assert reply.keep == (held,)
    assert unheard not in bench.state.workers["a"].leases
    assert bench.job.maps.lost[unheard.index] == 0
    assert bench.commit("a", held).accepted


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_worker_that_comes_back_is_told_what_it_has_committed(bench: Bench, is_restarted: bool) -> None:
    bench.begin_job(maps=3)
    bench.register("a", slots=3)
    bench.register("b")
    done, lost, running = bench.lease("a", want=3)
    bench.commit("a", done)
    bench.release("a", lost)
    bench.commit("b", bench.lease_one("b"))
    if is_restarted:
        bench.restart()
    stranger = m.AttemptId(job=7, kind="map", index=9, attempt=1, epoch=1)
    reply = bench.register("a", slots=3, held=[running, lost, stranger, done])
    assert (reply.keep, reply.committed) == ((running,), (done,))


def test_a_worker_that_was_forgotten_and_comes_back_has_committed_nothing(bench: Bench) -> None:
    bench.begin_job(maps=2, spec=make_spec(shuffle="Peer"))
    bench.register("a")
    done = bench.lease_one("a")
    bench.commit("a", done)
    bench.turn(events.WorkersGone(("a",), is_charged=False))
    reply = bench.register("a", held=[done])
    assert (reply.keep, reply.committed) == ((), ())
    again = bench.lease_one("a")
    assert again.task == done.task
    bench.commit("a", again)
    assert bench.register("a", held=[done]).committed == ()


def test_a_worker_hears_nothing_of_commits_of_a_job_that_is_over(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("a")
    done = bench.lease_one("a")
    bench.commit("a", done)
    bench.turn(events.CancelRequested(bench.job.id))
    assert bench.register("a", held=[done]).committed == ()


def test_attempts_granted_in_an_older_epoch_stay_committable(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    for _ in range(3):
        bench.restart()
        assert bench.register("a", held=[attempt]).keep == (attempt,)
    assert attempt.epoch == 1
    assert bench.commit("a", attempt).accepted


def test_after_a_restart_every_lease_has_its_full_time_again(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    bench.pass_time(LEASE_S - 1)
    bench.restart()
    bench.pass_time(LEASE_S - 1)
    bench.register("a", held=[attempt])
    assert bench.commit("a", attempt).accepted


def test_after_a_restart_a_worker_has_time_to_find_its_coordinator_however_short_its_lease(bench: Bench) -> None:
    bench.begin_job(spec=make_spec(lease_s=2))
    bench.register("a")
    bench.register("b")
    attempt, other = bench.lease_one("a"), bench.lease_one("b")
    bench.restart()
    bench.pass_time(bench.settings.rejoin_s - 1)
    assert bench.register("a", held=[attempt]).keep == (attempt,)
    bench.pass_time(1)
    assert other not in bench.state.workers["a"].leases
    assert "b" not in bench.state.workers, "one that does not come is waited for no longer"
    assert bench.commit("a", attempt).accepted


def test_a_pause_of_the_whole_node_costs_no_lease(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    bench.pass_time(10)
    bench.now_s += 3_600  # nobody ran
    bench.turn(events.Tick())
    bench.pass_time(LEASE_S - 11)
    assert bench.commit("a", attempt).accepted


def test_a_worker_of_another_protocol_is_refused_in_words(bench: Bench) -> None:
    refused = bench.turn(m.RegisterRequest(worker="a", slots=1, protocol=99))
    assert isinstance(refused, Refusal)
    assert refused.code == "bad-request"
    assert "protocol 99" in refused.message


def test_nothing_is_granted_while_the_disk_is_nearly_full(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("a")
    bench.sessions.is_paused = True
    assert not bench.lease("a")
    bench.sessions.is_paused = False
    assert bench.lease("a")


def test_workers_are_told_to_end_only_when_the_host_wants_it_and_no_job_is_left(bench: Bench) -> None:
    bench.begin_job(maps=1, partitions=0, spec=make_spec(reducers=0))
    bench.register("a")
    bench.sessions.is_closing = True
    attempt = bench.next("a").tasks[0].id
    assert not bench.next("a", finished=[m.Commit(id=attempt, output=output_of(attempt))]).is_done
    bench.turn(events.Published(bench.job.id))
    assert bench.next("a").is_done


def test_an_attempt_that_is_no_longer_the_workers_is_cancelled_by_every_heartbeat(bench: Bench) -> None:
    job = bench.begin_job(maps=1)
    bench.register("a")
    attempt = bench.lease_one("a")
    bench.turn(events.CancelRequested(job))
    assert bench.heartbeat("a", running=[attempt]).cancel == (attempt,)
    assert bench.heartbeat("a", running=[attempt]).cancel == (attempt,)
    assert bench.heartbeat("a").cancel == ()


def test_the_silence_of_several_workers_at_once_may_end_the_job(bench: Bench) -> None:
    bench.begin_job(maps=3, spec=make_spec(max_lost_attempts=1))
    for name in ("a", "b", "c"):
        bench.register(name)
        bench.lease_one(name)
    bench.pass_time(LEASE_S)
    assert bench.job.phase == "Failed"
    assert bench.job.reason == "WorkersLost"
    assert not bench.state.workers
