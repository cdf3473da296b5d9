"""What failed, lost and handed-back attempts count for, and when a job is over for it."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events
from mapreduce.scheduling.decide_attempts import REASONS
from tests.support.machines import LEASE_S, Bench, failure, make_spec


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.register("a")
    return made


def wait_beating(bench: Bench, seconds: int) -> None:
    """Time passes for a worker that holds nothing and is heard of."""
    for _ in range(seconds):
        bench.pass_time(1)
        bench.heartbeat("a")


@pytest.mark.parametrize("kind", ["user", "crash", "timeout", "memory"])
def test_a_task_may_fail_by_its_own_fault_only_max_attempts_times(bench: Bench, kind: m.FailureClass) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=3))
    for number in (1, 2, 3):
        attempt = bench.lease_one("a")
        assert attempt.attempt == number
        bench.fail("a", attempt, failure(kind, "bad luck"))
    assert bench.job.phase == "Failed"
    assert bench.job.reason == REASONS[kind]
    assert "map-0/attempt-3" in bench.job.message
    assert "map-0 failed 3 times, as often as maxAttempts allows" in bench.job.message
    assert "bad luck" in bench.job.message


def test_a_job_that_fails_counts_failures_and_not_attempts_that_were_handed_back(bench: Bench) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=2))
    for _ in range(2):
        bench.release("a", bench.lease_one("a"))
        bench.fail("a", bench.lease_one("a"), failure("user", "no number"))
    assert bench.job.message == (
        "map-0 failed 2 times, as often as maxAttempts allows, last in map-0/attempt-4: no number"
    )


@pytest.mark.parametrize("kind", ["input", "unstorable"])
def test_what_no_retry_mends_fails_the_job_at_its_first_attempt(bench: Bench, kind: m.FailureClass) -> None:
    bench.begin_job(maps=2)
    bench.fail("a", bench.lease_one("a"), failure(kind, "no such file"))
    assert bench.job.phase == "Failed"
    assert bench.job.reason == REASONS[kind]


def test_the_message_of_a_failed_job_carries_record_and_traceback(bench: Bench) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=1))
    what = m.Failure(
        failure_class="user", message="ValueError: x", traceback="File job.py line 3", record="in.txt, byte 7"
    )
    bench.fail("a", bench.lease_one("a"), what)
    assert "in.txt, byte 7" in bench.job.message
    assert "File job.py line 3" in bench.job.message


def test_disruption_and_release_count_against_nothing(bench: Bench) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=1, max_lost_attempts=1))
    for _ in range(5):
        bench.fail("a", bench.lease_one("a"), failure("disruption"))
        bench.release("a", bench.lease_one("a"))
    assert bench.job.phase == "Mapping"
    assert bench.commit("a", bench.lease_one("a")).accepted


@pytest.mark.parametrize(("kind", "reason"), [("lost", "WorkersLost"), ("system", "WorkersFailed")])
def test_a_task_whose_workers_fail_it_has_a_cap_of_its_own(bench: Bench, kind: m.FailureClass, reason: str) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=1, max_lost_attempts=2))
    bench.fail("a", bench.lease_one("a"), failure(kind))
    assert bench.job.phase == "Mapping"
    wait_beating(bench, 2)
    bench.fail("a", bench.lease_one("a"), failure(kind))
    assert bench.job.phase == "Failed"
    assert bench.job.reason == reason
    assert "map-0" in bench.job.message


def test_a_task_whose_worker_could_not_run_it_waits_longer_each_time(bench: Bench) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_lost_attempts=8))
    for pause_s in (2, 4, 8, 16, 32, 60, 60):
        bench.fail("a", bench.lease_one("a"), failure("system", "No space left on device"))
        wait_beating(bench, pause_s - 1)
        assert not bench.lease("a"), "the disk is as full as before"
        wait_beating(bench, 1)
    bench.fail("a", bench.lease_one("a"), failure("system", "No space left on device"))
    assert bench.job.reason == "WorkersFailed"
    assert not bench.sessions.kept_back_s


def test_a_task_that_is_kept_back_holds_up_no_other_and_no_successor_of_the_coordinator(bench: Bench) -> None:
    bench.begin_job(maps=3)
    first = bench.lease_one("a")
    bench.fail("a", first, failure("system"))
    assert bench.lease_one("a").index == 1
    bench.restart()
    bench.register("b")
    assert bench.lease_one("b").index == first.index


def test_a_worker_that_waits_beside_a_task_that_is_kept_back_gets_what_another_has_not_begun(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("b")
    bench.fail("a", bench.lease_one("a"), failure("system"))
    running, queued = bench.lease("b", want=2)
    assert not bench.next("a", wait_s=10).tasks
    reply = bench.heartbeat("b", running=[running], queued=[queued])
    assert reply.take_back == (queued,)


def test_a_reader_that_blames_no_run_is_not_retried_for_ever(bench: Bench) -> None:
    bench.begin_job(maps=0, spec=make_spec(max_lost_attempts=2))
    for _ in range(2):
        wait_beating(bench, 2)
        bench.fail("a", bench.lease_one("a"), failure("run-lost"))
    assert bench.job.phase == "Failed"


def test_a_task_that_keeps_losing_workers_runs_alone_before_its_last_try(bench: Bench) -> None:
    bench.begin_job(maps=6, spec=make_spec(max_lost_attempts=3))
    for name in ("x", "y"):
        bench.register(name, slots=6)
        poison = bench.lease(name, want=1)[0]
        assert poison.index == 0
        for _ in range(LEASE_S):
            bench.now_s += 1
            bench.turn(events.Tick())
            bench.heartbeat("a")
    bench.register("z", slots=6)
    alone = bench.lease("z", want=6)
    assert [attempt.index for attempt in alone] == [0]
    assert not bench.lease("z", want=5), "nothing runs beside it"
    assert bench.lease("a", want=2), "others go on"
    assert bench.commit("z", alone[0]).accepted


def test_a_suspected_task_waits_until_its_worker_has_nothing_else(bench: Bench) -> None:
    bench.begin_job(maps=3, spec=make_spec(max_lost_attempts=2))
    bench.register("x")
    suspect = bench.lease_one("x")
    other = bench.lease_one("a")
    bench.fail("x", suspect, failure("lost"))
    assert [attempt.index for attempt in bench.lease("a")] == [2], "not beside what its worker runs already"
    assert not bench.lease("a")
    bench.commit("a", other)
    assert not bench.lease("a")
    assert bench.lease_one("x").index == suspect.index


@pytest.mark.parametrize("kind", ["crash", "timeout", "memory"])
def test_after_a_death_without_words_the_next_attempt_is_traced(bench: Bench, kind: m.FailureClass) -> None:
    bench.begin_job(maps=2, partitions=1)
    attempt = bench.lease_one("a")
    bench.fail("a", attempt, failure(kind))
    [again] = bench.next("a").tasks
    assert again.id.index == attempt.index
    assert again.is_traced
    bench.commit("a", again.id)
    assert not bench.next("a").tasks[0].is_traced


def test_an_attempt_that_ran_out_of_memory_is_repeated_with_half_the_budget(bench: Bench) -> None:
    bench.begin_job(maps=1)
    [first] = bench.next("a").tasks
    bench.fail("a", first.id, failure("memory"))
    [second] = bench.next("a").tasks
    assert second.budget_bytes == first.budget_bytes // 2


def test_a_map_that_was_committed_is_made_again_with_the_budget_it_was_committed_with(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.fail("a", bench.lease_one("a"), failure("memory"))
    [made] = bench.next("a").tasks
    bench.commit("a", made.id)
    bench.turn(events.RunsProbed(bench.job.id, (made.id,), "gone"))
    bench.fail("a", bench.lease_one("a"), failure("memory"))
    [again] = bench.next("a").tasks
    assert again.budget_bytes == made.budget_bytes


def test_attempts_are_numbered_without_gaps_whatever_ended_them(bench: Bench) -> None:
    bench.begin_job(maps=1)
    numbers = []
    for end in ("fail", "release", "unclaimed"):
        attempt = bench.lease_one("a")
        numbers.append(attempt.attempt)
        if end == "fail":
            bench.fail("a", attempt)
        elif end == "release":
            bench.release("a", attempt)
        else:
            bench.register("a")
    numbers.append(bench.lease_one("a").attempt)
    assert numbers == [1, 2, 3, 4]


def test_a_long_failure_is_kept_short_in_the_log(bench: Bench) -> None:
    bench.begin_job(maps=1)
    what = m.Failure(failure_class="user", message="m" * 8_000, traceback="t" * 60_000, record="r" * 4_096)
    bench.fail("a", bench.lease_one("a"), what)
    kept = bench.job.failures[0].failure
    assert len(kept.message) + len(kept.traceback) + len(kept.record) < 25_000
    assert kept.traceback.endswith("t")


def test_only_the_newest_failures_are_kept(bench: Bench) -> None:
    bench.begin_job(maps=30, spec=make_spec(max_attempts=2))
    for _ in range(30):
        bench.fail("a", bench.lease("a")[0], failure())
        done = bench.lease_one("a")
        bench.commit("a", done)
    assert len(bench.job.failures) == 20
    assert bench.job.maps.failed_attempts == 30
