"""Backup attempts: near the end of a phase a straggler is run a second time, elsewhere; the first commit wins. Pure.

Section 3.6 of the MapReduce paper (Dean and Ghemawat, OSDI 2004), with a cap as in LATE (Zaharia et al., OSDI 2008): a
slow disk or a crowded node must not decide when the job ends. Only slots that have nothing else to do are used. What is
a straggler is told by the durations of the other tasks, so a task that is slow because it has more to do may be run
twice in vain; the cap bounds that.
"""

from __future__ import annotations

from mapreduce.protocol import messages as m
from mapreduce.scheduling import policy
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import Job, State, Worker
from mapreduce.scheduling.tasks import TaskTable


def choose(
    state: State, sessions: Sessions, job: Job, table: TaskTable, worker: Worker, want: int, now_s: float
) -> list[int]:
    """At most `want` stragglers that `worker` should run a second time, the one that has run longest first."""
    room = _room(state, sessions, job, table)
    if room < 1 or any(_runs_alone(job, table, held.index) for held in worker.leases if held.kind == table.kind):
        return []
    stragglers = _stragglers(sessions, job, table, now_s)
    elsewhere = [(begun_s, attempt.index) for begun_s, attempt, name in stragglers if name != worker.name]
    return [index for _, index in sorted(elsewhere)[: min(want, room)]]


def is_one_due(state: State, sessions: Sessions, now_s: float) -> bool:
    """Some straggler may be run a second time. No event says so: workers that wait have to be told to ask again."""
    job = state.current_job
    table = job.granted_now if job is not None else None
    if job is None or table is None:
        return False
    return _room(state, sessions, job, table) > 0 and bool(_stragglers(sessions, job, table, now_s))


def _room(state: State, sessions: Sessions, job: Job, table: TaskTable) -> int:
    """How many more backup attempts there may be now; none while another task waits for a slot."""
    if job.spec.speculation == "Never" or sessions.has_grantable(table):
        return 0
    if table.committed_count * 2 < table.count:
        return 0
    slots = sum(worker.slots for worker in state.workers.values())
    return policy.backup_cap(slots) - len(table.backups)


def _stragglers(sessions: Sessions, job: Job, table: TaskTable, now_s: float) -> list[tuple[float, m.AttemptId, str]]:
    """(since when, attempt, worker) of the attempts that run much longer than others took, and have no backup."""
    mean_s = sessions.mean_s.get((job.id, table.kind))
    if mean_s is None:
        return []
    latest_s = now_s - policy.straggler_age_s(mean_s)
    return [
        (begun_s, attempt, name)
        for name, session in sessions.workers.items()
        for attempt, begun_s in session.begun_s.items()
        if begun_s <= latest_s
        and (attempt.job, attempt.kind) == (job.id, table.kind)
        and table.lease_of(attempt) is not None
        and attempt.index not in table.backups
        and not _runs_alone(job, table, attempt.index)
    ]


def _runs_alone(job: Job, table: TaskTable, index: int) -> bool:
    """It was lost so often that it may be what ends its workers."""
    return table.lost[index] >= job.spec.max_lost_attempts - 1 > 0
