"""The promise, checked at the end of every simulation: I1 to I6, and that the log tells the same state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mapreduce.coordinator.recovery import replay
from mapreduce.coordinator.statefiles import LOG_FOLDER
from mapreduce.scheduling import invariants, records
from mapreduce.scheduling.decide_attempts import REASONS
from mapreduce.scheduling.state import State
from mapreduce.scheduling.transitions import JobPhase, TaskState
from mapreduce.wal.log import Log
from mapreduce.wal.names import BROKEN, TEMPORARY
from tests.support.faultyfiles import Crash, FaultyFiles
from tests.support.simjobs import PlacedJob, parts_in

if TYPE_CHECKING:
    from tests.support.simcoordinator import CheckedService
    from tests.support.simulation import Simulation

KNOWN_REASONS = frozenset(REASONS.values()) | {
    "NonDeterministicMap",
    "OutputKeepsGettingLost",
    "InvalidInput",
    "OutputRefused",
    "PlanLost",
}


def check_recovered(sim: Simulation, sequence: int, state: State) -> None:
    """A new incarnation begins with a state that was: the one after the record up to which the log is there (I2)."""
    from tests.support.simcoordinator import digest_of

    before = {history[sequence] for history in sim.histories if sequence in history}
    if before and not sim.is_rotten:
        assert digest_of(state) in before, f"after a restart the state at {sequence} is another one"
    check_accepted(sim, state)


def check_accepted(sim: Simulation, state: State) -> None:
    """I2: what a worker heard to be accepted is the task's output, unless its bytes were declared gone since."""
    if sim.is_rotten:
        return
    undone = {
        (record.job, record.kind, index)
        for record in sim.seen_records
        if isinstance(record, records.OutputLost)
        for index in record.indexes
    }
    for attempt in sim.accepted:
        assert attempt.job in state.jobs, f"job {attempt.job} is forgotten, of which {attempt} was accepted"
        table = state.jobs[attempt.job].table(attempt.kind)
        if (attempt.job, attempt.kind, attempt.index) in undone:
            continue
        assert table.state[attempt.index] == TaskState.COMMITTED, f"{attempt} was accepted and is lost"
        assert table.output(attempt.index).id == attempt, f"{attempt} was accepted, another one counts"


def check_state(sim: Simulation, phases: tuple[JobPhase, ...]) -> None:
    """I1, I2, I3, I5, I6, by what the serving incarnation says."""
    state = sim.state
    invariants.check(state, sim.service.machine.sessions)
    check_accepted(sim, state)
    for number, placed in sim.jobs.items():
        job = state.jobs[number]
        assert job.phase in phases, f"job {number} is {job.phase}: {job.reason} {job.message}"
        for table in (job.maps, job.reduces):
            assert all(charged <= job.spec.max_attempts for charged in table.charged), "I5: too many attempts"
            assert all(lost <= job.spec.max_lost_attempts for lost in table.lost), "I5: too many lost attempts"
        if job.phase is JobPhase.COMPLETE:
            if placed.job.is_deterministic:
                assert parts_in(placed.output) == placed.expected(), "I1: the output is not the oracle's"
            assert (placed.output / "_SUCCESS").exists()
        else:
            assert not (placed.output / "_SUCCESS").exists(), "a job without success has a _SUCCESS"
            assert parts_in_or_none(placed) == {}, "I3: parts of a job that did not complete are visible"
        if job.phase is JobPhase.FAILED:
            assert job.reason in KNOWN_REASONS, f"I6: {job.reason}"
            assert job.message, "I6: a failure without a message"


def parts_in_or_none(placed: PlacedJob) -> dict[str, bytes]:
    return parts_in(placed.output) if placed.output.exists() else {}


def check_log(sim: Simulation, live: CheckedService) -> None:
    """The log, opened as a successor would, tells the state that served."""
    log, found = Log.open(FaultyFiles(sim.disk), str(sim.folder / LOG_FOLDER), store_id=live.store_id)
    assert found.rot is None, found.rot
    invariants.check_replay(live.machine.state, replay(found))
    log.close()


def check_folders(sim: Simulation) -> None:
    """I4: nothing is left behind."""
    for number, placed in sim.jobs.items():
        job = sim.state.jobs[number]
        _check_job_folder(sim.folder / "jobs" / str(number), keeps_runs=_keeps_runs(placed, job.phase))
        if placed.output.exists():
            left = {path.name for path in placed.output.rglob("*") if path.is_file()}
            expected = {"owner.json"}
            if job.phase is JobPhase.COMPLETE:
                expected |= {"_SUCCESS", *parts_in(placed.output)}
            assert left == expected, f"I4: left behind in the output folder: {left - expected}"
            assert not (placed.output / "_mapreduce" / "attempts").exists()
    stray = [
        path for path in sim.folder.rglob("*") if path.name.endswith((".tmp", ".part")) or path.name.startswith(".")
    ]
    assert not stray, f"I4: temporary files are left: {stray}"
    names = sim.disk.names()
    assert not [name for name in names if name.endswith(TEMPORARY)], f"I4: unfinished files of the log: {names}"
    assert len([name for name in names if name.endswith(BROKEN)]) <= 8


def _keeps_runs(placed: PlacedJob, phase: JobPhase) -> bool:
    retain = placed.job.retain_runs
    return retain == "Always" or (retain == "OnFailure" and phase is JobPhase.FAILED)


def _check_job_folder(folder: Path, *, keeps_runs: bool) -> None:
    allowed = {"spec.json", "plan.msgpack", "logs"} | ({"runs"} if keeps_runs else set())
    left = {path.name for path in folder.iterdir()}
    assert left <= allowed, f"I4: left behind in {folder.name}: {left - allowed}"


def check_loop(sim: Simulation) -> None:
    """Nothing went wrong unseen, and no incarnation spoke after a later one had spoken."""
    epochs = [epoch for epoch, _, _ in sim.network.spoken]
    assert epochs == sorted(epochs), "an older coordinator answered after a newer one"
    errors = [context for context in sim.loop.errors if not isinstance(context.get("exception"), Crash)]
    assert not errors, errors
