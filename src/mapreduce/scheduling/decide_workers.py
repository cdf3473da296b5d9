"""Decisions about workers: joining, taking work, beating, falling silent. Pure."""

from __future__ import annotations

from typing import assert_never

from mapreduce.protocol import messages as m
from mapreduce.scheduling import (
    decide_attempts,
    decide_backups,
    decide_jobs,
    decide_outputs,
    decide_sharing,
    events,
    policy,
)
from mapreduce.scheduling import records as r
from mapreduce.scheduling.sessions import Session
from mapreduce.scheduling.state import Job, Worker
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.turn import Refusal, Turn, in_order


def decide_register(turn: Turn, asked: m.RegisterRequest) -> m.RegisterReply | Refusal:
    """A worker joins at any time, or comes back with the attempts it still holds and keeps running them.

    Leases that the log gives it and it does not hold were granted in an answer that it never got: they are released.
    """
    if not m.OLDEST_PROTOCOL <= asked.protocol <= m.PROTOCOL_VERSION:
        return Refusal(
            "bad-request",
            f"worker {asked.worker} speaks protocol {asked.protocol}, this coordinator {m.OLDEST_PROTOCOL} to "
            f"{m.PROTOCOL_VERSION}: use a release of the worker that is at most one apart",
        )
    worker = turn.state.workers.get(asked.worker)
    if worker is None or (worker.slots, worker.serve_url) != (asked.slots, asked.serve_url):
        turn.emit(r.WorkerRegistered(asked.worker, asked.slots, asked.serve_url, turn.at))
        worker = turn.state.workers[asked.worker]
    held = set(asked.held)
    turn.release(worker.name, in_order(worker.leases - held), r.Release.UNCLAIMED)
    keep = in_order(worker.leases & held)
    turn.sessions.workers[worker.name] = Session(turn.now_s + turn.lease_s, turn.now_s, last_call=worker.last_call)
    _renew(turn, keep)
    return m.RegisterReply(
        epoch=turn.state.epoch,
        session="",
        lease_s=turn.lease_s,
        heartbeat_s=_heartbeat_s(turn),
        keep=keep,
        committed=tuple(attempt for attempt in in_order(held - worker.leases) if _has_committed(turn, worker, attempt)),
        call=worker.last_call,
    )


def _has_committed(turn: Turn, worker: Worker, attempt: m.AttemptId) -> bool:
    """The attempt's output is its task's, the job goes on, and the worker was not forgotten in between."""
    job = turn.state.jobs.get(attempt.job)
    if job is None or job.phase.is_final:
        return False
    table = job.table(attempt.kind)
    return table.has_committed(attempt) and table.out_worker[attempt.index] == worker.number


def decide_next(turn: Turn, asked: m.NextRequest) -> m.NextReply | Refusal:
    """Takes over what is finished, then grants a batch. The same call number again gets the same answer.

    After a restart the answer is rebuilt from the records: verdicts from what is committed, the grant from the last one
    logged for this worker, as far as it is still leased to it.
    """
    known = _known(turn, asked.worker, asked.epoch)
    if isinstance(known, Refusal):
        return known
    worker, session = known
    if asked.call < max(session.last_call, worker.last_call):
        return Refusal("stale-call", f"call {asked.call} of {asked.worker} is older than {session.last_call}")
    session.deadline_s, session.heard_s = turn.now_s + turn.lease_s, turn.now_s
    is_granted = asked.call == worker.last_call
    is_answered = session.is_answered and asked.call == session.last_call
    session.last_call = asked.call
    verdicts = tuple(_finish(turn, worker, entry) for entry in asked.finished)
    if is_granted:
        granted = tuple(held for held in worker.last_grant if held in worker.leases)
    elif is_answered or decide_sharing.is_yielding(turn, asked):  # a late copy takes what nobody will hear of
        granted = ()
    else:
        decide_jobs.advance(turn)  # a commit in this very call may have completed the phase
        granted = _grant(turn, worker, asked.call, asked.want)
    is_done = turn.sessions.is_closing and not turn.state.has_unfinished_job
    session.is_answered = bool(verdicts or granted or is_done or not asked.want or not asked.wait_s)
    return m.NextReply(
        epoch=turn.state.epoch,
        verdicts=verdicts,
        tasks=tuple(_assignment(turn, attempt) for attempt in granted),
        is_done=is_done,
    )


def decide_heartbeat(turn: Turn, asked: m.HeartbeatRequest) -> m.HeartbeatReply | Refusal:
    """Renews what the worker says it holds, and hands it its orders.

    An attempt that is no longer its own is ordered to end, so an order that got lost is repeated by the next heartbeat.
    """
    known = _known(turn, asked.worker, asked.epoch)
    if isinstance(known, Refusal):
        return known
    worker, session = known
    session.deadline_s, session.heard_s = turn.now_s + turn.lease_s, turn.now_s
    listed = frozenset(asked.running) | frozenset(asked.queued)
    _renew(turn, tuple(worker.leases & listed))
    session.queued = frozenset(asked.queued) & worker.leases
    session.begun_s = {held: session.begun_s.get(held, turn.now_s) for held in asked.running if held in worker.leases}
    session.memory_bytes = asked.memory_bytes
    decide_sharing.order_take_back(turn, worker.name, session)
    session.cancel = set(listed - worker.leases)
    return m.HeartbeatReply(
        epoch=turn.state.epoch,
        heartbeat_s=_heartbeat_s(turn),
        cancel=in_order(session.cancel),
        take_back=in_order(session.take_back),
    )


