"""The coordinator dies: at every record, at every file call, while it recovers, while it compacts; or there are two.

Workers keep running meanwhile, so nothing that was in flight is done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.scheduling import records
from tests.support.faultyfiles import Crash
from tests.support.simcoordinator import CheckedService, SimCoordinator
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simulation import Simulation, simulate

IS_EXHAUSTIVE = bool(os.environ.get("EXHAUSTIVE"))
JOB = SimJob(code=INVERTED_INDEX, reducer="reducer")
MAPS, REDUCES = 4, 2


def every(count: int, step: int) -> range:
    """All positions, or every `step`-th."""
    return range(0, count, 1 if IS_EXHAUSTIVE else step)


class Hooked:
    """A hook for the log's file calls that is told its simulation afterwards."""

    def __init__(self, act: Callable[[Simulation, int], None]) -> None:
        self.act, self.count = act, 0
        self.sim: Simulation | None = None

    def __call__(self, _call: str, _path: str) -> None:
        self.count += 1
        if self.sim is not None and not self.sim.is_closing:
            self.act(self.sim, self.count - 1)


def run(
    root: Path, hook: Hooked | None = None, settings: ServiceSettings | None = None, job: SimJob = JOB
) -> Simulation:
    """One job with two workers, the given mishap, and all checks."""
    with simulate(root, hook=hook, settings=settings) as sim:
        if hook is not None:
            hook.sim = sim
        sim.add_workers(2)
        sim.run_job(job)
        sim.finish()
        return sim


def assert_nothing_was_redone(sim: Simulation) -> None:
    job = sim.state.jobs[1]
    assert job.maps.count == MAPS
    assert sim.begun_count("map") == MAPS, "a map that was running, or done, was begun again"
    assert sim.begun_count("reduce") == REDUCES
    assert sim.remade() == 0
    assert not any(isinstance(record, records.JobRebuilt) for record in sim.seen_records), "a crash is no rot"


def crash_at(position: int, *, power_cut: bool) -> Hooked:
    def act(sim: Simulation, count: int) -> None:
        if count == position:
            raise sim.crash_coordinator(sim.coordinators[0], power_cut=position if power_cut else None)

    return Hooked(act)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many file calls the log makes in a job's life."""
    counter = Hooked(lambda _sim, _count: None)
    run(tmp_path_factory.mktemp("count"), counter)
    return counter.count


@pytest.mark.parametrize("position", range(24))
def test_w1_the_coordinator_is_killed_at_every_record(
    tmp_path: Path, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = CheckedService._enqueue
    seen = 0

    def enqueue_or_die(self: CheckedService, decided: list[records.AnyRecord]) -> None:
        nonlocal seen
        for index, record in enumerate(decided):
            if seen == position and self.sim.coordinators[0].service in {None, self}:
                seen += 1
                enqueue(self, decided[:index])
                raise self.sim.crash_coordinator(self.sim.coordinators[0])
            seen += 1
            del record
        enqueue(self, decided)

    monkeypatch.setattr(CheckedService, "_enqueue", enqueue_or_die)
    sim = run(tmp_path)
    assert_nothing_was_redone(sim)


@pytest.mark.exhaustive
def test_w1_the_coordinator_is_killed_at_every_file_call(tmp_path: Path, calls: int) -> None:
    for position in every(calls, 2):
        assert_nothing_was_redone(run(tmp_path / str(position), crash_at(position, power_cut=False)))


@pytest.mark.exhaustive
def test_w7_the_power_fails_at_every_file_call_and_any_subset_of_unsynced_writes_is_lost(
    tmp_path: Path, calls: int
) -> None:
    for position in every(calls, 2):
        assert_nothing_was_redone(run(tmp_path / str(position), crash_at(position + 2, power_cut=True)))


@pytest.mark.exhaustive
def test_w11_killed_at_every_file_call_while_it_compacts_after_every_few_records(tmp_path: Path) -> None:
    settings = ServiceSettings(low_water_bytes=0, snapshot_records=4)
    counter = Hooked(lambda _sim, _count: None)
    run(tmp_path / "count", counter, settings)
    for position in every(counter.count, 7):
        for power_cut in (False, True):
            folder = tmp_path / f"{position}-{power_cut}"
            assert_nothing_was_redone(run(folder, crash_at(position, power_cut=power_cut), settings))


def killed_at_call(sim: Simulation, position: int, power_cut: int | None) -> Callable[[str, str], None]:
    """A hook that kills the coordinator at the N-th file call of its life; nobody starts it again."""
    count = 0

    def hook(_call: str, _path: str) -> None:
        nonlocal count
        count += 1
        if count == position:
            sim.kill_coordinator(power_cut=power_cut)
            raise Crash

    return hook


@pytest.mark.parametrize("power_cut", [False, True])
def test_w13_killed_twenty_times_in_a_row_while_it_recovers(tmp_path: Path, power_cut: bool) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 2)
        sim.kill_coordinator()
        for number in range(20):
            sim.start_coordinator(killed_at_call(sim, number + 3, number if power_cut else None))
            sim.run_for(0.2)
            if not sim.coordinator.program.is_dead:
                sim.kill_coordinator()
        assert len(sim.disk.names()) < 30, "restarts must not pile up files"
        sim.start_coordinator()
        sim.finish()
        assert_nothing_was_redone(sim)


