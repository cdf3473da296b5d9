"""What every teaching implementation of MapReduce tests, and some that few do."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.protocol import messages as m
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simattempts import Step
from tests.support.simjobs import INVERTED_INDEX, WORD_COUNT, SimJob, parts_in
from tests.support.simnetwork import Weather
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker, remove_scratch

INDEX = SimJob(code=INVERTED_INDEX, reducer="reducer")


def overlapping(sim: Simulation, kind: m.TaskKind) -> int:
    """Most attempts of a kind that ran at one time, on different workers."""
    spans = [(name, begin, end) for name, attempt, begin, end in sim.intervals if attempt.kind == kind]
    return max((len({name for name, begin, end in spans if begin <= at < end}) for _, at, _ in spans), default=0)


def test_word_count_equals_the_sequential_run(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        sim.run_job(SimJob(code=WORD_COUNT))
        sim.finish()


def test_an_inverted_index_equals_the_sequential_run(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        sim.run_job(INDEX)
        sim.finish()


@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_tasks_of_a_phase_really_run_in_parallel(tmp_path: Path, kind: m.TaskKind) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(3)
        sim.run_job(SimJob(reducers=4, split_bytes=15))
        sim.finish()
        assert overlapping(sim, kind) == 3


def test_each_task_runs_exactly_once_when_nothing_fails(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(3)
        number = sim.run_job(SimJob(reducers=3, split_bytes=10))
        sim.finish()
        job = sim.job(number)
        assert sim.begun_count("map") == job.maps.count
        assert sim.begun_count("reduce") == job.reduces.count
        assert max(job.maps.attempt) == max(job.reduces.attempt) == 1


def test_no_process_leaves_before_all_output_is_final(tmp_path: Path) -> None:
    left_at: list[bool] = []

    def duration(_worker: SimWorker, attempt: m.AttemptId) -> float:
        return 20.0 if (attempt.kind, attempt.index) == ("reduce", 0) else 0.2

    settings = ServiceSettings(exit_when_idle=True, low_water_bytes=0)
    with simulate(tmp_path, settings=settings, duration=duration) as sim:
        sim.add_workers(4)
        number = sim.submit(SimJob(reducers=3))
        while not sim.exits:
            sim.run_for(0.5)
            left_at.append(bool(sim.exits))
            if sim.exits:
                assert (sim.jobs[number].output / "_SUCCESS").exists()
        sim.run_until(lambda: len(sim.exits) == 4, 60)
        assert {exit_.code for exit_ in sim.exits.values()} == {0}
        sim.finish()


def test_slow_reducers_are_waited_for(tmp_path: Path) -> None:
    def duration(_worker: SimWorker, attempt: m.AttemptId) -> float:
        return 120.0 if attempt.kind == "reduce" else 0.2

    with simulate(tmp_path, duration=duration) as sim:
        sim.add_workers(2)
        number = sim.run_job()
        sim.finish()
        assert sim.begun_count("reduce") == sim.job(number).reduces.count


@pytest.mark.parametrize("seed", range(12))
def test_random_crashes_and_delays_still_give_the_right_output(tmp_path: Path, seed: int) -> None:
    with simulate(tmp_path, seed=seed, weather=Weather(delay_s=(0.0, 0.5))) as sim:

        def on_step(worker: SimWorker, _step: Step, _attempt: m.AttemptId) -> None:
            if sim.random.random() < 0.03:
                worker.kill()
                sim.at(sim.random.uniform(0, 3), lambda: None if sim.is_ending else _join(sim))

        sim.on_step = on_step
        sim.duration = lambda _worker, _attempt: sim.random.uniform(0, 3)
        sim.add_workers(3)
        sim.run_job(SimJob(code=INVERTED_INDEX, reducer="reducer", max_lost_attempts=50))
        sim.finish()


def _join(sim: Simulation) -> None:
    sim.add_worker()


def test_a_worker_that_dies_right_after_reporting_a_map_whose_output_it_held(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        victims: list[SimWorker] = []

        def on_step(worker: SimWorker, step: Step, attempt: m.AttemptId) -> None:
            if (step, attempt.kind) == ("after", "map") and not victims:
                victims.append(worker)
                worker.kill()
                remove_scratch(worker)

        sim.on_step = on_step
        sim.add_workers(2)
        sim.run_job(SimJob(code=INVERTED_INDEX, reducer="reducer", shuffle="Peer"))
        sim.finish()
        assert victims
        assert sim.remade() >= 1


def test_a_reduce_that_comes_before_its_maps_are_there_waits_and_asks_again(tmp_path: Path) -> None:
    """A map is lost after the reduce was granted and before it asked for the runs: it is told to wait."""
    with simulate(tmp_path) as sim:
        sim.add_worker("one", task_s=2.0)
        sim.add_worker("two", task_s=2.0)
        number = sim.submit(INDEX)
        lost: list[Path] = []

        def on_step(_worker: SimWorker, step: Step, attempt: m.AttemptId) -> None:
            if (step, attempt.kind) == ("fetching", "reduce") and not lost:
                lost.extend(sim.service.store.runs_folder(number).glob("*.run"))
                lost[0].unlink()

        sim.on_step = on_step
        sim.finish()
        assert sim.remade() == 1
        assert sim.job(number).reduces.charged.tolist() == [0, 0]


def test_a_worker_that_joins_late_takes_part(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_worker("early", task_s=2.0)
        number = sim.submit(SimJob(split_bytes=10))
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 2)
        late = sim.add_worker("late", task_s=2.0)
        sim.finish()
        assert late.began


def test_several_jobs_are_queued_with_arguments_and_polled_by_id(tmp_path: Path) -> None:
    code = """