def decide_tick(turn: Turn) -> None:
    """Ends every lease whose deadline has come, and forgets workers that fell silent. At the deadline, not past it."""
    turn.sessions.let_go(turn.now_s)
    due: dict[str, set[m.AttemptId]] = {}
    for attempt, deadline_s in turn.sessions.deadlines_s.items():
        if deadline_s <= turn.now_s:
            lease = turn.state.jobs[attempt.job].table(attempt.kind).lease_of(attempt)
            if lease is not None:
                due.setdefault(lease.worker, set()).add(attempt)
    for name, attempts in due.items():  # losing one worker's may end the job, and with it all other leases
        decide_attempts.lose(turn, name, in_order(attempts & turn.state.workers[name].leases))
    for name in [name for name, session in turn.sessions.workers.items() if session.deadline_s <= turn.now_s]:
        decide_attempts.lose(turn, name, in_order(turn.state.workers[name].leases))
        _forget(turn, name)


def decide_gone(turn: Turn, event: events.WorkersGone) -> None:
    """Ends the leases of workers whose processes have ended, at once. A name that is not known says nothing."""
    for name in event.workers:
        worker = turn.state.workers.get(name)
        if worker is None:
            continue
        leases = in_order(worker.leases)
        if event.is_charged:
            decide_attempts.lose(turn, name, leases)
        else:
            turn.release(name, leases, r.Release.HANDED_BACK)
        _forget(turn, name)


def _forget(turn: Turn, name: str) -> None:
    """A worker without leases is no longer one of ours."""
    decide_outputs.lose_with_worker(turn, turn.state.workers[name])
    turn.emit(r.WorkerLeft(name, turn.at))
    turn.sessions.workers.pop(name, None)


def _known(turn: Turn, name: str, epoch: int) -> tuple[Worker, Session] | Refusal:
    if epoch != turn.state.epoch:
        return Refusal(
            "epoch-changed", f"this is epoch {turn.state.epoch}, the call was made to {epoch}: register again"
        )
    worker, session = turn.state.workers.get(name), turn.sessions.workers.get(name)
    if worker is None or session is None:
        return Refusal("unknown-worker", f"{name} is not registered, or was silent past its lease: register again")
    return worker, session


def _finish(turn: Turn, worker: Worker, entry: m.Finished) -> m.Verdict:
    match entry:
        case m.Commit():
            return decide_attempts.decide_commit(turn, worker, entry)
        case m.Fail():
            return decide_attempts.decide_fail(turn, worker, entry)
        case m.Release():
            return decide_attempts.decide_release(turn, worker, entry)
        case _:
            assert_never(entry)


def _grant(turn: Turn, worker: Worker, call: int, want: int) -> tuple[m.AttemptId, ...]:
    job = turn.state.current_job
    if want < 1 or turn.sessions.is_paused or job is None:
        return ()
    table = job.granted_now
    if table is None:
        return ()
    indexes = _choose(turn, worker, job, table, want) if table.pending_count else []
    record: type[r.LeasesGranted | r.BackupsGranted] = r.LeasesGranted
    if not indexes:
        indexes = decide_backups.choose(turn.state, turn.sessions, job, table, worker, want, turn.now_s)
        record = r.BackupsGranted
    if not indexes:
        return ()
    grants = tuple(r.Grant(index, table.attempt[index] + 1) for index in indexes)
    turn.emit(record(worker.name, call, job.id, table.kind, grants, turn.at))
    _renew(turn, worker.last_grant, job)
    return worker.last_grant


def _choose(turn: Turn, worker: Worker, job: Job, table: TaskTable, want: int) -> list[int]:
    """The tasks of a batch. One that was lost so often that it may be what ends its workers runs alone on its own."""
    size = policy.batch_size(
        mean_s=turn.sessions.mean_s.get((job.id, table.kind)),
        pending=table.pending_count,
        slots=sum(worker.slots for worker in turn.state.workers.values()),
        want=want,
    )
    kept_back = turn.sessions.kept_back(job.id, table.kind)
    last_try = job.spec.max_lost_attempts - 1
    if not table.most_lost >= last_try > 0:
        return [index for index in table.peek_pending(size + len(kept_back)) if index not in kept_back][:size]
    if any(table.lost[held.index] >= last_try for held in worker.leases if held.kind == table.kind):
        return []
    pending = [index for index in table.peek_pending(table.pending_count) if index not in kept_back]
    suspects = [index for index in pending if table.lost[index] >= last_try]
    if suspects and not worker.leases:
        return suspects[:1]
    return [index for index in pending if table.lost[index] < last_try][:size]


def _assignment(turn: Turn, attempt: m.AttemptId) -> m.Assignment:
    job = turn.state.jobs[attempt.job]
    table = job.table(attempt.kind)
    return m.Assignment(
        id=attempt,
        split=turn.split_of(job.id, attempt.index) if attempt.kind == "map" else None,
        budget_bytes=policy.budget_bytes(job.spec.workers.memory_budget_bytes, table.budget_shift[attempt.index]),
        is_traced=bool(table.suspect[attempt.index]),
    )


def _renew(turn: Turn, attempts: tuple[m.AttemptId, ...], job: Job | None = None) -> None:
    lease_s = turn.lease_s if job is None else float(job.spec.lease_seconds)
    for attempt in attempts:
        turn.sessions.deadlines_s[attempt] = turn.now_s + lease_s


def _heartbeat_s(turn: Turn) -> float:
    return policy.heartbeat_s(turn.settings, turn.lease_s, len(turn.sessions.workers))
