"""X1: everything at once, by chance. A seed that fails is in the test's name; `SEED=n` runs that one alone, and
`SEEDS=n` runs so many.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.protocol import messages as m
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simcoordinator import SimCoordinator
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simnetwork import CALM, STORM, Weather
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker, remove_scratch

SEEDS = range(int(os.environ.get("SEEDS", "500" if os.environ.get("EXHAUSTIVE") else "100")))
if "SEED" in os.environ:
    SEEDS = range(int(os.environ["SEED"]), int(os.environ["SEED"]) + 1)

#: After so much simulated time the weather clears up, so that every job ends.
TROUBLE_S = 40.0


@dataclass
class Trouble:
    """Mishaps at random moments, each undone after a while, until it is over."""

    sim: Simulation
    random: Random

    def begin(self) -> None:
        self.sim.at(self.random.uniform(0.3, 3.0), self.strike)
        self.sim.at(TROUBLE_S, self.end)

    def strike(self) -> None:
        if self.sim.is_ending or self.sim.loop.time() > 1_000 + TROUBLE_S:
            return
        self.random.choice(
            [
                self.kill_coordinator,
                self.cut_the_power,
                self.pause_coordinator,
                self.kill_a_worker,
                self.kill_a_worker,
                self.pause_a_worker,
                self.cut_a_link,
                self.set_the_clock,
                self.lose_a_run,
                self.add_a_worker,
            ]
        )()
        self.sim.at(self.random.uniform(0.5, 6.0), self.strike)

    def end(self) -> None:
        self.sim.network.weather = CALM
        self.sim.network.cut.clear()
        if not any(not worker.is_gone for worker in self.sim.workers.values()):
            self.sim.add_worker()

    def worker(self) -> SimWorker | None:
        alive = [worker for worker in self.sim.workers.values() if not worker.is_gone]
        return self.random.choice(alive) if alive else None

    def kill_coordinator(self) -> None:
        if self.is_serving():
            self.sim.restart_coordinator(after_s=self.random.uniform(0.05, 4.0))

    def cut_the_power(self) -> None:
        if self.is_serving():
            self.sim.restart_coordinator(
                power_cut=self.random.randrange(10_000), after_s=self.random.uniform(0.05, 4.0)
            )

    def pause_coordinator(self) -> None:
        if self.is_serving():
            program = self.sim.coordinator.program
            self.sim.loop.stop_program(program)
            self.sim.at(self.random.uniform(0.1, 20.0), lambda: self.sim.loop.resume(program))

    def is_serving(self) -> bool:
        serving = self.sim.network.server
        return isinstance(serving, SimCoordinator) and serving is self.sim.coordinator and serving.program.is_running

    def kill_a_worker(self) -> None:
        if (worker := self.worker()) is not None:
            worker.kill()
            remove_scratch(worker)
            self.sim.at(self.random.uniform(0, 5), self.add_a_worker)

    def pause_a_worker(self) -> None:
        if (worker := self.worker()) is not None:
            worker.pause()
            self.sim.at(self.random.uniform(0.1, 15), worker.resume)

    def cut_a_link(self) -> None:
        if (worker := self.worker()) is not None:
            name = worker.name
            self.sim.network.partition(name, inwards=self.random.random() < 0.7, outwards=self.random.random() < 0.7)
            self.sim.at(self.random.uniform(0.1, 15), lambda: self.sim.network.heal(name))

    def set_the_clock(self) -> None:
        self.sim.clock.wall_jump_s = self.random.uniform(-1e6, 1e6)

    def lose_a_run(self) -> None:
        runs = sorted((self.sim.folder / "jobs").rglob("*.run"))
        if runs:
            self.random.choice(runs).unlink(missing_ok=True)

    def add_a_worker(self) -> None:
        if not self.sim.is_ending and len([it for it in self.sim.workers.values() if not it.is_gone]) < 5:
            self.sim.add_worker(slots=self.random.choice([1, 1, 2, 3]))


def some_jobs(random: Random) -> list[SimJob]:
    return [
        SimJob(
            name=f"job-{number}",
            code=INVERTED_INDEX,
            reducer="reducer",
            reducers=random.choice([1, 2, 3]),
            split_bytes=random.choice([10, 20, 60]),
            shuffle=random.choice(["Shared", "Shared", "Peer"]),
            max_attempts=10,
            max_lost_attempts=200,
            lease_s=random.choice([3, 5, 8]),
            speculation=random.choice(["Never", "Stragglers"]),
        )
        for number in range(random.choice([1, 1, 2]))
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_x1_everything_at_once(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    settings = ServiceSettings(low_water_bytes=0, snapshot_records=random.choice([6, 25, 200_000]))
    weather = random.choice([CALM, STORM, Weather(delay_s=(0.0, 0.3), lost_answers=0.05, doubled=0.1)])
    with simulate(tmp_path, seed=seed, settings=settings, weather=weather, limit_s=3_600) as sim:
        mean_s = random.choice([0.05, 0.5, 3.0])
        sim.duration = lambda _worker, _attempt: random.expovariate(1 / mean_s)
        sim.failures = {
            (random.choice(["map", "reduce"]), random.randrange(3), 1): random.choice(some_classes())
            for _ in range(random.randrange(3))
        }
        for _ in range(random.choice([1, 2, 4])):
            sim.add_worker(slots=random.choice([1, 2]))
        trouble = Trouble(sim, random)
        trouble.begin()
        for job in some_jobs(random):
            sim.submit(job)
        sim.finish(phases=(JobPhase.COMPLETE,))


def some_classes() -> list[m.FailureClass]:
    return ["user", "crash", "memory", "timeout", "system", "disruption"]


def test_a_seed_tells_the_same_story_every_time(tmp_path: Path) -> None:
    stories = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with simulate(tmp_path / name, seed=7, weather=STORM) as sim:
            sim.add_workers(3)
            Trouble(sim, Random(7)).begin()
            sim.submit(some_jobs(Random(7))[0])
            sim.finish()
            stories.append([(type(record).__name__, record.at) for record in sim.seen_records])
    assert stories[0] == stories[1]
