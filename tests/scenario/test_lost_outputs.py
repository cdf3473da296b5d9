"""Outputs that were committed and are gone, cut or altered: made again, never mixed, never silently used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce.scheduling.transitions import JobPhase
from tests.support.simattempts import Step
from tests.support.simjobs import INVERTED_INDEX, NON_DETERMINISTIC, SimJob, parts_in
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker, remove_scratch

JOB = SimJob(code=INVERTED_INDEX, reducer="reducer", lease_s=4)
PEER = SimJob(code=INVERTED_INDEX, reducer="reducer", shuffle="Peer", lease_s=4)
UNSTEADY = SimJob(code=NON_DETERMINISTIC, reducer="reducer", is_deterministic=False, lease_s=4)


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = [delete, cut, flip]


def runs(sim: Simulation, number: int) -> list[Path]:
    return sorted(sim.service.store.runs_folder(number).glob("*.run"))


@pytest.mark.parametrize("damage", DAMAGES)
def test_c14_the_output_of_a_committed_map_is_damaged_before_it_is_read(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        damage(runs(sim, number)[0])
        sim.finish()
        assert sim.remade() == 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("workers", [1, 3])
def test_c14_several_outputs_are_damaged_while_maps_still_run(
    tmp_path: Path, damage: Callable[[Path], None], workers: int
) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(workers)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 2)
        for path in runs(sim, number)[:2]:
            damage(path)
        sim.finish()
        assert sim.remade() >= 1


def test_c14_the_whole_folder_of_runs_is_deleted(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        for path in runs(sim, number):
            path.unlink()
        sim.finish()
        assert sim.remade() == sim.job(number).maps.count


def test_c14_a_run_that_keeps_getting_lost_fails_the_job(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:

        def on_step(_worker: SimWorker, step: Step, attempt: object) -> None:
            del attempt
            if step == "fetching":
                for path in runs(sim, 1):
                    path.unlink()

        sim.on_step = on_step
        sim.add_workers(1)
        sim.run_job(SimJob(code=INVERTED_INDEX, reducer="reducer", max_lost_attempts=3, lease_s=4))
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(1).reason == "OutputKeepsGettingLost"


def test_c15_a_map_made_again_with_other_content_before_any_reader_committed(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=1.0)
        number = sim.submit(UNSTEADY)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        for path in runs(sim, number):
            path.unlink()
        sim.finish()
        values = {
            line.split("\t")[1]
            for part in parts_in(sim.jobs[number].output).values()
            for line in part.decode().splitlines()
        }
        assert values == {"[2]"}, "no reader saw the first version"


def test_c15_a_map_made_again_with_other_content_under_a_committed_reader_fails_the_job(tmp_path: Path) -> None:
    def duration(_worker: SimWorker, attempt: object) -> float:
        return 5.0 if str(attempt).startswith("reduce-1") else 0.3

    with simulate(tmp_path, duration=duration) as sim:
        sim.add_workers(2)
        number = sim.submit(UNSTEADY)
        sim.run_until(lambda: sim.job(number).reduces.committed_count == 1)
        for path in runs(sim, number):
            path.unlink()
        for worker in list(sim.workers.values()):
            worker.kill()
        sim.add_worker()
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(number).reason == "NonDeterministicMap"


def test_an_output_is_deleted_before_it_is_published(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        deleted: list[Path] = []

        def on_step(_worker: SimWorker, step: Step, attempt: object) -> None:
            if step == "reporting" and str(attempt).startswith("reduce-1") and not deleted:
                deleted.extend(sorted((sim.jobs[1].output / "_mapreduce" / "attempts" / "1").glob("reduce-00001*")))
                deleted[0].unlink()

        sim.on_step = on_step
        sim.add_workers(1)
        sim.run_job(JOB)
        sim.finish()
        assert deleted
        assert sim.remade() == 0
        assert sim.job(1).reduces.remade == 1


def test_d1_reads_of_a_lost_run_do_not_count_as_the_readers_fault(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(SimJob(code=INVERTED_INDEX, reducer="reducer", max_attempts=1, lease_s=4))
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        runs(sim, number)[1].unlink()
        sim.finish()
        assert not any(sim.job(number).reduces.charged)


# --------------------------------------------------------------------------------------------------------- Peer shuffle


@pytest.mark.parametrize("phase", [JobPhase.MAPPING, JobPhase.REDUCING])
def test_peer_the_runs_of_a_worker_that_dies_are_made_again(tmp_path: Path, phase: JobPhase) -> None:
    with simulate(tmp_path) as sim:
        victim, *_ = sim.add_workers(3)
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 3 and sim.job(number).phase is phase)
        victim.kill()
        remove_scratch(victim)
        sim.finish()
        assert sim.remade() >= 1


def test_peer_nothing_is_made_again_when_nobody_dies(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(3)
        number = sim.run_job(PEER)
        sim.finish()
        assert sim.remade() == 0
        assert sim.begun_count("map") == sim.job(number).maps.count


def test_peer_the_only_worker_dies_and_another_begins_again(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        victim = sim.add_worker()
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        victim.kill()
        remove_scratch(victim)
        sim.add_worker()
        sim.finish()
        assert sim.remade() == sim.job(number).maps.count


def test_peer_one_run_vanishes_from_a_worker_that_lives_on(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        next(iter(sorted((sim.root / "scratch").rglob("*.run")))).unlink()
        sim.finish()
        assert sim.remade() == 1


def test_peer_the_coordinator_restarts_and_runs_are_still_found(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        sim.restart_coordinator(after_s=1.0)
        sim.finish()
        assert sim.remade() == 0


def test_a_single_worker_whose_next_reduce_waits_for_a_lost_map_makes_the_map(tmp_path: Path) -> None:
    """A reduce that was leased ahead must not keep its worker from making the map that it waits for."""
    with simulate(tmp_path) as sim:
        sim.add_worker(slots=2, task_s=1.0)
        number = sim.submit(SimJob(code=INVERTED_INDEX, reducer="reducer", reducers=5, lease_s=4))
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        sim.run_for(0.1)
        for path in runs(sim, number):
            path.unlink()
        sim.finish()
        assert sim.remade() >= 1
