"""The log rots: it is always noticed, the job is rebuilt from what verifies, and the output is right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mapreduce.coordinator.recovery import recover
from mapreduce.scheduling import records
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.wal.codec import START_BYTES
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.simcoordinator import digest_of
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simulation import Simulation, simulate

IS_EXHAUSTIVE = bool(os.environ.get("EXHAUSTIVE"))
JOB = SimJob(code=INVERTED_INDEX, reducer="reducer")

Image = dict[str, bytes]


def newest_segment(image: Image) -> str:
    return max(path for path in image if path.endswith(".wal"))


def stop_in_the_middle(sim: Simulation, phase: JobPhase = JobPhase.REDUCING, job: SimJob = JOB) -> Image:
    """A job that is half done; its coordinator is dead; the files of its log."""
    sim.add_workers(2)
    number = sim.submit(job)
    sim.run_until(lambda: sim.job(number).phase is phase)
    sim.run_for(0.3)
    sim.kill_coordinator()
    return sim.disk.image()


def go_on(sim: Simulation, image: Image) -> None:
    """The coordinator is started on this log; the job ends as it must."""
    sim.is_rotten = True
    sim.disk = Disk.of_image(image)
    sim.histories.clear()
    sim.accepted.clear()
    sim.start_coordinator()
    sim.run_until(lambda: sim.network.server is sim.coordinator)
    sim.accepted.clear()
    sim.submit_placed(sim.jobs[1])
    sim.finish()


def is_rebuilt(sim: Simulation) -> bool:
    return any(isinstance(record, records.JobRebuilt) for record in sim.seen_records)


def damaged(data: bytes, at: int, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Image, dict[int, bytes]]:
    """Folder, log and states by sequence of a job that is half done."""
    root = tmp_path_factory.mktemp("half")
    with simulate(root) as sim:
        image = stop_in_the_middle(sim)
        history = {sequence: digest for known in sim.histories for sequence, digest in known.items()}
        return sim.folder, image, history


def recovered(folder: Path, image: Image) -> tuple[int, bytes, bool]:
    """Sequence and state after opening a log, and whether rot was found."""
    found = recover(folder, FaultyFiles(Disk.of_image(image)))
    return found.log.sequence, digest_of(found.state), found.is_rebuilt


def test_w2_cut_at_every_byte_of_its_last_records(
    half_done: tuple[Path, Image, dict[int, bytes]],
) -> None:
    folder, image, history = half_done
    path = newest_segment(image)
    whole, _, _ = recovered(folder, image)
    data = image[path]
    for length in range(len(data) - 400, len(data)):
        sequence, digest, _ = recovered(folder, {**image, path: data[:length]})
        assert sequence <= whole
        assert history.get(sequence, digest) == digest, "a state that never was"


def test_w3_every_bit_of_its_last_record_flipped(half_done: tuple[Path, Image, dict[int, bytes]]) -> None:
    folder, image, history = half_done
    path = newest_segment(image)
    data = image[path]
    whole, digest_of_whole, _ = recovered(folder, image)
    step = 1 if IS_EXHAUSTIVE else 5
    for position in range((len(data) - 120) * 8, len(data) * 8, step):
        flipped = {**image, path: damaged(data, position // 8, position % 8)}
        sequence, digest, is_rotten = recovered(folder, flipped)
        assert is_rotten or sequence < whole or digest == digest_of_whole
        assert is_rotten or history.get(sequence, digest) == digest, "a state that never was"


def test_w4_a_bit_flipped_in_any_older_record_is_always_noticed(
    half_done: tuple[Path, Image, dict[int, bytes]],
) -> None:
    folder, image, _ = half_done
    path = newest_segment(image)
    data = image[path]
    step = 1 if IS_EXHAUSTIVE else 23
    for at in range(START_BYTES, len(data) // 2, step):
        _, _, is_rotten = recovered(folder, {**image, path: damaged(data, at, at % 8)})
        assert is_rotten, f"a bit flipped at offset {at} was not noticed"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.35, 0.5, 0.6])
@pytest.mark.parametrize("phase", [JobPhase.MAPPING, JobPhase.REDUCING])
def test_w4_the_job_is_rebuilt_and_its_output_is_right(tmp_path: Path, share: float, phase: JobPhase) -> None:
    with simulate(tmp_path) as sim:
        image = stop_in_the_middle(sim, phase)
        path = newest_segment(image)
        at = START_BYTES + int((len(image[path]) - START_BYTES) * share)
        go_on(sim, {**image, path: damaged(image[path], at)})
        assert any(
            "segment" in notice.message for it in sim.coordinators if it.service for notice in it.service.notices
        )
        assert sim.job(1).phase is JobPhase.COMPLETE


def test_w4_maps_whose_runs_verify_are_not_done_again(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        image = stop_in_the_middle(sim)
        begun = sim.begun_count("map")
        path = newest_segment(image)
        # the end of what was acknowledged: the reduces that were leased
        go_on(sim, {**image, path: damaged(image[path], len(image[path]) - 200)})
        assert sim.begun_count("map") == begun


def test_w4_a_run_that_rotted_with_the_log_is_made_again(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        image = stop_in_the_middle(sim)
        run = min(sim.folder.rglob("*.run"))
        run.write_bytes(damaged(run.read_bytes(), 60))
        path = newest_segment(image)
        go_on(sim, {**image, path: damaged(image[path], len(image[path]) - 300)})
        assert is_rebuilt(sim)


TAILS: dict[str, Callable[[bytes], bytes]] = {
    "zero page": lambda _data: bytes(4_096),
    "garbage": lambda _data: Random(1).randbytes(3_000),
    "huge length": lambda data: data[-32:-28] + b"\xff\xff\xff\x7f" + data[-24:],
    "old records": lambda data: data[START_BYTES : START_BYTES + 300],
}


@pytest.mark.parametrize("tail", TAILS)
def test_w5_what_lies_behind_the_last_record_is_the_end_of_the_log(tmp_path: Path, tail: str) -> None:
    with simulate(tmp_path) as sim:
        image = stop_in_the_middle(sim)
        path = newest_segment(image)
        sim.disk = Disk.of_image({**image, path: image[path] + TAILS[tail](image[path])})
        sim.start_coordinator()
        sim.finish()
        assert tail == "old records" or not is_rebuilt(sim)


def several_segments(sim: Simulation) -> Image:
    """A job that is half done after several restarts of its coordinator, each with records of its own."""
    sim.add_workers(2)
    number = sim.submit(JOB)
    for committed in (1, 2, 3):
        wait_for_maps(sim, number, committed)
        sim.restart_coordinator()
        sim.run_until(lambda: sim.network.server is sim.coordinator)
    wait_for_maps(sim, number, 4)
    sim.run_for(0.3)
    sim.kill_coordinator()
    image = sim.disk.image()
    assert len([path for path in image if path.endswith(".wal")]) >= 4
    return image


def wait_for_maps(sim: Simulation, number: int, committed: int) -> None:
    sim.run_until(lambda: sim.job(number).maps.committed_count >= committed)


def middle(image: Image) -> str:
    return sorted(path for path in image if path.endswith(".wal"))[1]


@pytest.mark.parametrize("what", ["deleted", "duplicated", "renamed"])
def test_w6_a_middle_segment_that_is_not_where_it_belongs_is_noticed_and_rebuilt(tmp_path: Path, what: str) -> None:
    with simulate(tmp_path) as sim:
        image = several_segments(sim)
        path = middle(image)
        data = image[path]
        other = path.replace("segment-0000000002", "segment-0000000099")
        assert other != path
        if what != "duplicated":
            del image[path]
        if what != "deleted":
            image[other] = data
        go_on(sim, image)
        assert any(notice for it in sim.coordinators if it.service for notice in it.service.notices)


def test_rot_before_the_job_itself_has_it_queued_again_under_its_id(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        image = stop_in_the_middle(sim)
        path = newest_segment(image)
        go_on(sim, {**image, path: damaged(image[path], START_BYTES + 8)})
        assert list(sim.state.jobs) == [1]


def test_a_plan_that_rotted_fails_the_job_with_the_reason(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        stop_in_the_middle(sim)
        plan = sim.folder / "jobs" / "1" / "plan.msgpack"
        plan.write_bytes(damaged(plan.read_bytes(), 30))
        sim.start_coordinator()
        sim.finish(phases=(JobPhase.FAILED,))
        assert sim.job(1).reason == "PlanLost"
