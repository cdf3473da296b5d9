"""A whole `mr run` killed exactly at one of its own system calls: at each sync of its log, at each file's new name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.aftermath import check_orphans_end, check_run, committed_in
from tests.support.killing import start_run
from tests.support.sampling import sampled
from tests.support.steppedjobs import SteppedJob, stepped_job
from tests.support.strace import inject, injecting, need_strace

#: The log of this job is synced between about 12 and 20 times by its writing thread, as commits fall together.
SYNCS = list(range(1, 18))

#: The first steps of a run: what names files that must be whole (owner record, token, log, plan) and what syncs them.
STEPS = [("rename", number) for number in range(1, 5)] + [("fsync", number) for number in range(1, 13)]

#: The thread that publishes renames the two parts and `_SUCCESS`; between, it syncs the folder, the file, the folder.
PUBLISHING = [("rename", 1), ("rename", 2), ("fsync", 1), ("rename", 3), ("fsync", 3)]


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    need_strace()
    with stepped_job() as made:
        yield made


def check_goes_on(job: SteppedJob) -> None:
    """The same command once more, whatever there is already."""
    check_orphans_end(job)
    is_whole = (job.out / "_SUCCESS").exists()
    before, begun = committed_in(job.out / "_mapreduce"), job.begun()
    again = start_run(job)
    assert again.wait() == (2 if is_whole else 0), job.story()
    assert all(job.begun()[task] == begun[task] for task in before), "something committed was begun again"
    check_run(job)


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", sampled(SYNCS, 3, seed="syncs"))
def test_killed_at_a_sync_of_its_log_the_same_command_goes_on(job: SteppedJob, number: int) -> None:
    trace = inject(job.logs / "calls", "fdatasync", f"signal=SIGKILL:when={number}")
    assert start_run(job, trace=trace).wait() in {0, -9}, job.story()
    check_goes_on(job)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("call", "number"), sampled(STEPS, 2, seed="steps"))
def test_killed_at_one_of_its_first_steps_the_same_command_does_the_job(
    job: SteppedJob, call: str, number: int
) -> None:
    trace = inject(job.logs / "calls", call, f"signal=SIGKILL:when={number}")
    assert start_run(job, trace=trace).wait() in {0, -9}, job.story()
    check_goes_on(job)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("call", "number"), sampled(PUBLISHING, 3, seed="publishing"))
def test_killed_while_it_publishes_the_same_command_completes_the_output(
    job: SteppedJob, call: str, number: int
) -> None:
    job.close_gate("reduce-1")
    run = start_run(job)
    job.until_at("reduce-1")
    with injecting(run.process.pid, job.logs / "calls", call, f"signal=SIGKILL:when={number}"):
        job.open_gate("reduce-1")
        assert run.wait() == -9, job.story()
    names = {path.name for path in job.out.iterdir()}
    assert ("_SUCCESS" in names) == ((call, number) == ("fsync", 3))
    assert ("part-00001" in names) == ((call, number) not in {("rename", 1), ("rename", 2)})
    check_goes_on(job)
