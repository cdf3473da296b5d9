"""System calls of the coordinator that fail, by strace: nothing is acknowledged after it, and a restart goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import CoordinatorClient, FolderEndpoint
from mapreduce.wal.explain import verify
from mapreduce.wal.files import LocalFiles
from tests.support.aftermath import check_run, committed_in
from tests.support.killing import Program, start_run, until_quiet
from tests.support.sampling import sampled
from tests.support.steppedjobs import SteppedJob, stepped_job
from tests.support.strace import inject, injecting, need_strace

_SEGMENT = "_mapreduce/log/segment-0000000001-e0000000001.wal"

#: The log of this job is written and synced 12 to 20 times, as commits fall together.
WRITES = [
    (call, error, number) for number in range(1, 13) for call in ("write", "fdatasync") for error in ("EIO", "ENOSPC")
]


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    need_strace()
    with stepped_job() as made:
        yield made


def acknowledged(run: Program, state: Path) -> int:
    """Ask for the job's status until the run ends; the highest sequence that was answered."""
    client, highest = CoordinatorClient(FolderEndpoint(state), deadline_s=5), 0
    while run.is_running:
        try:
            highest = max(highest, client.status(1)[1])
        except MapReduceError:
            continue
    client.close()
    return highest


def check_fails_cleanly(job: SteppedJob, run: Program) -> None:
    """It has ended by itself, with one line that says what is wrong."""
    assert run.wait() not in {0, -9}, job.story()
    until_quiet(job.root)
    assert "Traceback" not in run.said, run.said
    errors = [line for line in run.said.splitlines() if "Errno" in line]
    assert len(errors) == 1, run.said
    assert errors[0].startswith("mr: ")
    assert not (job.out / "_SUCCESS").exists()
    assert not (job.out / "_mapreduce" / "endpoint.json").exists()


def check_goes_on(job: SteppedJob) -> None:
    before, begun = committed_in(job.out / "_mapreduce"), job.begun()
    start_run(job).finishes()
    check_run(job)
    assert all(job.begun()[task] == begun[task] for task in before), "something committed was begun again"


@pytest.mark.exhaustive
@pytest.mark.parametrize(("call", "error", "number"), sampled(WRITES, 4, seed="writes"))
def test_after_a_failed_call_on_the_log_nothing_is_acknowledged_and_the_same_command_goes_on(
    job: SteppedJob, call: str, error: str, number: int
) -> None:
    what = f"error={error}:when={number}"
    run = start_run(job, trace=inject(job.logs / "calls", call, what, path=job.out / _SEGMENT))
    highest = acknowledged(run, job.out / "_mapreduce")
    if run.wait() == 0:
        assert "INJECTED" not in (job.logs / "calls").read_text()
        check_run(job)
        return
    check_fails_cleanly(job, run)
    assert ("Make room" if error == "ENOSPC" else "Check the volume") in run.said
    assert verify(LocalFiles(), str(job.out / "_mapreduce" / "log")).sequence >= highest
    check_goes_on(job)


def test_a_log_whose_first_segment_cannot_get_its_name_is_no_log_and_nothing_is_run(job: SteppedJob) -> None:
    trace = inject(job.logs / "calls", "rename", "error=EIO:when=1", path=job.out / f"{_SEGMENT}.tmp")
    run = start_run(job, trace=trace)
    check_fails_cleanly(job, run)
    assert not job.begun()
    check_goes_on(job)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("call", "error", "number"),
    sampled(
        [("rename", "EROFS", 1), ("rename", "EIO", 2), ("rename", "ENOSPC", 3), ("fsync", "EIO", 1)], 2, seed="out"
    ),
)
def test_an_output_folder_that_cannot_be_written_any_more_ends_the_run_and_it_is_published_later(
    job: SteppedJob, call: str, error: str, number: int
) -> None:
    job.close_gate("reduce-1")
    run = start_run(job)
    job.until_at("reduce-1")
    with injecting(run.process.pid, job.logs / "calls", call, f"error={error}:when={number}"):
        job.open_gate("reduce-1")
        check_fails_cleanly(job, run)
    assert f"publishing to {job.out} failed" in run.said
    check_goes_on(job)
    assert set(job.begun().values()) == {1}
