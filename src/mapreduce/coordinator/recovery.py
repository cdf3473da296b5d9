"""From a state folder to a state: claim, replay, and, after rot in the log, rebuild from what verifies. Blocking.

A batch system can do what a database cannot: when the log is damaged below an acknowledged record, trust only outputs
whose checksums verify and do the rest again. Never silently: each job touched says `WALCorrupt`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import xxhash

from mapreduce.coordinator.plans import Plan
from mapreduce.coordinator.statefiles import LOG_FOLDER
from mapreduce.coordinator.store import Store
from mapreduce.dataplane.runcheck import check_run
from mapreduce.dataplane.runs import LOST_ERRNOS
from mapreduce.errors import CorruptRun, PlanLost, WALForeign
from mapreduce.protocol.messages import Notice
from mapreduce.scheduling import records as r
from mapreduce.scheduling import snapshot
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.tasks import Output, TaskTable
from mapreduce.scheduling.transitions import JobPhase, TaskState
from mapreduce.wal.files import FileSystem, storage_failure
from mapreduce.wal.log import Log, LogLimits, Recovery


class Recovered(msgspec.Struct, frozen=True):
    """What a new incarnation begins with."""

    log: Log
    store_id: bytes
    state: State
    plans: dict[int, Plan]
    rebuilt: tuple[r.AnyRecord, ...]
    """Records to add because of damage; empty after an ordinary crash."""
    is_rebuilt: bool
    """The log was damaged below an acknowledged record."""
    notices: tuple[Notice, ...]
    """What was found wrong with the log, for people; empty when nothing was."""


def recover(folder: Path, files: FileSystem, runs_folder: Path | None = None) -> Recovered:
    """Claims the log below `folder` and replays it; runs lie in `runs_folder`, if they have one of their own.

    Raises:
        WALForeign: the log is another store's, or a newer release's.
        StorageFailed: it, or a plan beside it, cannot be read or written.
    """
    store = Store(folder, runs_folder)
    log, found = Log.open(files, str(folder / LOG_FOLDER), store_id=None, limits=LogLimits())
    state = replay(found)
    rebuilt: tuple[r.AnyRecord, ...] = ()
    if found.rot:
        rebuilt = (*_lost_submissions(state, store), *(_rebuild(job, store) for job in _unfinished(state)))
    plans, broken = _load_plans(state, store, is_rebuilt=bool(found.rot))
    notices = tuple(
        Notice(reason=reason, message=text)
        for reason, text in (
            ("WALCorrupt", found.rot),
            ("WALRepaired", found.cut),
            *(("WALNote", text) for text in found.notes),
        )
        if text
    )
    return Recovered(log, found.store_id, state, plans, (*rebuilt, *broken), bool(found.rot), notices)


def replay(found: Recovery) -> State:
    """The state that snapshot and records tell."""
    state = snapshot.load(found.snapshot) if found.snapshot else State()
    for sequence, payload in found.records:
        try:
            record = r.decode(payload)
        except msgspec.DecodeError as error:
            raise WALForeign(
                f"record {sequence} of the log is none that this release knows ({error}); use the release that wrote it"
            ) from error
        evolve(state, record)
    return state


def _unfinished(state: State) -> list[Job]:
    planned = (JobPhase.MAPPING, JobPhase.REDUCING, JobPhase.COMMITTING)
    return [job for job in state.jobs.values() if job.phase in planned]


def _load_plans(state: State, store: Store, *, is_rebuilt: bool) -> tuple[dict[int, Plan], list[r.AnyRecord]]:
    """The plans of jobs that need one, and the ends of those whose plan is lost.

    Only what is lost for good may be written down: a volume that fails to read ends this start, and the next one may
    find it well. A job that is being published needs no plan, unless an output turns out to be gone.
    """
    plans: dict[int, Plan] = {}
    broken: list[r.AnyRecord] = []
    for job in _unfinished(state):
        if job.phase is JobPhase.COMMITTING and not is_rebuilt:
            continue
        try:
            plans[job.id] = store.plan(job.id, job.plan)
        except PlanLost as error:
            broken.append(r.JobFinished(job.id, "Failed", "PlanLost", str(error), job.started_at))
    return plans, broken


def _lost_submissions(state: State, store: Store) -> list[r.AnyRecord]:
    """Jobs whose submission lies beside the log and is no longer in it; they are queued anew under their ids."""
    return [
        r.JobSubmitted(job, asked.name, asked.spec, asked.code, 0.0)
        for job, asked in store.submissions().items()
        if job not in state.jobs
    ]


def _rebuild(job: Job, store: Store) -> r.AnyRecord:
    """Keeps what the trusted part of the log says was committed, as far as its bytes verify.

    A run that only the damaged part may have known is not trusted, whole as it is: its counters went with its record.
    """
    attempts = store.attempts_folder(job.spec, job.id)
    outputs = _verified(job.outputs, lambda output: _is_output_whole(job, output, attempts))
    if job.is_map_only:
        return r.JobRebuilt(job.id, outputs, (), job.started_at)
    runs = store.runs_folder(job.id)
    return r.JobRebuilt(
        job.id, _verified(job.maps, lambda output: _is_run_whole(output, runs)), outputs, job.started_at
    )


def _verified(table: TaskTable, is_whole: Callable[[Output], bool]) -> tuple[r.Committed, ...]:
    committed = (table.output(index) for index in range(table.count) if table.state[index] == TaskState.COMMITTED)
    return tuple(_committed(output) for output in committed if not output.has_file or is_whole(output))


def _is_run_whole(output: Output, folder: Path) -> bool:
    try:
        check_run(folder / f"{output.id.stem}.run", output.digest)
    except CorruptRun:
        return False
    except OSError as error:  # what cannot be told now must not be written down as lost
        raise storage_failure(f"checking the run of {output.id}", error) from error
    return True


def _is_output_whole(job: Job, output: Output, attempts: Path) -> bool:
    """The bytes, published already or not, are what was committed."""
    final = Path(job.spec.output.uri) / job.spec.output.name_template.format(partition=output.id.index)
    return _has_digest(attempts / f"{output.id.stem}.out", output) or _has_digest(final, output)


def _committed(output: Output) -> r.Committed:
    return r.Committed(
        output.id,
        has_file=output.has_file,
        bytes=output.bytes,
        records=output.records,
        digest=output.digest,
        key_type=output.key_type,
        is_sorted=output.is_sorted,
    )


def _has_digest(path: Path, output: Output) -> bool:
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno not in LOST_ERRNOS:
            raise storage_failure(f"checking the output of {output.id}", error) from error
        return False
    return len(content) == output.bytes and xxhash.xxh3_64_intdigest(content) == output.digest
