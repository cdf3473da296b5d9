"""The end of a job: killed at each step of publishing, cancelled, two jobs for one folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator import publish
from mapreduce.coordinator.statefiles import replace_file
from mapreduce.errors import StorageFailed
from mapreduce.scheduling import records
from mapreduce.scheduling.transitions import JobPhase
from tests.support.simjobs import INVERTED_INDEX, SimJob
from tests.support.simulation import Simulation, simulate

JOB = SimJob(code=INVERTED_INDEX, reducer="reducer")
#: Two renames, one sync of the folder, `_SUCCESS`.
PUBLISH_STEPS = 4


class Interrupted:
    """Interrupts the N-th step of publishing, before or after it was done."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, position: int, act: Callable[[], None], *, is_after: bool
    ) -> None:
        self.count, self.position, self.act, self.is_after = 0, position, act, is_after
        for name in ("_rename", "sync_folder", "replace_file"):
            monkeypatch.setattr(publish, name, self._wrapped(getattr(publish, name)))

    def _wrapped(self, step: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any, **kwargs: Any) -> None:
            self.count += 1
            is_here = self.count == self.position + 1
            if is_here and not self.is_after:
                self.act()
            step(*args, **kwargs)
            if is_here and self.is_after:
                self.act()

        return run


@pytest.mark.parametrize("position", range(PUBLISH_STEPS))
@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("power_cut", [False, True])
def test_c16_killed_at_each_step_of_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, is_after: bool, power_cut: bool
) -> None:
    with simulate(tmp_path) as sim:

        def die() -> None:
            placed = sim.jobs[1]
            (placed.output / f"._SUCCESS.{os.getpid() + 1}.tmp").write_bytes(b"half a mar")
            is_whole = (placed.output / "_SUCCESS").exists()
            assert is_whole == (position == PUBLISH_STEPS - 1 and is_after), "_SUCCESS comes last"
            raise sim.crash_coordinator(sim.coordinator, power_cut=position if power_cut else None)

        interrupted = Interrupted(monkeypatch, position, die, is_after=is_after)
        sim.add_workers(2)
        sim.run_job(JOB)
        sim.finish()
        assert interrupted.count > PUBLISH_STEPS
        assert sim.begun_count("reduce") == 2, "nothing committed is done again"


@pytest.mark.parametrize("position", range(PUBLISH_STEPS))
@pytest.mark.parametrize("is_after", [False, True])
def test_w12_a_coordinator_stopped_while_it_publishes_harms_nothing_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, is_after: bool
) -> None:
    with simulate(tmp_path) as sim:

        def stop() -> None:
            old = sim.coordinator
            sim.loop.stop_program(old.program)
            new = sim.start_coordinator()
            sim.loop.run_nested(lambda: new is sim.network.server and sim.is_over(1))
            sim.loop.resume(old.program)

        Interrupted(monkeypatch, position, stop, is_after=is_after)
        sim.add_workers(2)
        sim.run_job(JOB)
        sim.finish()
        assert sim.coordinators[0].program.is_dead


def test_a_rename_that_reports_an_error_and_has_happened_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_and_complain(self: Path, target: Path) -> Path:
        done = rename(self, target)
        if self.suffix == ".out":
            raise OSError(5, "input/output error")
        return done

    with simulate(tmp_path, restarts=False) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
        monkeypatch.setattr(Path, "rename", rename_and_complain)
        sim.finish()


def test_an_output_folder_that_cannot_be_written_ends_the_coordinator_and_a_restart_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 3

    def fail_at_first(path: Path, content: bytes) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(28, "no space left on device")
        replace_file(path, content)

    monkeypatch.setattr(publish, "replace_file", fail_at_first)
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        sim.run_job(JOB)
        sim.finish()
        assert [isinstance(it.error, StorageFailed) for it in sim.coordinators] == [True, True, True, False]
        assert sim.begun_count("reduce") == 2


def stopped_while_publishing(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> int:
    """A job whose outputs are all committed, and none has its name; its coordinator is dead."""

    def fail(_part: publish.Part) -> None:
        raise OSError(5, "input/output error")

    sim.add_workers(2)
    number = sim.submit(JOB)
    with monkeypatch.context() as patched:
        patched.setattr(publish, "_rename", fail)
        sim.run_until(lambda: isinstance(sim.coordinator.error, StorageFailed))
    assert sim.job(number).phase is JobPhase.COMMITTING
    return number


def test_a_job_that_is_being_published_needs_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulate(tmp_path, restarts=False) as sim:
        number = stopped_while_publishing(sim, monkeypatch)
        (sim.folder / "jobs" / str(number) / "plan.msgpack").unlink()
        sim.start_coordinator()
        sim.finish()
        assert sim.begun_count("reduce") == 2, "nothing committed is done again"


@pytest.mark.parametrize("is_plan_lost", [False, True])
def test_an_output_that_is_gone_when_a_restart_publishes_is_made_again_by_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_plan_lost: bool
) -> None:
    with simulate(tmp_path, restarts=False) as sim:
        number = stopped_while_publishing(sim, monkeypatch)
        min((sim.jobs[number].output / "_mapreduce" / "attempts" / str(number)).glob("*.out")).unlink()
        for run in (sim.folder / "jobs" / str(number) / "runs").glob("*.run"):
            run.unlink()
        if is_plan_lost:
            (sim.folder / "jobs" / str(number) / "plan.msgpack").unlink()
        sim.start_coordinator()
        sim.finish(phases=(JobPhase.FAILED if is_plan_lost else JobPhase.COMPLETE,))
        assert sim.job(number).reason == ("PlanLost" if is_plan_lost else "Complete")
        assert (sim.remade() > 0) == (not is_plan_lost)


