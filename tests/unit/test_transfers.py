"""What workers that share no volume may hand in and read, asked of the real service."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.protocol import messages as m
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simulation import Simulation, simulate

T = TypeVar("T")

JOB = SimJob(code=INVERTED_INDEX, reducer="reducer", shuffle="Peer", lease_s=4)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulation]:
    """A job in the middle of its maps: `keeper` hands nothing in by itself."""
    settings = ServiceSettings(tick_s=0.5, low_water_bytes=0, serves_data=True)
    with simulate(tmp_path, settings=settings) as made:
        worker = made.add_worker("keeper", task_s=2.0)
        worker.replicates = False
        made.submit(JOB)
        made.run_until(lambda: made.job(1).maps.committed_count >= 1 and bool(made.job(1).maps.leases))
        yield made


def ask(sim: Simulation, call: Callable[[Service], Coroutine[Any, Any, T]]) -> T:
    assert sim.network.server is not None
    return sim.loop.run_until_complete(sim.loop.task(sim.network.server.program, call(sim.service)))


def refusal(sim: Simulation, call: Callable[[Service], Coroutine[Any, Any, object]]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        ask(sim, call)
    return caught.value.code, caught.value.message


def committed(sim: Simulation) -> m.AttemptId:
    table = sim.job(1).maps
    return next(table.output(index).id for index in range(table.count) if table.was_committed(index))


def leased(sim: Simulation) -> m.AttemptId:
    index, lease = next(iter(sim.job(1).maps.leases.items()))
    return sim.job(1).maps.attempt_id(index, lease)


def content(sim: Simulation, attempt: m.AttemptId) -> bytes:
    return (sim.workers["keeper"].scratch / "runs" / "1" / f"{attempt.stem}.run").read_bytes()


def test_a_replica_is_read_once_it_is_whole_and_not_before(sim: Simulation) -> None:
    attempt = committed(sim)
    run = content(sim, attempt)
    half = len(run) // 2
    ask(sim, lambda it: it.put_run("keeper", 1, attempt.stem, 0, len(run), run[:half]))
    assert refusal(sim, lambda it: it.replica_path(1, attempt.stem))[0] == "not-found"
    pending = ask(sim, lambda it: it.coordinator_status()).replicas_pending
    assert ask(sim, lambda it: it.put_run("keeper", 1, attempt.stem, half, len(run), run[half:])).is_complete
    assert ask(sim, lambda it: it.replica_path(1, attempt.stem)).read_bytes() == run
    assert ask(sim, lambda it: it.coordinator_status()).replicas_pending == pending - 1


def test_a_replica_of_other_content_is_refused(sim: Simulation) -> None:
    attempt = committed(sim)
    run = bytearray(content(sim, attempt))
    run[len(run) // 2] ^= 1
    code, message = refusal(sim, lambda it: it.put_run("keeper", 1, attempt.stem, 0, len(run), bytes(run)))
    assert code == "conflict"
    assert "thrown away" in message


def test_a_replica_of_another_size_than_committed_is_refused(sim: Simulation) -> None:
    attempt = committed(sim)
    code, message = refusal(sim, lambda it: it.put_run("keeper", 1, attempt.stem, 0, 7, b"x"))
    assert (code, "size" in message) == ("conflict", True)


def test_what_nobody_needs_is_refused(sim: Simulation) -> None:
    held, other = leased(sim), committed(sim)
    stale = f"map-{other.index:05d}.e1.a9"
    assert refusal(sim, lambda it: it.put_run("keeper", 1, stale, 0, 9, b"x"))[0] == "conflict"
    assert refusal(sim, lambda it: it.put_run("stranger", 1, held.stem, 0, 9, b"x"))[0] == "conflict"
    assert refusal(sim, lambda it: it.put_run("keeper", 1, "map-09999.e1.a1", 0, 9, b"x"))[0] == "not-found"
    assert refusal(sim, lambda it: it.put_run("keeper", 1, "map-1.e1.a1", 0, 9, b"x"))[0] == "bad-request"
    assert refusal(sim, lambda it: it.put_run("keeper", 7, held.stem, 0, 9, b"x"))[0] == "not-found"


def test_a_map_makes_no_output_and_an_output_is_no_run(sim: Simulation) -> None:
    assert refusal(sim, lambda it: it.put_output("keeper", 1, leased(sim).stem, 0, 9, b"x"))[0] == "conflict"
    sim.run_until(lambda: bool(sim.job(1).reduces.leases))
    index, lease = next(iter(sim.job(1).reduces.leases.items()))
    stem = sim.job(1).reduces.attempt_id(index, lease).stem
    assert refusal(sim, lambda it: it.put_run("keeper", 1, stem, 0, 9, b"x"))[0] == "conflict"
    assert ask(sim, lambda it: it.put_output("keeper", 1, stem, 0, 9, b"x")).received == 1


def test_a_full_disk_takes_nothing_in(sim: Simulation) -> None:
    attempt = committed(sim)
    sim.service.machine.sessions.is_paused = True
    assert refusal(sim, lambda it: it.put_run("keeper", 1, attempt.stem, 0, 9, b"x"))[0] == "not-ready"
    found = ask(sim, lambda it: it.coordinator_status())
    assert (found.is_short_of_space, [it.reason for it in found.notices]) == (True, ["LowSpace"])


def test_an_input_is_found_while_it_is_as_it_was_planned(sim: Simulation) -> None:
    path = ask(sim, lambda it: it.input_path(1, 0, 0))
    assert path == Path(sim.service.split(1, 0).files[0].path)
    os.utime(path, ns=(1, 1))
    code, message = refusal(sim, lambda it: it.input_path(1, 0, 0))
    assert (code, "has changed" in message) == ("conflict", True)
    path.unlink()
    assert refusal(sim, lambda it: it.input_path(1, 0, 0))[0] == "conflict"


def test_an_input_that_was_never_planned_is_not_found(sim: Simulation) -> None:
    assert refusal(sim, lambda it: it.input_path(1, 0, 9))[0] == "not-found"
    assert refusal(sim, lambda it: it.input_path(1, 999, 0))[0] == "not-found"


def test_an_input_that_came_to_lead_out_of_its_folder_is_refused(sim: Simulation, tmp_path: Path) -> None:
    sim.service.settings = ServiceSettings(serves_data=True, input_roots=(tmp_path / "elsewhere",))
    assert "leads out" in refusal(sim, lambda it: it.input_path(1, 0, 0))[1]


def test_workers_learn_that_files_come_from_the_coordinator(sim: Simulation) -> None:
    assert ask(sim, lambda it: it.definition(1)).data == "coordinator"


def test_where_workers_share_a_volume_nothing_is_handed_in(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=ServiceSettings(tick_s=0.5, low_water_bytes=0, serves_data=True)) as sim:
        sim.add_worker("keeper")
        sim.submit(SimJob(lease_s=4))
        sim.run_until(lambda: bool(sim.job(1).maps.leases))
        assert ask(sim, lambda it: it.definition(1)).data == "path"
        assert refusal(sim, lambda it: it.put_run("keeper", 1, leased(sim).stem, 0, 9, b"x"))[0] == "conflict"
        sim.finish()


def test_a_replica_that_was_whole_before_its_commit_and_a_crash_counts(sim: Simulation) -> None:
    attempt = leased(sim)
    worker = sim.workers["keeper"]
    path = worker.scratch / "runs" / "1" / f"{attempt.stem}.run"
    sim.run_until(lambda: path.exists() and sim.job(1).maps.was_committed(attempt.index))
    run = path.read_bytes()
    (sim.service.store.runs_folder(1) / path.name).write_bytes(run)  # an earlier incarnation took it
    assert ask(sim, lambda it: it.put_run("keeper", 1, attempt.stem, 0, len(run), b"")).is_complete
    assert sim.service.machine.sessions.has_replica(sim.job(1), attempt.index)


def test_the_job_still_ends_as_it_should(sim: Simulation) -> None:
    sim.finish(phases=(JobPhase.COMPLETE,))
    assert sim.remade() == 0
