"""The network and the clocks misbehave: answers are lost, requests doubled, links cut, nodes paused, clocks set."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.scheduling import records
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simnetwork import STORM, Weather
from tests.support.simulation import Simulation, simulate

JOB = SimJob(code=INVERTED_INDEX, reducer="reducer")


def commits(sim: Simulation) -> int:
    return sum(len(it.commits) for it in sim.seen_records if isinstance(it, records.TasksCommitted))


def releases(sim: Simulation, why: records.Release) -> int:
    return sum(it.why is why for it in sim.seen_records if isinstance(it, records.LeasesReleased))


@pytest.mark.parametrize("seed", range(6))
def test_c3_answers_are_lost_and_every_task_is_committed_once(tmp_path: Path, seed: int) -> None:
    with simulate(tmp_path, seed=seed, weather=Weather(lost_answers=0.3)) as sim:
        sim.add_workers(2)
        number = sim.run_job(JOB)
        sim.finish()
        job = sim.job(number)
        assert commits(sim) == job.maps.count + job.reduces.count


@pytest.mark.parametrize("seed", range(6))
def test_c4_requests_come_twice_out_of_order_and_a_minute_late(tmp_path: Path, seed: int) -> None:
    weather = Weather(delay_s=(0.001, 0.8), doubled=0.5, late_copies=0.4)
    with simulate(tmp_path, seed=seed, weather=weather) as sim:
        sim.add_workers(2)
        number = sim.run_job(JOB)
        sim.run_for(61)
        sim.finish()
        job = sim.job(number)
        assert commits(sim) == job.maps.count + job.reduces.count
        assert sim.remade() == 0


@pytest.mark.parametrize("seed", range(6))
def test_all_of_it_at_once_gives_the_same_output(tmp_path: Path, seed: int) -> None:
    with simulate(tmp_path, seed=seed, weather=STORM) as sim:
        sim.add_workers(3)
        sim.run_job(JOB)
        sim.finish()


@pytest.mark.parametrize(("inwards", "outwards"), [(True, True), (True, False), (False, True)])
def test_c5_c6_a_worker_that_is_cut_off_for_long_is_replaced_and_joins_again(
    tmp_path: Path, inwards: bool, outwards: bool
) -> None:
    with simulate(tmp_path) as sim:
        cut = sim.add_worker("cut", task_s=1.0)
        sim.add_worker("other", task_s=1.0)
        number = sim.submit(SimJob(code=INVERTED_INDEX, reducer="reducer", split_bytes=8))
        sim.run_until(lambda: bool(cut.began))
        sim.run_for(0.5)
        sim.network.partition("cut", inwards=inwards, outwards=outwards)
        sim.run_for(JOB.lease_s + 6)
        if outwards:
            assert "cut" not in sim.state.workers
        sim.network.heal("cut")
        before = len(cut.began)
        sim.run_until(lambda: sim.is_over(number) or len(cut.began) > before, 60)
        sim.finish()
        assert len(cut.began) > before, "a healed worker takes part again"


def test_c5_a_cut_shorter_than_the_lease_costs_nothing(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        cut = sim.add_worker("cut", task_s=1.0)
        sim.add_worker("other", task_s=1.0)
        number = sim.submit(JOB)
        sim.run_until(lambda: bool(cut.began))
        sim.network.partition("cut")
        sim.run_for(JOB.lease_s - 3)
        sim.network.heal("cut")
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count
        assert releases(sim, records.Release.LOST) == 0


def test_c7_a_slow_link_costs_no_lease(tmp_path: Path) -> None:
    with simulate(tmp_path, weather=Weather(delay_s=(0.4, 0.6))) as sim:
        sim.add_workers(2)
        number = sim.run_job(JOB)
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count
        assert releases(sim, records.Release.LOST) == 0


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0, 1e9])
def test_c8_a_wall_clock_that_jumps_changes_nothing(tmp_path: Path, jump_s: float) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        sim.clock.wall_jump_s = jump_s
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count
        assert releases(sim, records.Release.LOST) == 0


def test_c9_a_whole_node_that_is_paused_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        workers = sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        programs = [sim.coordinator.program, *(worker.program for worker in workers)]
        for program in programs:
            sim.loop.stop_program(program)
        sim.run_for(4 * 3_600)
        for program in programs:
            sim.loop.resume(program)
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count
        assert releases(sim, records.Release.LOST) == 0


def test_a_coordinator_that_is_paused_holds_nobodys_silence_against_him(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: len(sim.job(number).maps.leases) == 2)
        sim.loop.stop_program(sim.coordinator.program)
        sim.run_for(120)
        sim.loop.resume(sim.coordinator.program)
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count


def test_a_coordinator_that_is_away_for_minutes_finds_its_workers_still_at_work(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_worker(task_s=100.0)
        sim.add_worker(task_s=100.0)
        number = sim.submit(JOB)
        sim.run_until(lambda: len(sim.job(number).maps.leases) == 2)
        sim.restart_coordinator(after_s=300.0)
        sim.finish()
        assert sim.begun_count("map") == sim.job(number).maps.count
        assert {attempt.epoch for attempt in sim.accepted} == {1, 2}


def test_a_worker_gives_up_a_coordinator_that_stays_away_for_too_long(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_worker("short", reconnect_s=60.0)
        sim.run_for(2)
        sim.kill_coordinator()
        sim.run_for(70)
        assert sim.exits["short"].code == 3
