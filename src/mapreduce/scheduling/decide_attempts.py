"""Decisions about single attempts: commit, failure, release, loss. Pure.

Commit is the one moment at which an attempt's output becomes its task's. The first commit of the live attempt wins; its
repeat hears yes again (the answer may have been lost), every other attempt hears no, for ever.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mapreduce.protocol import messages as m
from mapreduce.scheduling import decide_outputs, policy
from mapreduce.scheduling import records as r
from mapreduce.scheduling.attemptlog import AttemptEnd
from mapreduce.scheduling.evolve import CHARGED, holds
from mapreduce.scheduling.state import Job, Worker
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import TaskState
from mapreduce.scheduling.turn import Turn

#: Reason of a failed job by the class of its last failure.
REASONS: Final[dict[str, str]] = {
    "user": "TaskFailed",
    "crash": "TaskCrashed",
    "timeout": "TaskTimedOut",
    "memory": "OutOfMemory",
    "lost": "WorkersLost",
    "system": "WorkersFailed",
    "input": "BadInput",
    "unstorable": "UnstorableRecord",
}

LEASE_LOST: Final = "lease lost"
MAX_LOGGED_MESSAGE: Final = 4_000
MAX_LOGGED_TRACEBACK: Final = 16_000


def decide_commit(turn: Turn, worker: Worker, asked: m.Commit) -> m.Verdict:
    """Accepts the output of the live attempt of an unfinished task, or says why not."""
    found = _find(turn, asked.id)
    if isinstance(found, m.Verdict):
        return found
    job, table = found
    if table.has_committed(asked.id):
        return m.Verdict(id=asked.id, accepted=True)
    if job.phase.is_final:
        return _refused(asked.id, f"job {job.id} is {job.phase}")
    if not _is_live(turn, table, asked.id, worker):
        return _refused(asked.id, LEASE_LOST)
    problem = _implausible(asked.output, table)
    if problem:
        return _refused(asked.id, problem)
    committed = r.Committed(
        id=asked.id,
        has_file=asked.output.has_file,
        bytes=asked.output.bytes,
        records=asked.output.records,
        digest=asked.output.digest,
        input_records=asked.output.input_records,
        counters=asked.output.counters,
        warnings=asked.output.warnings,
        step_s=asked.output.step_s,
        key_type=asked.output.key_type,
        is_sorted=asked.output.is_sorted,
        run_s=max(0.0, asked.run_s),
    )
    is_changed = decide_outputs.is_changed(table, committed)
    _end_others(turn, table, asked.id)
    turn.sessions.deadlines_s.pop(asked.id, None)
    _emit_commit(turn, worker, committed)
    turn.sessions.learn_duration(job.id, table.kind, asked.run_s)
    decide_outputs.note_sizes(turn, job, asked.output)
    if table.kind == "reduce":
        decide_outputs.take_back_reports(turn, job, worker)
    if is_changed:
        decide_outputs.restart_readers(turn, job, asked.id)
    return m.Verdict(id=asked.id, accepted=True)


def decide_fail(turn: Turn, worker: Worker, asked: m.Fail) -> m.Verdict:
    """Notes why the attempt ended; the task is tried again, or the job is over."""
    found = _find(turn, asked.id)
    if isinstance(found, m.Verdict):
        return found
    job, table = found
    if job.attempts.end_of(asked.id, worker.number) == AttemptEnd.FAILED:
        return m.Verdict(id=asked.id, accepted=True)  # said before; the answer may have been lost
    if job.phase.is_final or not _is_live(turn, table, asked.id, worker):
        return _refused(asked.id, LEASE_LOST)
    failure, convicted = _judged(turn, job, worker, asked)
    turn.sessions.deadlines_s.pop(asked.id, None)
    turn.emit(r.AttemptFailed(worker.name, asked.id, _shortened(failure), turn.at, max(0.0, asked.run_s)))
    if failure.failure_class in {"system", "run-lost"} and table.state[asked.id.index] == TaskState.PENDING:
        # not at once to the worker that just failed at it: for a lost run nobody has looked yet
        pause_s = policy.retry_pause_s(table.lost[asked.id.index])
        turn.sessions.kept_back_s[job.id, table.kind, asked.id.index] = turn.now_s + pause_s
    if convicted:
        decide_outputs.lose_maps(turn, job, convicted, failure.lost_runs[0].problem)
    elif failure.failure_class in {"input", "unstorable"}:
        _fail_job(turn, job, failure, f"{asked.id} failed")
    elif failure.failure_class in CHARGED and table.charged[asked.id.index] >= job.spec.max_attempts:
        # grants that were handed back have numbers as well, so the number of the last attempt says nothing of how often
        count = table.charged[asked.id.index]
        how_often = "once" if count == 1 else f"{count} times"
        who = f"{asked.id.task} failed {how_often}, as often as maxAttempts allows, last in {asked.id}"
        _fail_job(turn, job, failure, who)
    elif failure.failure_class in {"lost", "system"}:
        _check_lost(turn, job, table, asked.id, failure.failure_class, failure.message)
    return m.Verdict(id=asked.id, accepted=True)


def decide_release(turn: Turn, worker: Worker, asked: m.Release) -> m.Verdict:
    """Takes a lease back: no attempt is charged for it."""
    found = _find(turn, asked.id)
    if isinstance(found, m.Verdict):
        return found
    job, table = found
    if job.attempts.end_of(asked.id, worker.number) == AttemptEnd.RELEASED:
        return m.Verdict(id=asked.id, accepted=True)
    if job.phase.is_final or not _is_live(turn, table, asked.id, worker):
        return _refused(asked.id, LEASE_LOST)
    turn.release(worker.name, (asked.id,), r.Release.HANDED_BACK)
    return m.Verdict(id=asked.id, accepted=True)


def lose(turn: Turn, worker: str, attempts: tuple[m.AttemptId, ...]) -> None:
    """The leases of a silent worker are over; tasks that lose their worker again and again are suspected."""
    turn.release(worker, attempts, r.Release.LOST)
    for attempt in attempts:
        job = turn.state.jobs[attempt.job]
        if not job.phase.is_final:
            _check_lost(turn, job, job.table(attempt.kind), attempt, "lost", f"its worker {worker} fell silent")


def _check_lost(turn: Turn, job: Job, table: TaskTable, attempt: m.AttemptId, kind: str, problem: str) -> None:
    lost = table.lost[attempt.index]
    if lost < job.spec.max_lost_attempts:
        return
    if kind == "system":
        message = f"{attempt.task} was failed by its workers {lost} times, by no fault of its own: {problem}"
    else:
        message = (
            f"{attempt.task} lost its worker {lost} times, at last alone: {problem}. It probably ends its worker; "
            f"look at what it reads, or raise maxLostAttempts."
        )
    turn.finish_job(job, "Failed", REASONS[kind], message)


def _end_others(turn: Turn, table: TaskTable, winner: m.AttemptId) -> None:
    """The first commit wins: the other attempt of its task is over, and its worker is told to stop."""
    for lease in table.live(winner.index):
        other = table.attempt_id(winner.index, lease)
        if other != winner:
            turn.release(lease.worker, (other,), r.Release.NOT_NEEDED)
            turn.cancel(lease.worker, {other})


def _emit_commit(turn: Turn, worker: Worker, committed: r.Committed) -> None:
    """Commits of one call share a record: they are durable together and cost one header."""
    last = turn.records[-1] if turn.records else None
    if isinstance(last, r.TasksCommitted) and last.worker == worker.name:
        turn.extend_commit(last, committed)
    else:
        turn.emit(r.TasksCommitted(worker.name, (committed,), turn.at))


def _find(turn: Turn, attempt: m.AttemptId) -> tuple[Job, TaskTable] | m.Verdict:
    job = turn.state.jobs.get(attempt.job)
    if job is None:
        return _refused(attempt, f"there is no job {attempt.job}")
    table = job.table(attempt.kind)
    if attempt.index >= table.count:
        return _refused(attempt, f"job {attempt.job} has no {attempt.task}")
    return job, table


def _is_live(turn: Turn, table: TaskTable, attempt: m.AttemptId, worker: Worker) -> bool:
    """The attempt holds its task's lease and its deadline has not come, whether or not a tick has noticed."""
    if not holds(table, attempt, worker.name):
        return False
    if turn.sessions.deadlines_s.get(attempt, turn.now_s) <= turn.now_s:
        lose(turn, worker.name, (attempt,))
        return False
    return True


