"""Workers die, stop, come back, leave and fail: nothing is lost, nothing is done twice, and attempts are bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.protocol import messages as m
from mapreduce.scheduling import records
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simattempts import STEPS, Step
from tests.support.simjobs import INVERTED_INDEX, STUMBLING, SimJob
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker

JOB = SimJob(code=INVERTED_INDEX, reducer="reducer")
#: For simulations of hours.
PATIENT = ServiceSettings(tick_s=3.0, low_water_bytes=0)


def kill_at(sim: Simulation, kind: m.TaskKind, index: int, step: Step) -> list[SimWorker]:
    """The first worker that reaches `step` of this task is killed there."""
    victims: list[SimWorker] = []

    def on_step(worker: SimWorker, reached: Step, attempt: m.AttemptId) -> None:
        if not victims and (attempt.kind, attempt.index, reached) == (kind, index, step):
            victims.append(worker)
            worker.kill()

    sim.on_step = on_step
    return victims


@pytest.mark.parametrize("kind", ["map", "reduce"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_alone", [False, True])
def test_c1_a_worker_is_killed_at_each_step(tmp_path: Path, kind: m.TaskKind, step: Step, is_alone: bool) -> None:
    with simulate(tmp_path) as sim:
        victims = kill_at(sim, kind, 1, step)
        sim.add_workers(1 if is_alone else 2)
        sim.submit(JOB)
        sim.run_until(lambda: bool(victims))
        if is_alone:
            sim.add_worker()
        sim.finish()
        assert victims
        assert sim.remade() == 0


def test_c1_a_worker_that_is_killed_after_its_report_left_is_not_asked_again(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        victim = sim.add_worker()
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count == 2)
        victim.kill()
        sim.add_worker()
        sim.finish()
        done = [
            commit.id
            for record in sim.seen_records
            if isinstance(record, records.TasksCommitted)
            for commit in record.commits
        ]
        assert len(done) == len({(attempt.kind, attempt.index) for attempt in done}), "a task was committed twice"


def test_c2_a_zombie_is_refused_and_what_it_wrote_is_never_read(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        zombie = sim.add_worker("zombie", task_s=2.0)
        number = sim.submit(JOB)
        sim.run_until(lambda: bool(zombie.began))
        sim.run_for(0.5)
        held = zombie.began[0]
        zombie.pause()
        sim.add_worker("other", task_s=2.0)
        sim.run_for(JOB.lease_s + 2)
        zombie.resume()
        sim.finish()
        assert held not in sim.accepted
        output = sim.state.jobs[number].maps.output(held.index).id
        assert output.attempt == held.attempt + 1


def test_c2_a_worker_stopped_for_less_than_its_lease_keeps_its_attempt(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        worker = sim.add_worker(task_s=1.0)
        sim.submit(JOB)
        sim.run_until(lambda: bool(worker.began))
        held = worker.began[0]
        worker.pause()
        sim.run_for(JOB.lease_s - 2)
        worker.resume()
        sim.finish()
        assert held in sim.accepted


def test_c12_all_workers_die_and_others_come_an_hour_later(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=PATIENT) as sim:
        first = sim.add_workers(3)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        for worker in first:
            worker.kill()
        sim.run_for(3_600)
        assert sim.job(number).phase is JobPhase.MAPPING
        assert not sim.state.workers
        sim.add_workers(2)
        sim.finish()
        assert sim.remade() == 0


def test_c12_all_workers_are_stopped_and_come_back_an_hour_later(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=PATIENT) as sim:
        workers = sim.add_workers(3)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        for worker in workers:
            worker.pause()
        sim.run_for(3_000)
        for worker in workers:
            worker.resume()
        sim.finish()
        assert sim.remade() == 0


def test_a_task_that_fails_by_its_own_fault_is_tried_again_up_to_its_limit(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.run_job(SimJob(code=STUMBLING, args={"failures": "3"}, oracle_args={"failures": "0"}))
        sim.finish()
        assert sim.job(number).maps.failed_attempts == 3 * sim.job(number).maps.count


def test_a_task_that_always_fails_ends_its_job_with_record_and_traceback(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.run_job(SimJob(code=STUMBLING, args={"failures": "99"}))
        sim.finish(phases=(JobPhase.FAILED,))
        job = sim.job(number)
        assert job.reason == "TaskFailed"
        assert "failed 4 times, as often as maxAttempts allows" in job.message
        assert "stumbles over" in job.message
        assert "byte " in job.message, "the record is named"


@pytest.mark.parametrize("kind", ["crash", "timeout", "memory"])
def test_d1_a_task_that_dies_without_a_word_is_traced_and_bounded(tmp_path: Path, kind: m.FailureClass) -> None:
    with simulate(tmp_path) as sim:
        sim.failures = {("map", 0, attempt): kind for attempt in range(1, 20)}
        sim.add_workers(2)
        number = sim.run_job(SimJob(retain_runs="Never"))
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(number).maps.attempt[0] == 4


def test_d1_a_task_that_dies_once_is_done_by_its_traced_attempt(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.failures = {("map", 0, 1): "crash"}
        sim.add_workers(2)
        sim.run_job()
        sim.finish()


def test_disruption_never_counts(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.failures = {("map", 0, attempt): "disruption" for attempt in range(1, 12)}
        sim.add_workers(2)
        sim.run_job(SimJob(max_attempts=1, max_lost_attempts=1))
        sim.finish()


def test_a_task_that_ends_every_worker_fails_its_job_and_takes_the_last_one_alone(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        neighbours: list[int] = []

        def on_step(worker: SimWorker, step: Step, attempt: m.AttemptId) -> None:
            if (attempt.kind, attempt.index, step) == ("map", 2, "mapping"):
                if attempt.attempt == 3:
                    neighbours.append(len(worker.held) - 1)
                worker.kill()
                sim.add_worker(slots=2)

        sim.on_step = on_step
        sim.add_worker(slots=2)
        number = sim.run_job(SimJob(max_lost_attempts=3, lease_s=3))
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(number).reason == "WorkersLost"
        assert "map-2" in sim.job(number).message
        assert neighbours == [0], "it runs alone before its last try"


def test_a_worker_that_is_told_to_go_hands_back_what_it_has_not_begun(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        leaving = sim.add_worker("leaving", slots=2, task_s=1.0)
        number = sim.submit(JOB)
        sim.run_until(lambda: bool(leaving.began))
        leaving.leave()
        sim.run_until(lambda: leaving.is_gone)
        assert sim.exits["leaving"].code == 143
        assert all(not table.leases for table in (sim.job(number).maps, sim.job(number).reduces))
        sim.add_worker()
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count


def test_short_tasks_travel_in_batches(tmp_path: Path) -> None:
    text = {"a.txt": "a b c\n" * 120}
    with simulate(tmp_path) as sim:
        sim.add_worker(task_s=0.02)
        sim.add_worker(task_s=0.02)
        number = sim.run_job(SimJob(texts=text, split_bytes=6))
        sim.finish()
        grants = [len(it.grants) for it in sim.seen_records if isinstance(it, records.LeasesGranted)]
        assert sim.job(number).maps.count == 120
        assert max(grants) >= 5
        assert len(grants) < 60


def test_a_slow_task_at_the_head_of_a_batch_does_not_hold_back_the_others(tmp_path: Path) -> None:
    """Unstarted attempts are taken back for an idle worker."""
    text = {"a.txt": "a b c\n" * 60}

    def duration(_worker: SimWorker, attempt: m.AttemptId) -> float:
        return 40.0 if attempt.kind == "map" and attempt.index == 20 else 0.02

    with simulate(tmp_path, duration=duration) as sim:
        sim.add_workers(2)
        number = sim.submit(SimJob(texts=text, split_bytes=6))
        sim.run_until(lambda: len(sim.job(number).maps.leases) == 1 and sim.job(number).maps.pending_count == 0, 20.0)
        assert sim.job(number).maps.committed_count == 59
        sim.finish()
        why = [it.why for it in sim.seen_records if isinstance(it, records.LeasesReleased)]
        assert set(why) <= {records.Release.HANDED_BACK}
        assert sim.begun_count("map") == 60


def test_work_is_taken_from_whoever_is_slow(tmp_path: Path) -> None:
    text = {"a.txt": "a b c\n" * 60}
    with simulate(tmp_path) as sim:
        sim.add_worker(task_s=0.02)
        sim.add_worker(task_s=5.0)
        sim.run_job(SimJob(texts=text, split_bytes=6))
        assert sim.loop.time() < 1_000 + 20
        sim.finish()
