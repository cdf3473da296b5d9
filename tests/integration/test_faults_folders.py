"""Folders that others touch while a job runs: two runs on one output, inputs that change."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.aftermath import check_run
from tests.support.killing import start_run, until_quiet
from tests.support.sampling import sampled
from tests.support.steppedjobs import SteppedJob, stepped_job


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    with stepped_job() as made:
        yield made


def test_of_two_runs_on_one_output_that_start_together_one_does_the_job_and_one_is_refused(job: SteppedJob) -> None:
    first, second = start_run(job), start_run(job)
    codes = {first.wait(), second.wait()}
    assert codes == {0, 2}, job.story()
    refused = first if first.process.returncode else second
    assert "another run is using it" in refused.said or "holds a finished result" in refused.said
    assert set(check_run(job).committed.values()) == {1}


def test_a_run_beside_one_that_works_is_refused_and_disturbs_nothing(job: SteppedJob) -> None:
    job.close_gate("map-1")
    run = start_run(job)
    job.until_at("map-1")
    other = start_run(job, "--overwrite", "--restart")
    assert other.wait() == 2
    assert "another run is using it" in other.said
    assert run.is_running
    job.open_gates()
    run.finishes()
    assert set(job.begun().values()) == {1}
    assert set(check_run(job).committed.values()) == {1}


CHANGES = ["grown", "cut", "rewritten", "removed", "replaced by a folder"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("change", sampled(CHANGES, 3, seed="changes"))
def test_an_input_that_changes_under_the_job_is_detected_and_named(job: SteppedJob, change: str) -> None:
    job.close_gate("map-0")
    job.close_gate("map-1")
    run = start_run(job)
    job.until_at("map-0")  # both workers are held: nobody has read the last input yet
    job.until_at("map-1")
    path = job.inputs / "5.txt"
    content = path.read_bytes()
    match change:
        case "grown":
            path.write_bytes(content + b"more=1\n")
        case "cut":
            path.write_bytes(content[:100])
        case "rewritten":
            before = path.stat()
            path.write_bytes(content.replace(b"w1=", b"w2="))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        case "removed":
            path.unlink()
        case _:
            path.unlink()
            path.mkdir()
    job.open_gates()
    assert run.wait() == 1, job.story()
    assert "in/5.txt" in run.said
    assert "BadInput" in run.said
    until_quiet(job.root)
    assert [name.name for name in job.out.iterdir()] == ["_mapreduce"]
