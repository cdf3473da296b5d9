"""C13: a straggler gets a backup attempt; whoever comes first counts, and nothing of the other is ever seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mapreduce.model import Shuffle
from mapreduce.protocol import messages as m
from mapreduce.scheduling import records
from tests.support.simjobs import INVERTED_INDEX, NON_DETERMINISTIC, SimJob
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker

JOB = SimJob(
    code=INVERTED_INDEX,
    reducer="reducer",
    speculation="Stragglers",
    texts={"a.txt": "a b c\n" * 24},
    split_bytes=12,
)


def one_slow_task(kind: m.TaskKind, index: int, slow_s: float) -> Callable[[SimWorker, m.AttemptId], float]:
    """The first attempt of one task takes so long, all others half a second."""

    def duration(_worker: SimWorker, attempt: m.AttemptId) -> float:
        is_slow = (attempt.kind, attempt.index, attempt.attempt) == (kind, index, 1)
        return slow_s if is_slow else 0.5

    return duration


def backups(sim: Simulation) -> list[str]:
    """Tasks that were granted a second time."""
    found = [record for record in sim.seen_records if isinstance(record, records.BackupsGranted)]
    return [f"{record.kind}-{grant.index}" for record in found for grant in record.grants]


@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
@pytest.mark.parametrize(("kind", "index"), [("map", 3), ("reduce", 1)])
def test_c13_the_backup_wins(tmp_path: Path, kind: m.TaskKind, index: int, shuffle: Shuffle) -> None:
    job = replace(JOB, shuffle=shuffle)
    with simulate(tmp_path, duration=one_slow_task(kind, index, 300.0)) as sim:
        sim.add_workers(3)
        number = sim.run_job(job)
        assert sim.loop.time() < 1_000 + 60, "the job waited for its straggler"
        assert backups(sim) == [f"{kind}-{index}"]
        assert sim.job(number).table(kind).output(index).id.attempt == 2
        sim.finish()
        assert sim.remade() == 0


@pytest.mark.parametrize("slow_s", [step / 4 for step in range(8, 24)])
def test_c13_both_finish(tmp_path: Path, slow_s: float) -> None:
    """The first attempt ends before, with, or after the second: one of them counts, its repeats included."""
    with simulate(tmp_path, duration=one_slow_task("map", 3, slow_s)) as sim:
        sim.add_workers(3)
        number = sim.run_job(JOB)
        sim.finish()
        assert sim.job(number).maps.output(3).id.attempt in {1, 2}
        assert sim.remade() == 0


@pytest.mark.parametrize("slow_s", [300.0, 3.0, 3.5, 4.0])
def test_c13_of_a_mapper_that_differs_each_time_one_attempt_is_in_the_output(tmp_path: Path, slow_s: float) -> None:
    job = SimJob(
        code=NON_DETERMINISTIC,
        reducer="reducer",
        speculation="Stragglers",
        texts={"a.txt": "".join(f"word{number} word{number}\n" for number in range(12))},
        split_bytes=14,
        is_deterministic=False,
    )
    with simulate(tmp_path, duration=one_slow_task("map", 2, slow_s)) as sim:
        sim.add_workers(3)
        number = sim.run_job(job)
        winner = sim.job(number).maps.output(2).id.attempt
        sim.finish()
        text = b"".join(path.read_bytes() for path in (tmp_path / "out" / "job").glob("part-*")).decode()
        seen = {attempts for _, attempts in (line.split("\t") for line in text.splitlines())}
        assert seen == {"[1]"} | {f"[{winner}]"}


@pytest.mark.parametrize("power_cut", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("is_lost", ["coordinator", "slow worker", "fast worker"])
def test_c13_something_dies_while_two_attempts_run(tmp_path: Path, is_lost: str, power_cut: int | None) -> None:
    with simulate(tmp_path, duration=one_slow_task("map", 3, 20.0)) as sim:
        sim.add_workers(3)
        number = sim.submit(JOB)
        sim.run_until(lambda: bool(sim.job(number).maps.backups))
        slow, fast = sim.job(number).maps.live(3)
        if is_lost == "coordinator" or power_cut is not None:
            sim.restart_coordinator(power_cut=power_cut)
        if is_lost != "coordinator":
            sim.workers[(slow if is_lost == "slow worker" else fast).worker].kill()
        sim.finish()
        assert sim.remade() == 0
        assert backups(sim)[0] == "map-3"


def test_jobs_that_do_not_ask_for_backups_wait_for_their_straggler(tmp_path: Path) -> None:
    with simulate(tmp_path, duration=one_slow_task("map", 3, 30.0)) as sim:
        sim.add_workers(3)
        sim.run_job(replace(JOB, speculation="Never"))
        assert sim.loop.time() > 1_000 + 30
        assert backups(sim) == []
        sim.finish()