def test_success_lists_counters_and_checksums_whatever_was_repeated(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.failures = {("map", 0, 1): "crash", ("map", 1, 1): "user"}
        sim.add_workers(2)
        number = sim.submit()
        sim.run_until(lambda: sim.job(number).maps.committed_count >= 1)
        sim.restart_coordinator()
        sim.finish()
        success = msgspec.json.decode((sim.jobs[number].output / "_SUCCESS").read_bytes())
        words = sum(len(str(text).split()) for text in SimJob().texts.values())
        assert success["counters"] == {"words": words}
        assert set(success["parts"]) == {"part-00000", "part-00001"}
        assert success["attemptsFailed"] == 2


@pytest.mark.parametrize("phase", [JobPhase.MAPPING, JobPhase.REDUCING])
def test_a_cancelled_job_leaves_nothing_behind(tmp_path: Path, phase: JobPhase) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        number = sim.submit(JOB)
        sim.run_until(lambda: sim.job(number).phase is phase)
        sim.run_for(0.3)
        sim.cancel(number)
        sim.run_for(3)
        assert all(not worker.held for worker in sim.workers.values()), "attempts are told to stop"
        sim.finish(phases=(JobPhase.CANCELLED,))


def test_a_failed_job_keeps_its_runs_only_where_that_is_wanted(tmp_path: Path) -> None:
    for retain in ("Never", "OnFailure"):
        with simulate(tmp_path / retain) as sim:
            sim.failures = {("reduce", 0, attempt): "user" for attempt in range(1, 9)}
            sim.add_workers(2)
            number = sim.run_job(SimJob(retain_runs="Never" if retain == "Never" else "OnFailure"))
            sim.finish(phases=(JobPhase.FAILED,))
            assert sim.service.store.runs_folder(number).exists() == (retain == "OnFailure")


def same_folder(sim: Simulation, first: str, second: str) -> SimJob:
    """A job that wants the output folder of another."""
    (sim.root / "out").mkdir(exist_ok=True)
    (sim.root / "out" / second).symlink_to(sim.root / "out" / first)
    return SimJob(name=second)


def test_o1_o2_a_second_job_for_a_folder_that_is_taken_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        first = sim.run_job(SimJob(name="first"))
        second = sim.run_job(same_folder(sim, "first", "second"))
        assert sim.job(second).phase is JobPhase.FAILED
        assert sim.job(second).reason == "OutputRefused"
        assert "is not empty" in sim.job(second).message
        del sim.jobs[second]
        sim.finish()
        assert sim.job(first).phase is JobPhase.COMPLETE


@pytest.mark.parametrize("content", [b"", b'{"parts": {"part-0', b"[]"])
def test_a_job_that_may_replace_a_result_whose_success_cannot_be_read_fails_and_the_coordinator_goes_on(
    tmp_path: Path, content: bytes
) -> None:
    with simulate(tmp_path) as sim:
        sim.add_workers(2)
        first = sim.run_job(SimJob(name="first"))
        success = sim.jobs[first].output / "_SUCCESS"
        success.write_bytes(content)
        placed = same_folder(sim, "first", "second").place(sim.root)
        output = msgspec.structs.replace(placed.request.spec.output, overwrite="Replace")
        spec = msgspec.structs.replace(placed.request.spec, output=output)
        request = msgspec.structs.replace(placed.request, spec=spec)
        second = sim.submit_placed(dataclasses.replace(placed, request=request))
        sim.run_until(lambda: sim.is_over(second), limit_s=60)
        assert sim.job(second).reason == "OutputRefused"
        assert "_SUCCESS cannot be read" in sim.job(second).message
        assert success.read_bytes() == content
        assert len(sim.coordinators) == 1
        del sim.jobs[second]
        sim.finish()


def test_o2_two_coordinators_want_one_folder_and_exactly_one_gets_it(tmp_path: Path) -> None:
    taken = tmp_path / "shared"
    outcomes = []
    for name in ("one", "two"):
        root = tmp_path / name
        (root / "out").mkdir(parents=True)
        taken.mkdir(exist_ok=True)
        (root / "out" / "job").symlink_to(taken)
        with simulate(root) as sim:
            sim.add_workers(1)
            outcomes.append(sim.job(sim.run_job()).phase)
    assert outcomes == [JobPhase.COMPLETE, JobPhase.FAILED]


def test_a_folder_that_holds_something_else_is_never_touched(tmp_path: Path) -> None:
    precious = tmp_path / "out" / "job" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("ten years of work")
    with simulate(tmp_path) as sim:
        sim.add_workers(1)
        number = sim.run_job()
        assert sim.job(number).reason == "OutputRefused"
        assert [path.name for path in precious.parent.iterdir()] == ["thesis.txt"]
        assert not [record for record in sim.seen_records if isinstance(record, records.LeasesGranted)]
