"""Map output that is damaged or gone after its commit: made again and nothing else; never mixed with what was read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.dataplane.runs import TRAILER_BYTES, unpack_index, unpack_trailer
from tests.support.aftermath import check_run, committed_in, read_story
from tests.support.killing import kill_all, start_run, until_quiet
from tests.support.mrruns import until
from tests.support.steppedjobs import MAPS, REDUCES, SteppedJob, stepped_job


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    with stepped_job() as made:
        yield made


def run_of(job: SteppedJob, index: int) -> Path:
    (path,) = (job.out / "_mapreduce" / "jobs" / "1" / "runs").glob(f"map-{index:05d}.*.run")
    return path


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def flip_for_the_second_reducer(path: Path) -> None:
    """Damage a block that only reduce-1 reads."""
    content = path.read_bytes()
    offset, _ = unpack_trailer(content[-TRAILER_BYTES:], len(content))
    (entry,) = [entry for entry in unpack_index(content[offset:], offset, REDUCES) if entry.partition == 1]
    flip(path, entry.offset + entry.bytes // 2)


def until_all_but_the_last(job: SteppedJob) -> None:
    until(lambda: len(committed_in(job.out / "_mapreduce")) == MAPS - 1, "the other maps", job.story)


@pytest.mark.parametrize("damage", ["deleted", "truncated", "flipped"])
def test_a_damaged_run_is_made_again_and_no_other(job: SteppedJob, damage: str) -> None:
    job.close_gate("map-5", "end")
    run = start_run(job)
    job.until_at("map-5", "end")
    until_all_but_the_last(job)
    path = run_of(job, 1)
    match damage:
        case "deleted":
            path.unlink()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-40])
        case _:
            flip(path, path.stat().st_size // 3)
    job.open_gates()
    run.finishes()
    story = check_run(job, remade=1)
    assert story.lost == {"map-1": 1}
    assert {task: count for task, count in job.begun().items() if count > 1 and task.startswith("map")} == {"map-1": 2}


def test_a_whole_folder_of_runs_is_made_again(job: SteppedJob) -> None:
    job.close_gate("map-5", "end")
    run = start_run(job)
    job.until_at("map-5", "end")
    until_all_but_the_last(job)
    shutil.rmtree(run_of(job, 1).parent)
    job.open_gates()
    run.finishes()
    story = check_run(job, remade=MAPS - 1)
    assert sorted(story.lost) == [f"map-{index}" for index in range(MAPS - 1)]


def test_runs_that_vanish_while_nobody_runs_are_made_again_when_the_run_is_resumed(job: SteppedJob) -> None:
    job.close_gate("map-5", "end")
    start_run(job)
    job.until_at("map-5", "end")
    until_all_but_the_last(job)
    kill_all(job.root)
    run_of(job, 0).unlink()
    flip(run_of(job, 3), 60)
    job.open_gates()
    start_run(job).finishes()
    assert check_run(job, remade=2).lost == {"map-0": 1, "map-3": 1}


def test_a_map_that_comes_out_different_starts_its_running_readers_again(job: SteppedJob) -> None:
    job.let_say("map-1", 1, "first=1")  # the second attempt does not say it: neither may the output
    job.close_gate("map-5", "end")
    job.close_gate("reduce-0")
    run = start_run(job, "--workers", 3)  # one holds the first reader, one waits with the second, one makes the map
    job.until_at("map-5", "end")
    until_all_but_the_last(job)
    flip_for_the_second_reducer(run_of(job, 1))
    job.open_gate("map-5", "end")
    job.until_at("reduce-0")  # it has read the first version
    job.until_at("map-1", "end", but=1)
    job.until_at("reduce-0", but=1)
    job.open_gates()
    run.finishes()
    story = check_run(job, remade=1)
    assert story.released["reduce-0 STALE_INPUT"] == 1


def test_a_map_that_comes_out_different_under_a_committed_reader_fails_the_job(job: SteppedJob) -> None:
    job.let_say("map-1", 1, "first=1")
    job.close_gate("map-5", "end")
    run = start_run(job, "--workers", 1)
    job.until_at("map-5", "end")
    until_all_but_the_last(job)
    flip_for_the_second_reducer(run_of(job, 1))
    job.open_gates()
    assert run.wait() == 1, job.story()
    assert "NonDeterministicMap" in run.said
    assert "deterministic" in run.said
    until_quiet(job.root)
    assert [path.name for path in job.out.iterdir()] == ["_mapreduce"]
    story = read_story(job.out / "_mapreduce")
    assert (story.end, story.reason) == ("Failed", "NonDeterministicMap")