def _implausible(output: m.TaskOutput, table: TaskTable) -> str:
    """Why the message cannot be true, or "". What is on disk is checked by whoever reads it."""
    if output.digest >> 64:
        return "digest is beyond 64 bits"
    if output.has_file != bool(output.bytes):
        return "a file without bytes, or bytes without a file"
    if table.kind == "map" and any(
        later.partition <= earlier.partition
        for earlier, later in zip(output.partitions, output.partitions[1:], strict=False)
    ):
        return "partitions are not in ascending order"
    return ""


def _refused(attempt: m.AttemptId, reason: str) -> m.Verdict:
    return m.Verdict(id=attempt, accepted=False, reason=reason)


def _fail_job(turn: Turn, job: Job, failure: m.Failure, who: str) -> None:
    where = f" at {failure.record}" if failure.record else ""
    trace = f"\n{failure.traceback}" if failure.traceback else ""
    turn.finish_job(
        job,
        "Failed",
        REASONS.get(failure.failure_class, "TaskFailed"),
        f"{who}{where}: {failure.message}{trace}"[:MAX_LOGGED_TRACEBACK],
    )


def _judged(turn: Turn, job: Job, worker: Worker, asked: m.Fail) -> tuple[m.Failure, tuple[int, ...]]:
    """The failure as it counts, and the maps to be made again for it.

    A reader that names no run, or only such as are whole for all that is known, blames nobody else: its retries must be
    counted somewhere.
    """
    failure = asked.failure
    if failure.failure_class != "run-lost":
        return failure, ()
    hearing = decide_outputs.hear(turn, job, worker, asked.id, failure.lost_runs)
    if hearing.is_doubted or not failure.lost_runs:
        failure = msgspec.structs.replace(failure, failure_class="system")
    return failure, hearing.convicted


def _shortened(failure: m.Failure) -> m.Failure:
    """The failure as the log keeps it; the whole traceback lies in the attempt's own log file."""
    return m.Failure(
        failure_class=failure.failure_class,
        message=failure.message[:MAX_LOGGED_MESSAGE],
        traceback=failure.traceback[-MAX_LOGGED_TRACEBACK:],
        record=failure.record[:MAX_LOGGED_MESSAGE],
        lost_runs=failure.lost_runs[:10],
    )