def mapper(line, ctx):
    for word in line.split():
        if len(word) >= int(ctx.args["min_length"]):
            yield word, 1
"""
    with simulate(tmp_path) as sim:
        ids = [
            sim.submit(SimJob(name=f"job-{length}", code=code, args={"min_length": str(length)}))
            for length in (1, 4, 6)
        ]
        assert ids == [1, 2, 3]
        assert [sim.job(number).phase for number in ids[1:]] == [JobPhase.QUEUED, JobPhase.QUEUED]
        sim.add_workers(2)
        sim.finish()
        outputs = [b"".join(parts_in(sim.jobs[number].output).values()) for number in ids]
        assert len(outputs[0]) > len(outputs[1]) > len(outputs[2]) >= 0
        finished = [sim.job(number).finished_at for number in ids]
        assert finished == sorted(finished)


def test_a_job_that_fails_or_is_cancelled_does_not_hold_up_the_next(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.failures = {("map", 0, attempt): "user" for attempt in range(1, 5)}
        first = sim.submit(SimJob(name="fails"))
        second = sim.submit(SimJob(name="is cancelled"))
        third = sim.submit(SimJob(name="works", max_attempts=9))
        sim.cancel(second)
        sim.add_workers(2)
        sim.finish(phases=(JobPhase.FAILED, JobPhase.CANCELLED, JobPhase.COMPLETE))
        assert [sim.job(it).phase.value for it in (first, second, third)] == ["Failed", "Cancelled", "Complete"]


@pytest.mark.parametrize("workers", [1, 20])
def test_fewer_or_more_workers_than_tasks_neither_hang_nor_panic(tmp_path: Path, workers: int) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(workers, slots=3 if workers == 1 else 1)
        sim.run_job(INDEX)
        sim.finish()


def test_a_job_waits_for_its_first_worker(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        number = sim.submit(INDEX)
        sim.run_for(120)
        assert sim.job(number).phase is JobPhase.MAPPING
        sim.add_worker()
        sim.finish()


def test_workers_wait_for_the_first_job_and_for_the_coordinator(tmp_path: Path) -> None:
    with simulate(tmp_path, is_started=False) as sim:
        sim.add_workers(2)
        sim.run_for(30)
        sim.start_coordinator()
        sim.run_for(60)
        sim.run_job(INDEX)
        sim.finish()
