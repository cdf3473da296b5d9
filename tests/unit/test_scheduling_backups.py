"""Backup attempts: when a straggler is run a second time, and that only one of the two ever counts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mapreduce.errors import IllegalTransition
from mapreduce.protocol import messages as m
from mapreduce.scheduling import decide_backups, events, policy, snapshot
from mapreduce.scheduling import records as r
from mapreduce.scheduling.evolve import evolve
from tests.support.machines import LEASE_S, Bench, failure, make_spec, output_of

STRAGGLES_AFTER_S = policy.straggler_age_s(1.0)


@dataclass
class Tail:
    """The end of a map phase: `slow` still runs one map, everything else is committed and `fast` has nothing to do."""

    bench: Bench
    slow: m.AttemptId

    def beat(self) -> None:
        self.bench.heartbeat("slow", running=[held for held in [self.slow] if held in self._held("slow")])
        self.bench.heartbeat("fast", running=sorted(self._held("fast"), key=str))

    def run(self, seconds: float) -> None:
        """Time passes; both workers live."""
        while seconds > 0:
            step_s = min(1.0, seconds)
            self.bench.pass_time(step_s)
            self.beat()
            seconds -= step_s

    def backup(self) -> m.AttemptId:
        """The straggler is one by now, and `fast` takes it."""
        self.run(STRAGGLES_AFTER_S)
        [attempt] = self.bench.lease("fast")
        return attempt

    def _held(self, worker: str) -> set[m.AttemptId]:
        known = self.bench.state.workers.get(worker)
        return set() if known is None else known.leases


def tail(
    *, speculation: str = "Stragglers", maps: int = 4, committed: int = 3, slots: int = 1, max_lost: int = 8
) -> Tail:
    bench = Bench()
    bench.register("slow", slots=slots)
    bench.register("fast", slots=slots)
    spec = make_spec(speculation=speculation, max_lost_attempts=max_lost)  # type: ignore[arg-type]
    bench.begin_job(maps=maps, spec=spec)
    slow = bench.lease_one("slow")
    for _ in range(committed):
        assert bench.commit("fast", bench.lease_one("fast")).accepted
    made = Tail(bench, slow)
    made.beat()
    return made


def test_a_straggler_is_run_a_second_time_elsewhere_and_the_first_commit_wins() -> None:
    it = tail()
    backup = it.backup()
    assert (backup.index, backup.attempt) == (it.slow.index, it.slow.attempt + 1)
    assert it.bench.commit("fast", backup).accepted
    assert it.bench.job.maps.is_complete
    assert it.bench.heartbeat("slow", running=[it.slow]).cancel == (it.slow,)
    assert it.bench.commit("slow", it.slow) == m.Verdict(id=it.slow, accepted=False, reason="lease lost")
    assert it.bench.job.maps.output(it.slow.index).id == backup
    assert it.bench.job.maps.lost[it.slow.index] == 0, "who came second has lost nothing"


def test_the_straggler_itself_may_win() -> None:
    it = tail()
    backup = it.backup()
    assert it.bench.commit("slow", it.slow).accepted
    assert it.bench.heartbeat("fast", running=[backup]).cancel == (backup,)
    assert not it.bench.commit("fast", backup).accepted


@pytest.mark.parametrize("is_from_snapshot", [False, True])
def test_a_coordinator_that_restarts_knows_both_attempts(is_from_snapshot: bool) -> None:
    it = tail()
    backup = it.backup()
    it.bench.restart(from_snapshot=is_from_snapshot)
    it.bench.register("slow", held=[it.slow])
    it.bench.register("fast", held=[backup])
    assert it.bench.state.workers["slow"].leases == {it.slow}
    assert it.bench.commit("fast", backup).accepted
    assert not it.bench.commit("slow", it.slow).accepted


def test_a_coordinator_that_restarts_still_knows_how_long_tasks_take() -> None:
    it = tail()
    it.bench.restart()
    it.bench.register("slow", held=[it.slow])
    it.bench.register("fast")
    it.beat()
    assert it.backup().index == it.slow.index


def test_jobs_that_do_not_ask_for_them_have_none() -> None:
    it = tail(speculation="Never")
    it.run(20)
    assert it.bench.lease("fast") == []


def test_an_attempt_is_no_straggler_before_its_time() -> None:
    it = tail()
    it.run(STRAGGLES_AFTER_S - 0.5)
    assert it.bench.lease("fast") == []


def test_what_waits_unbegun_in_a_queue_is_no_straggler() -> None:
    it = tail()
    for _ in range(10):
        it.bench.pass_time(1)
        it.bench.heartbeat("slow", queued=[it.slow])
        it.bench.heartbeat("fast")
    assert it.bench.lease("fast") == []


def test_a_worker_does_not_back_up_its_own_attempt() -> None:
    it = tail(slots=2)
    it.run(STRAGGLES_AFTER_S)
    assert it.bench.lease("slow") == []


def test_a_task_has_at_most_one_backup() -> None:
    it = tail(slots=8)
    it.backup()
    it.bench.register("third", slots=8)
    it.run(20)
    assert it.bench.lease("third") == []


def test_tasks_that_wait_go_before_backups() -> None:
    it = tail(maps=5)
    it.run(STRAGGLES_AFTER_S)
    [attempt] = it.bench.lease("fast")
    assert attempt.index != it.slow.index


def test_there_are_none_before_half_of_the_phase_is_committed() -> None:
    it = tail(maps=2, committed=0)
    it.bench.register("third")
    assert len(it.bench.lease("fast")) == 1
    it.run(20)
    assert it.bench.lease("third") == []


def test_no_more_than_a_share_of_all_slots_runs_backups() -> None:
    bench = Bench()
    bench.register("slow", slots=4)
    bench.register("fast", slots=4)
    bench.begin_job(maps=8, spec=make_spec(speculation="Stragglers"))
    stuck = bench.lease("slow", want=4)
    for attempt in bench.lease("fast", want=4):
        bench.commit("fast", attempt)
    for _ in range(5):
        bench.heartbeat("slow", running=stuck)
        bench.heartbeat("fast")
        bench.pass_time(1)
    assert len(bench.lease("fast", want=4)) == policy.backup_cap(8) == 2
    assert bench.lease("fast", want=4) == []


@pytest.mark.parametrize("is_backup", [False, True])
def test_one_attempt_fails_and_the_other_goes_on(is_backup: bool) -> None:
    it = tail()
    backup = it.backup()
    ends, goes_on = (("fast", backup), ("slow", it.slow)) if is_backup else (("slow", it.slow), ("fast", backup))
    assert it.bench.fail(*ends, failure("user")).accepted
    assert it.bench.job.maps.charged[it.slow.index] == 1
    assert it.bench.job.maps.pending_count == 0, "it need not be granted again: the other attempt runs"
    assert it.bench.commit(*goes_on).accepted


@pytest.mark.parametrize("failure_class", ["system", "lost", "memory"])
def test_no_failure_of_one_attempt_keeps_back_or_ends_the_other(failure_class: m.FailureClass) -> None:
    it = tail()
    backup = it.backup()
    assert it.bench.fail("slow", it.slow, failure(failure_class)).accepted
    assert it.bench.sessions.kept_back_s == {}
    assert it.bench.commit("fast", backup).accepted


def test_the_stragglers_worker_falls_silent_and_the_backup_goes_on() -> None:
    it = tail()
    backup = it.backup()
    for _ in range(LEASE_S + 1):
        it.bench.pass_time(1)
        it.bench.heartbeat("fast", running=[backup])
    assert list(it.bench.state.workers) == ["fast"]
    assert it.bench.job.maps.pending_count == 0
    assert it.bench.commit("fast", backup).accepted


def test_both_attempts_end_and_the_task_is_pending_once() -> None:
    it = tail()
    backup = it.backup()
    it.bench.release("slow", it.slow)
    it.bench.release("fast", backup)
    assert it.bench.job.maps.pending_count == 1
    assert it.bench.lease_one("slow").attempt == backup.attempt + 1


def test_after_one_of_two_has_ended_there_may_be_a_backup_again() -> None:
    it = tail()
    backup = it.backup()
    it.bench.fail("fast", backup)
    it.run(1)
    assert it.bench.lease_one("fast").attempt == backup.attempt + 1


def test_a_task_that_may_end_its_workers_is_never_on_two_of_them() -> None:
    it = tail(max_lost=2)
    it.bench.turn(events.WorkersGone(("slow",)))
    assert it.bench.job.maps.lost[it.slow.index] == 1
    again = it.bench.lease_one("fast")
    it.bench.register("third")
    for _ in range(10):
        it.bench.pass_time(1)
        it.bench.heartbeat("fast", running=[again])
        it.bench.heartbeat("third")
    assert it.bench.lease("third") == []


def test_readers_that_start_again_do_so_in_both_attempts() -> None:
    bench = Bench()
    bench.register("a")
    bench.register("b")
    bench.begin_job(maps=1, partitions=2, spec=make_spec(reducers=2, speculation="Stragglers"))
    run = bench.lease_one("a")
    bench.commit("a", run)
    slow = bench.lease_one("a")
    bench.commit("b", bench.lease_one("b"))
    for _ in range(4):
        bench.heartbeat("a", running=[slow])
        bench.heartbeat("b")
        bench.pass_time(1)
    backup = bench.lease_one("b")
    assert backup.index == slow.index
    committed = next(index for index in range(2) if index != slow.index)
    evolve_lost(bench, committed)
    bench.turn(events.RunsProbed(1, (run,), "gone"))
    bench.register("c")
    again = bench.lease_one("c")
    assert again.kind == "map"
    assert bench.commit("c", again, output_of(again, digest=77)).accepted
    assert not bench.job.reduces.leases
    assert not bench.job.reduces.backups
    assert bench.heartbeat("a", running=[slow]).cancel == (slow,)
    assert bench.heartbeat("b", running=[backup]).cancel == (backup,)


def evolve_lost(bench: Bench, index: int) -> None:
    """The committed reduce is lost too, so that a map that differs restarts readers instead of ending the job."""
    bench.turn(r.OutputLost(1, "reduce", (index,), "gone", bench.now_s))


def test_the_job_ends_and_with_it_both_attempts() -> None:
    it = tail()
    it.backup()
    it.bench.turn(events.CancelRequested(1))
    assert not it.bench.state.workers["slow"].leases | it.bench.state.workers["fast"].leases


def test_workers_that_wait_are_told_when_a_backup_is_due() -> None:
    it = tail()
    assert not decide_backups.is_one_due(it.bench.state, it.bench.sessions, it.bench.now_s)
    it.run(STRAGGLES_AFTER_S)
    assert decide_backups.is_one_due(it.bench.state, it.bench.sessions, it.bench.now_s)
    it.bench.lease_one("fast")
    assert not decide_backups.is_one_due(it.bench.state, it.bench.sessions, it.bench.now_s)


def test_the_same_call_again_gets_the_same_backup() -> None:
    it = tail()
    it.run(STRAGGLES_AFTER_S)
    first = it.bench.next("fast", call=50)
    assert [task.id.index for task in first.tasks] == [it.slow.index]
    assert it.bench.next("fast", call=50).tasks == first.tasks


def test_a_log_that_breaks_the_rules_of_backups_is_refused() -> None:
    it = tail()
    backup = it.backup()
    before = snapshot.dump(it.bench.state)
    done = r.Committed(backup, has_file=True, bytes=1, records=1, digest=1)
    illegal: list[r.AnyRecord] = [
        r.BackupsGranted("fast", 9, 1, "map", (r.Grant(backup.index, 9),), 5.0),  # a third attempt
        r.BackupsGranted("slow", 9, 1, "map", (r.Grant(backup.index, 9),), 5.0),
        r.BackupsGranted("fast", 9, 1, "map", (r.Grant((backup.index + 1) % 4, 9),), 5.0),  # one that is committed
        r.TasksCommitted("fast", (done,), 5.0),  # while the other attempt is live
    ]
    for record in illegal:
        with pytest.raises(IllegalTransition):
            evolve(it.bench.state, record)
        assert snapshot.dump(it.bench.state) == before, record
