"""A volume that runs full while a job writes to it: the run waits or ends with a line, and goes on with room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.aftermath import check_no_leftovers, check_run, committed_in
from tests.support.killing import Program, start_run, until_quiet
from tests.support.mrruns import mr, parts, until
from tests.support.smalldisk import MIB, SmallDisk, small_disk
from tests.support.steppedjobs import MAPS, SteppedJob, stepped_job


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    with stepped_job() as made:
        yield made


@pytest.fixture
def disk(job: SteppedJob) -> Iterator[SmallDisk]:
    with small_disk(job.root / "disk", size_bytes=128 * MIB) as made:
        (made.folder / "out").mkdir()
        job.out.symlink_to(made.folder / "out")
        yield made


def finish_once_there_is_room(job: SteppedJob, run: Program, disk: SmallDisk) -> None:
    """Wait until the run has said what is wrong, whether it waits or ends; make room; see it through."""
    until(lambda: "almost full" in run.said or not run.is_running, "a word about the full disk", job.story)
    disk.make_room()
    if run.wait():
        assert "Traceback" not in run.said, run.said
        assert "Make room on the volume" in run.said
        until_quiet(job.root)
        start_run(job).finishes()


def test_a_run_waits_while_its_volume_is_almost_full_and_goes_on_when_there_is_room(
    job: SteppedJob, disk: SmallDisk
) -> None:
    job.close_gate("map-0")
    job.close_gate("map-1")
    run = start_run(job)
    job.until_at("map-0")
    job.until_at("map-1")
    disk.fill(but_bytes=32 * MIB)
    run.until_said("almost full; the job waits until there is room")
    assert "Waits for disk space" in mr("why", "out", cwd=job.root).stdout
    job.open_gates()
    until(lambda: {"map-0", "map-1"} <= committed_in(job.out / "_mapreduce"), "what was granted", job.story)
    disk.make_room()
    assert "there is room again" in run.finishes()
    assert set(check_run(job).committed.values()) == {1}


def test_a_log_that_is_compacted_for_want_of_space_keeps_what_was_committed_before(
    job: SteppedJob, disk: SmallDisk
) -> None:
    job.close_gate("reduce-0", "begin")
    run = start_run(job)
    job.until_at("reduce-0", "begin")
    disk.fill(but_bytes=32 * MIB)
    log = job.out / "_mapreduce" / "log"
    until(lambda: len(list(log.glob("*.snap"))) == 2, "two snapshots", job.story)
    disk.make_room()
    job.open_gates()
    run.finishes()
    assert set(check_run(job).committed.values()) == {1}


@pytest.mark.parametrize(("task", "place"), [("map-2", "end"), ("reduce-0", "begin")])
def test_a_volume_without_a_byte_left_loses_nothing_that_was_acknowledged(
    job: SteppedJob, disk: SmallDisk, task: str, place: str
) -> None:
    job.close_gate(task, place)
    run = start_run(job)
    job.until_at(task, place)
    disk.fill(but_bytes=0)
    job.open_gate(task, place)
    finish_once_there_is_room(job, run, disk)
    check_run(job)


def test_a_volume_that_is_full_while_a_map_spills_is_said_and_the_job_succeeds_with_room(
    job: SteppedJob, disk: SmallDisk
) -> None:
    words = "\n".join(f"word{index}={index}" for index in range(60_000))
    (job.inputs / "0.txt").write_text(f"@begin\n{words}\n@end\n")
    arguments = [word for word in job.arguments() if word not in {f"in/{index}.txt" for index in range(1, MAPS)}]
    arguments += ["--split-size", "8m", "--memory-budget", "1m"]
    job.close_gate("map-0")
    run = Program(job, ["run", *arguments, "--workers", 2])
    job.until_at("map-0")
    disk.fill(but_bytes=0)
    job.open_gate("map-0")
    until(lambda: "almost full" in run.said or not run.is_running, "a word about the full disk", job.story)
    disk.make_room()
    if run.wait():
        Program(job, ["run", *arguments, "--workers", 2]).finishes()
    until_quiet(job.root)
    mr("run", *arguments, "-o", "reference", "--sequential", cwd=job.root)
    assert parts(job.out) == parts(job.root / "reference")
    check_no_leftovers(job, disk.folder / "out")
    shutil.rmtree(job.root / "reference")
