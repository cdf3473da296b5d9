"""The log is compacted before it fills its volume: by its bytes, and when there is little room left."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.podlog import describe
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.protocol import messages as m
from mapreduce.scheduling import records
from mapreduce.scheduling.transitions import JobPhase
from tests.support.faultyfiles import Disk
from tests.support.simulation import Simulation, simulate
from tests.support.simworker import SimWorker

ROOMY = ServiceSettings(low_water_bytes=0)
FIRST_SEGMENT = "segment-0000000001-e0000000001.wal"


def log_bytes(disk: Disk) -> int:
    """What the segments take."""
    return sum(len(data) for path, data in disk.image().items() if path.endswith(".wal"))


def snapshots(disk: Disk) -> list[str]:
    return [name for name in disk.names() if name.endswith(".snap")]


def test_a_log_of_few_records_with_long_tracebacks_is_compacted_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_sim: Simulation, _worker: SimWorker, assignment: m.Assignment) -> m.Failure | None:
        if assignment.id.kind == "reduce" or assignment.id.attempt > 7:
            return None
        return m.Failure(failure_class="disruption", message="gone", traceback="x" * 8_000)

    limit = 20_000
    monkeypatch.setattr(Simulation, "planned_failure", fail)
    with simulate(tmp_path, settings=ServiceSettings(low_water_bytes=0, snapshot_bytes=limit)) as sim:
        sim.add_workers(2)
        number = sim.submit()
        highest = 0
        while not sim.is_over(number):
            sim.run_for(0.1)
            highest = max(highest, log_bytes(sim.disk))
        sim.finish()
        assert sim.job(number).maps.failed_attempts == 4 * 7
        assert highest < 4 * limit, "two stretches of the log are kept"
        assert FIRST_SEGMENT not in sim.disk.names()


def paused(sim: Simulation) -> int:
    """A job in whose midst the volume is nearly full; all that ran has ended."""
    sim.add_worker()
    number = sim.submit()
    sim.run_until(lambda: sim.job(number).maps.committed_count >= 2)
    sim.service.settings = ServiceSettings(low_water_bytes=1 << 60)
    sim.run_for(30.0)
    assert sim.job(number).phase is JobPhase.MAPPING
    assert not sim.job(number).maps.leases
    return number


def test_a_log_gives_back_its_old_segments_once_when_there_is_little_room(tmp_path: Path) -> None:
    with simulate(tmp_path, settings=ROOMY) as sim:
        paused(sim)
        assert FIRST_SEGMENT not in sim.disk.names()
        assert len(snapshots(sim.disk)) == 2
        files = sim.disk.names()
        sim.run_for(30.0)
        assert sim.disk.names() == files, "what waits for room does not write"
        sim.restart_coordinator()
        sim.run_until(lambda: sim.network.server is sim.coordinator)
        sim.service.settings = ROOMY
        sim.finish()
        spacers = [it for it in sim.seen_records if isinstance(it, records.LeasesReleased) and not it.ids]
        assert spacers
        assert all(describe(record) == "" for record in spacers), "what changes nothing is no news"


def test_a_snapshot_that_would_fill_the_volume_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hardly_any(_service: Service) -> int:
        return 100

    with simulate(tmp_path, settings=ROOMY) as sim:
        with monkeypatch.context() as patched:
            patched.setattr(Service, "free_bytes", hardly_any)
            paused(sim)
            assert snapshots(sim.disk) == []
            assert len(sim.coordinators) == 1
        sim.service.settings = ROOMY
        sim.finish()
