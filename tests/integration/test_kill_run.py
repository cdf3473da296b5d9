"""kill -9 of the processes of `mr run`, at moments seen from outside: no wrong byte, nothing committed done again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aftermath import Story, check_orphans_end, check_run, committed_in, read_story
from tests.support.killing import (
    Program,
    agents,
    commands_in,
    coordinators,
    executors,
    executors_of,
    kill,
    kill_all,
    start_run,
)
from tests.support.mrruns import parts, until
from tests.support.sampling import IS_EXHAUSTIVE, sampled
from tests.support.steppedjobs import MAPS, REDUCES, SteppedJob, oracle_parts, poll, stepped_job

#: Where a task waits while somebody is killed: the first, one in the middle, the last lines of one, both reduces.
PLACES = [("map-0", "begin"), ("map-2", "begin"), ("map-3", "end"), ("map-5", "end"), ("reduce-0", "begin")]
PLACES += [("reduce-1", "begin")]


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    with stepped_job() as made:
        yield made


def run_up_to(job: SteppedJob, task: str, place: str) -> Program:
    """A run whose other tasks are done as far as they can be, and which waits there."""
    job.close_gate(task, place)
    program = start_run(job)
    job.until_at(task, place)
    wanted = MAPS - 1 if task.startswith("map") else MAPS + REDUCES - 1
    until(lambda: len(committed_in(job.out / "_mapreduce")) == wanted, "all that can be committed", job.story)
    return program


def victim_of(job: SteppedJob, task: str, place: str) -> int:
    """The executor that waits there, by the note it has left."""
    (note,) = job.seen.glob(f"{task}@{place}.a1.*")
    return int(note.suffix[1:])


def check_only_the_gated_was_begun_again(job: SteppedJob, task: str, story: Story) -> None:
    again = {name for name, count in job.begun().items() if count > 1}
    assert again == {task}
    assert {name for name in story.granted if story.attempts(name) > 1} <= {task}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "place"), sampled(PLACES, 1, seed="executor"))
def test_a_killed_executor_costs_one_attempt_of_what_it_ran_and_nothing_else(
    job: SteppedJob, task: str, place: str
) -> None:
    program = run_up_to(job, task, place)
    kill([victim_of(job, task, place)])
    job.open_gate(task, place)
    said = program.finishes()
    story = check_run(job)
    check_only_the_gated_was_begun_again(job, task, story)
    assert story.failed == {f"{task} crash": 1}
    assert "is replaced" not in said  # its agent went on


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "place"), sampled(PLACES, 2, seed="agent"))
def test_a_killed_agent_takes_its_executor_along_and_is_replaced(job: SteppedJob, task: str, place: str) -> None:
    program = run_up_to(job, task, place)
    executor = victim_of(job, task, place)
    (agent,) = [agent for agent in agents(job.root) if executor in executors_of(agent)]
    kill([agent])
    until(lambda: executor not in executors(job.root), "the end of its executor", job.story)
    job.open_gate(task, place)
    assert "was killed by SIGKILL" in program.finishes()
    story = check_run(job)
    check_only_the_gated_was_begun_again(job, task, story)
    assert story.released[f"{task} LOST"] == 1
    assert not story.failed


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "place"), sampled(PLACES, 1, seed="all agents"))
def test_a_run_outlives_the_death_of_all_its_agents(job: SteppedJob, task: str, place: str) -> None:
    program = run_up_to(job, task, place)
    kill(agents(job.root))
    job.open_gate(task, place)
    assert program.finishes().count("was killed by SIGKILL") == 2
    check_only_the_gated_was_begun_again(job, task, check_run(job))


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "place"), sampled(PLACES, 1, seed="run"))
def test_after_a_killed_run_its_orphans_end_and_the_same_command_goes_on(
    job: SteppedJob, task: str, place: str
) -> None:
    program = run_up_to(job, task, place)
    kill([program.process.pid])
    program.wait()
    check_orphans_end(job)
    job.open_gate(task, place)
    said = start_run(job).finishes()
    assert "resuming" in said
    story = check_run(job)
    assert story.epochs == 2
    check_only_the_gated_was_begun_again(job, task, story)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "place"), sampled(PLACES, 1, seed="everything"))
def test_after_the_death_of_everything_the_same_command_goes_on(job: SteppedJob, task: str, place: str) -> None:
    run_up_to(job, task, place)
    kill_all(job.root)
    job.open_gate(task, place)
    assert "resuming" in start_run(job).finishes()
    check_only_the_gated_was_begun_again(job, task, check_run(job))


def test_everything_killed_five_times_in_a_row_is_one_job_with_every_task_committed_once(job: SteppedJob) -> None:
    gates = [("map-1", "begin"), ("map-3", "end"), ("map-5", "begin"), ("reduce-0", "begin"), ("reduce-1", "begin")]
    for task, place in gates:
        job.close_gate(task, place)
    for task, place in gates:
        earlier = job.visits(task, place)
        start_run(job)
        job.until_at(task, place, but=earlier)
        kill_all(job.root)
        job.open_gate(task, place)
    start_run(job).finishes()
    assert check_run(job).epochs == 6


@pytest.mark.exhaustive
@pytest.mark.parametrize("count", sampled(range(1, 25), 2, seed="records"))
@pytest.mark.parametrize("whom", ["run", "everything"] if IS_EXHAUSTIVE else ["everything"])
def test_killed_as_soon_as_the_log_has_so_many_records_the_same_command_goes_on(
    job: SteppedJob, count: int, whom: str
) -> None:
    program = start_run(job)
    log = job.out / "_mapreduce" / "log"
    poll(lambda: log_length(log) >= count * 100, while_true=lambda: program.is_running)
    kill(coordinators(job.root) if whom == "run" else commands_in(job.root))
    before = committed_in(job.out / "_mapreduce")
    program.wait()
    check_orphans_end(job)
    begun = job.begun()
    if program.process.returncode == 0:
        pytest.skip("the run was quicker than this test")
    again = start_run(job)
    code = again.wait()
    if code == 2:  # killed after `_SUCCESS`
        assert "holds a finished result" in again.said
        assert job.begun() == begun
        if not read_story(job.out / "_mapreduce").end:  # and before the last word of the log
            assert parts(job.out) == oracle_parts()
            return
    else:
        assert code == 0, job.story()
    story = check_run(job)
    assert all(job.begun()[task] == begun[task] for task in before)
    assert story.epochs == (1 if code == 2 else 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_a_run_is_ended_the_same_command_gives_the_same_bytes(job: SteppedJob, number: signal.Signals) -> None:
    program = run_up_to(job, "map-4", "end")
    code = program.end(number)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    check_orphans_end(job)
    if number != signal.SIGKILL:
        assert f"stopped with {MAPS - 1} of {MAPS} maps" in program.said
        assert not (job.out / "_mapreduce" / "token").exists()
        assert not (job.out / "_mapreduce" / "endpoint.json").exists()
        assert not (job.out / "_mapreduce" / "scratch").exists()
    job.open_gates()
    assert f"resuming, {MAPS - 1} of {MAPS} maps already committed" in start_run(job).finishes()
    check_only_the_gated_was_begun_again(job, "map-4", check_run(job))


def log_length(log: Path) -> int:
    """Bytes in all segments; a record of this job has about a hundred."""
    return sum(path.stat().st_size for path in log.glob("segment-*.wal"))
