"""One turn of the machine: what a decision may look at, and the one way by which it changes anything. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from mapreduce.protocol.messages import AttemptId, Split
from mapreduce.scheduling import records as r
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.policy import Settings
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import Job, State

RefusalCode = Literal["bad-request", "conflict", "epoch-changed", "not-found", "stale-call", "unknown-worker"]


class Refusal(msgspec.Struct, frozen=True):
    """A reply that says no; `code` is stable, for programs."""

    code: RefusalCode
    message: str


@dataclass(slots=True)
class Turn:
    """The arguments of a decision, and the records it has made so far (already applied to `state`)."""

    state: State
    sessions: Sessions
    settings: Settings
    split_of: Callable[[int, int], Split]
    now_s: float
    at: float
    records: list[r.AnyRecord] = field(default_factory=list)

    @property
    def lease_s(self) -> float:
        """The lease of the job that is being run, or the coordinator's own setting."""
        job = self.state.current_job
        return self.settings.lease_s if job is None else float(job.spec.lease_seconds)

    def emit(self, record: r.AnyRecord) -> None:
        """Applies `record` and keeps it for the log."""
        evolve(self.state, record)
        self.records.append(record)

    def extend_commit(self, last: r.TasksCommitted, committed: r.Committed) -> None:
        """Adds a commit to `last`, the newest record of this turn, instead of making a record of its own."""
        evolve(self.state, r.TasksCommitted(last.worker, (committed,), last.at))
        self.records[-1] = r.TasksCommitted(last.worker, (*last.commits, committed), last.at)

    def finish_job(self, job: Job, state: str, reason: str, message: str) -> None:
        """Ends a job; attempts that still run are told to stop."""
        for worker in self.state.workers.values():
            mine = {held for held in worker.leases if held.job == job.id}
            self.cancel(worker.name, mine)
        self.emit(r.JobFinished(job.id, state, reason, message, self.at))
        self.sessions.forget_job(job.id)

    def cancel(self, worker: str, attempts: set[AttemptId]) -> None:
        """Orders `worker` to end these attempts; their leases are over or about to be."""
        for attempt in attempts:
            self.sessions.deadlines_s.pop(attempt, None)
        session = self.sessions.workers.get(worker)
        if session is not None:
            session.cancel |= attempts
            session.queued -= attempts

    def release(self, worker: str, attempts: tuple[AttemptId, ...], why: r.Release) -> None:
        """Ends leases that `worker` holds, without result or failure."""
        for attempt in attempts:
            self.sessions.deadlines_s.pop(attempt, None)
        if attempts:
            self.emit(r.LeasesReleased(worker, attempts, why, self.at))


def in_order(attempts: set[AttemptId] | frozenset[AttemptId]) -> tuple[AttemptId, ...]:
    """Attempts in the order of their names, so that records do not depend on hashing."""
    return tuple(sorted(attempts, key=lambda a: (a.job, a.kind, a.index, a.attempt, a.epoch)))