def pause_at(position: int) -> Hooked:
    """Stops the first coordinator inside its N-th file call; a second one starts and works; then the first goes on."""

    def act(sim: Simulation, count: int) -> None:
        if count != position:
            return
        old = sim.coordinators[0]
        sim.loop.stop_program(old.program)
        sim.start_coordinator()
        until_s = sim.loop.time() + 0.7
        sim.loop.run_nested(lambda: sim.loop.time() > until_s)
        sim.loop.resume(old.program)

    return Hooked(act)


@pytest.mark.exhaustive
def test_w12_two_coordinators_at_once_and_the_old_one_never_answers_again(tmp_path: Path, calls: int) -> None:
    for position in every(calls, 2):
        with simulate(tmp_path / str(position), hook=(hook := pause_at(position))) as sim:
            hook.sim = sim
            sim.add_workers(2)
            sim.run_job(JOB)
            sim.finish()
            assert_nothing_was_redone(sim)
            alive = [it for it in sim.coordinators if not it.program.is_dead]
            assert [it is sim.network.server for it in alive] == [True], f"position {position}: two go on"


def test_w12_an_old_coordinator_that_was_stopped_for_minutes_says_nothing_when_it_goes_on(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        old = sim.coordinator
        sim.loop.stop_program(old.program)
        sim.run_for(0.5)
        sim.start_coordinator()
        sim.run_until(lambda: sim.is_over(number))
        sim.loop.resume(old.program)
        sim.run_for(180)
        assert is_fenced(old)
        sim.finish()


def is_fenced(coordinator: SimCoordinator) -> bool:
    return coordinator.program.is_dead and type(coordinator.error).__name__ == "Fenced"


def test_w12_attempts_granted_in_an_older_epoch_are_committed_in_a_newer_one(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_worker(task_s=3.0)
        sim.add_worker(task_s=3.0)
        number = sim.submit(JOB)
        sim.run_until(lambda: len(sim.job(number).maps.leases) == 2)
        for _ in range(3):
            sim.restart_coordinator(after_s=0.3)
            sim.run_for(0.7)
        sim.finish()
        assert {attempt.epoch for attempt in sim.accepted} >= {1, 4}
        assert_nothing_was_redone(sim)


def test_a_coordinator_that_is_killed_again_and_again_still_gets_there(tmp_path: Path) -> None:
    with simulate(tmp_path, seed=3) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        while not sim.is_over(number):
            sim.run_for(sim.random.uniform(0.2, 0.9))
            sim.restart_coordinator(power_cut=sim.random.randrange(1_000), after_s=sim.random.uniform(0, 0.3))
            sim.run_for(0.4)
        sim.finish()
        assert_nothing_was_redone(sim)


def test_a_log_that_cannot_be_written_ends_the_coordinator_before_it_says_anything(tmp_path: Path) -> None:
    for position in range(30, 60, 3):

        def fail(sim: Simulation, count: int, at: int = position) -> None:
            if count == at and sim.coordinator is sim.coordinators[0]:
                raise OSError(5, "input/output error")

        assert_nothing_was_redone(run(tmp_path / str(position), Hooked(fail)))
