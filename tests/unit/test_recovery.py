"""From a state folder to a state: what a crash leaves is replayed, what rot leaves is rebuilt from what verifies."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.plans import digest
from mapreduce.coordinator.recovery import Recovered, recover
from mapreduce.coordinator.store import Store
from mapreduce.errors import StorageFailed, WALForeign
from mapreduce.scheduling import records as r
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.wal.log import Log
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.simjobs import SimJob
from tests.support.simulation import Simulation, simulate


@pytest.fixture
def half_done(tmp_path: Path) -> Simulation:
    """A job whose maps are committed and whose first reduce is too; its coordinator is dead."""
    with simulate(tmp_path) as sim:
        sim.add_worker()
        number = sim.submit(SimJob(reducers=3))
        sim.run_until(lambda: sim.job(number).reduces.committed_count == 1)
        sim.run_for(0.3)
        sim.kill_coordinator()
        return sim


def opened(sim: Simulation, image: dict[str, bytes] | None = None) -> Recovered:
    return recover(sim.folder, FaultyFiles(Disk.of_image(image or sim.disk.image())))


def rotten(sim: Simulation) -> dict[str, bytes]:
    """The log with its last acknowledged record damaged."""
    image = sim.disk.image()
    path = max(path for path in image if path.endswith(".wal"))
    data = bytearray(image[path])
    data[-80] ^= 1
    return {**image, path: bytes(data)}


def rebuilt(found: Recovered) -> r.JobRebuilt:
    [record] = [record for record in found.rebuilt if isinstance(record, r.JobRebuilt)]
    return record


def test_an_empty_folder_gives_an_empty_state_and_an_identity(tmp_path: Path) -> None:
    found = recover(tmp_path, FaultyFiles(Disk()))
    assert not found.state.jobs
    assert len(found.store_id) == 16
    assert found.log.epoch == 1
    assert not found.notices


def test_after_a_crash_state_and_plan_are_there_and_nothing_is_rebuilt(half_done: Simulation) -> None:
    found = opened(half_done)
    job = found.state.jobs[1]
    assert job.phase is JobPhase.REDUCING
    assert (job.maps.committed_count, job.reduces.committed_count) == (4, 1)
    assert found.plans[1].split_count == 4
    assert (found.rebuilt, found.is_rebuilt) == ((), False)


def test_after_rot_all_that_verifies_is_trusted(half_done: Simulation) -> None:
    found = opened(half_done, rotten(half_done))
    assert found.is_rebuilt
    assert found.notices
    assert len(rebuilt(found).maps) == 4
    assert len(rebuilt(found).reduces) == 1


@pytest.mark.parametrize("harm", ["deleted", "altered", "cut"])
def test_after_rot_an_output_that_does_not_verify_is_not_trusted(half_done: Simulation, harm: str) -> None:
    run = min((half_done.folder / "jobs" / "1" / "runs").glob("*.run"))
    part = min((half_done.root / "out" / "job" / "_mapreduce" / "attempts" / "1").glob("*.out"))
    for path in (run, part):
        data = path.read_bytes()
        if harm == "deleted":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(data[:-1])
        else:
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    found = opened(half_done, rotten(half_done))
    assert [done.id.index for done in rebuilt(found).maps] == [1, 2, 3]
    assert rebuilt(found).reduces == ()


@pytest.mark.parametrize(("suffix", "call"), [(".run", "open"), (".out", "read_bytes")])
def test_after_rot_an_output_that_cannot_be_read_now_ends_the_start_and_is_not_given_up(
    half_done: Simulation, monkeypatch: pytest.MonkeyPatch, suffix: str, call: str
) -> None:
    original = getattr(Path, call)

    def fail(path: Path, *rest: Any, **named: Any) -> Any:
        if path.suffix == suffix:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return original(path, *rest, **named)

    monkeypatch.setattr(Path, call, fail)
    with pytest.raises(StorageFailed, match="start the coordinator again"):
        opened(half_done, rotten(half_done))


def test_after_rot_an_output_that_was_published_already_verifies_under_its_final_name(half_done: Simulation) -> None:
    output = half_done.root / "out" / "job"
    part = min((output / "_mapreduce" / "attempts" / "1").glob("*.out"))
    part.rename(output / "part-00000")
    assert len(rebuilt(opened(half_done, rotten(half_done))).reduces) == 1


def test_a_submission_that_the_log_lost_is_queued_again_under_its_id(half_done: Simulation) -> None:
    request = half_done.jobs[1].request
    other = half_done.folder / "jobs" / "2"
    other.mkdir()
    (other / "spec.json").write_bytes(msgspec.json.encode(request))
    junk = half_done.folder / "jobs" / "3"
    junk.mkdir()
    (junk / "spec.json").write_bytes(b"{")
    found = opened(half_done, rotten(half_done))
    assert [record.job for record in found.rebuilt if isinstance(record, r.JobSubmitted)] == [2]
    assert opened(half_done).rebuilt == (), "without rot the log alone counts"


@pytest.mark.parametrize("harm", ["deleted", "altered"])
def test_a_job_whose_plan_is_lost_fails_in_words(half_done: Simulation, harm: str) -> None:
    plan = half_done.folder / "jobs" / "1" / "plan.msgpack"
    if harm == "deleted":
        plan.unlink()
    else:
        plan.write_bytes(plan.read_bytes() + b"x")
    [record] = opened(half_done).rebuilt
    assert isinstance(record, r.JobFinished)
    assert record.reason == "PlanLost"
    assert "plan" in record.message


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_plan_that_cannot_be_read_now_ends_the_start_and_not_the_job(
    half_done: Simulation, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    read_bytes = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "plan.msgpack":
            raise OSError(number, os.strerror(number), str(path))
        return read_bytes(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        with pytest.raises(StorageFailed, match=r"plan of job 1.* start the coordinator again"):
            opened(half_done)
    found = opened(half_done)
    assert found.rebuilt == ()
    assert found.plans[1].split_count == 4


def test_a_plan_of_another_release_is_refused_and_the_job_goes_on_under_that_one(half_done: Simulation) -> None:
    content = msgspec.msgpack.encode({"format": 99})
    (half_done.folder / "jobs" / "1" / "plan.msgpack").write_bytes(content)
    with pytest.raises(WALForeign, match=r"plan of job 1 .* release"):
        Store(half_done.folder).plan(1, digest(content))


def test_a_record_of_a_newer_release_is_refused_and_nothing_is_skipped(tmp_path: Path) -> None:
    disk = Disk()
    log, _ = Log.open(FaultyFiles(disk), str(tmp_path / "log"))
    log.enqueue(r.encode(r.EpochStarted(1, 0.0)))
    log.enqueue(msgspec.msgpack.encode([99, "a fact that is not known yet"]))
    log.flush()
    with pytest.raises(WALForeign, match=r"record 2 .* release"):
        recover(tmp_path, FaultyFiles(disk))
