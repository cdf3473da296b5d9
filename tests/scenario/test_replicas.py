"""Runs that workers serve and hand to the coordinator behind their commit: who leaves takes nothing along."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mapreduce.coordinator import service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.coordinator.store import Store
from mapreduce.coordinator.transfers import find_replicas
from mapreduce.dataplane import runs
from mapreduce.protocol import messages as m
from mapreduce.scheduling.state import State
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simcoordinator import CheckedService
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker, remove_scratch

PEER = SimJob(code=INVERTED_INDEX, reducer="reducer", shuffle="Peer", lease_s=4)
SETTINGS = ServiceSettings(tick_s=0.5, low_water_bytes=0, serves_data=True)


def replicas(sim: Simulation, number: int) -> list[Path]:
    return sorted(sim.service.store.runs_folder(number).glob("map-*.run"))


def lose(worker: SimWorker) -> None:
    """Its node is gone, and its disk with it."""
    worker.kill()
    remove_scratch(worker)


def until_replicated(sim: Simulation, number: int) -> None:
    """Maps are done, and nothing of them is at one place only."""
    sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING and not sim.service.transfers.replicas_pending())


def test_workers_that_vanish_after_replication_cost_no_map(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        first = [sim.add_worker(task_s=3.0), sim.add_worker(task_s=3.0)]
        number = sim.submit(PEER)
        until_replicated(sim, number)
        for worker in first:
            lose(worker)
        sim.add_worker()
        sim.finish()
        assert sim.remade() == 0


def test_a_worker_that_leaves_after_a_commit_whose_answer_the_coordinator_took_into_its_grave_costs_no_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable = CheckedService.durable
    deaths: list[int] = []

    async def durable_and_dead(self: CheckedService) -> int:
        sequence = await durable(self)
        if not deaths and any(job.maps.committed_count for job in self.machine.state.jobs.values()):
            deaths.append(sequence)
            raise self.sim.crash_coordinator(self.sim.coordinator)
        return sequence

    monkeypatch.setattr(CheckedService, "durable", durable_and_dead)
    with simulate(tmp_path, settings=SETTINGS) as sim:
        leaving = sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=3.0)
        number = sim.submit(PEER)
        sim.run_until(lambda: bool(deaths))
        assert [held.task for held in leaving.session.held] == ["map-0"]
        leaving.leave()
        sim.run_until(lambda: leaving.is_gone)
        assert not sim.is_over(number)
        remove_scratch(leaving)
        sim.finish()
        assert sim.remade() == 0


def test_a_worker_that_vanishes_before_replication_costs_its_own_maps_and_no_others(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        sim.add_worker(task_s=1.0)
        gone = sim.add_worker(task_s=1.0)
        gone.replicates = False
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 4)
        lose(gone)
        made_by_gone = sum(attempt.kind == "map" for attempt in sim.accepted if attempt in gone.began)
        sim.finish()
        assert 0 < sim.remade() <= made_by_gone


def test_replicas_are_found_again_by_the_next_incarnation(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        first = [sim.add_worker(task_s=3.0), sim.add_worker(task_s=3.0)]
        number = sim.submit(PEER)
        until_replicated(sim, number)
        sim.restart_coordinator()
        for worker in first:
            lose(worker)
        sim.add_worker()
        sim.finish()
        assert sim.remade() == 0


def test_a_start_that_looks_long_for_replicas_costs_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        workers = [sim.add_worker(task_s=3.0), sim.add_worker(task_s=3.0)]
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1 and bool(sim.job(number).maps.leases))

        def find_slowly(state: State, store: Store) -> dict[m.AttemptId, int]:
            sim.loop.take(10 * PEER.lease_s)
            return find_replicas(state, store)

        monkeypatch.setattr(service, "find_replicas", find_slowly)
        for worker in workers:
            sim.loop.stop_program(worker.program)
        sim.restart_coordinator()
        sim.run_until(lambda: sim.network.server is sim.coordinator)
        sim.run_for(PEER.lease_s / 2)  # they call again when they have seen that it is back
        for worker in workers:
            sim.loop.resume(worker.program)
        sim.finish()
        assert not any(sim.job(number).maps.lost)


@pytest.mark.parametrize("files", [1, 2, 3, 4])
def test_an_upload_goes_on_where_it_was_when_the_coordinator_died_in_it(tmp_path: Path, files: int) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=1.0)
        number = sim.submit(PEER)
        folder = sim.service.store.runs_folder(number)
        sim.run_until(lambda: len(list(folder.glob("*.run")) + list(folder.glob(".*.part"))) >= files)
        sim.restart_coordinator()
        sim.finish()
        assert sim.remade() == 0


def test_the_folder_of_runs_that_a_power_cut_took_away_is_made_anew_for_replicas(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=1.0)
        number = sim.submit(PEER)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.MAPPING)
        folder = sim.service.store.runs_folder(number)
        sim.kill_coordinator()
        folder.rmdir()
        sim.restart_coordinator()
        until_replicated(sim, number)
        sim.finish()


def test_the_folder_of_outputs_that_a_power_cut_took_away_is_made_anew_for_them(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        worker = sim.add_worker(task_s=5.0)
        number = sim.submit(PEER)
        sim.run_until(lambda: bool(sim.job(number).reduces.leases))
        index, lease = next(iter(sim.job(number).reduces.leases.items()))
        attempt = sim.job(number).reduces.attempt_id(index, lease)
        attempts = sim.jobs[number].output / "_mapreduce" / "attempts"
        shutil.rmtree(attempts)
        sending = sim.service.put_output(worker.name, number, attempt.stem, 0, 9, b"x")
        assert sim.network.server is not None
        assert sim.loop.run_until_complete(sim.loop.task(sim.network.server.program, sending)).received == 1
        assert [path.name for path in attempts.rglob("*.part")] == [f".{attempt.stem}.out.part"]
        sim.finish()


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_damaged_replica_whose_worker_is_gone_is_noticed_and_its_map_made_again(tmp_path: Path, is_cut: bool) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        first = [sim.add_worker(task_s=3.0), sim.add_worker(task_s=3.0)]
        number = sim.submit(PEER)
        until_replicated(sim, number)
        victim = replicas(sim, number)[0]
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content[:-9] if is_cut else content)
        for worker in first:
            lose(worker)
        sim.add_worker()
        sim.finish()
        assert sim.remade() == 1


def test_a_lost_replica_whose_worker_lives_makes_nothing_again(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=1.0)
        number = sim.submit(PEER)
        until_replicated(sim, number)
        for path in replicas(sim, number):
            path.unlink()
        sim.finish()
        assert sim.remade() == 0


def test_a_run_that_rots_at_its_worker_is_read_from_its_replica(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        sim.add_worker(task_s=1.0)
        sim.add_worker(task_s=1.0)
        number = sim.submit(PEER)
        until_replicated(sim, number)
        for victim in (sim.root / "scratch").rglob("map-*.run"):
            content = bytearray(victim.read_bytes())
            content[runs.HEADER_BYTES + runs.BLOCK_HEADER_BYTES + 9] ^= 1
            victim.write_bytes(content)
        sim.finish()
        assert sim.remade() == 0


def test_workers_without_a_shared_volume_that_stay_need_no_replica(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=SETTINGS) as sim:
        for worker in sim.add_workers(2):
            worker.replicates = False
        sim.run_job(PEER)
        sim.finish()
        assert sim.remade() == 0
