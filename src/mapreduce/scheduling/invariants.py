"""What must hold of every state, whatever happened. Pure; the tests check it after every step, production code never.

The names follow the promise: I3 is "one visible attempt per task".
"""

from __future__ import annotations

from mapreduce.scheduling import snapshot
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import JobPhase, TaskState


def check(state: State, sessions: Sessions | None = None) -> None:
    """Raises AssertionError, naming the object, if any invariant is broken."""
    running = [job for job in state.jobs.values() if not job.phase.is_final and job.phase is not JobPhase.QUEUED]
    assert len(running) <= 1, f"one job at a time, but {[job.id for job in running]} are running"
    for job in state.jobs.values():
        _check_job(state, job)
        for table in (job.maps, job.reduces):
            _check_table(state, job, table)
    for worker in state.workers.values():
        for held in worker.leases:
            lease = state.jobs[held.job].table(held.kind).lease_of(held)
            assert lease is not None, f"{worker.name} holds {held}, which is not leased"
            assert lease.worker == worker.name, f"{worker.name} holds {held}, which is {lease.worker}'s"
    if sessions is not None:
        _check_sessions(state, sessions)


def check_replay(live: State, replayed: State) -> None:
    """The log tells exactly the state that serves."""
    assert snapshot.dump(live) == snapshot.dump(replayed), "a replay of the log gives another state"


def _check_job(state: State, job: Job) -> None:
    if job.phase in {JobPhase.QUEUED, JobPhase.PLANNING} or job.phase.is_final:
        assert not job.maps.leases, f"job {job.id} is {job.phase} and has leases"
        assert not job.reduces.leases, f"job {job.id} is {job.phase} and has leases"
    if job.phase in {JobPhase.COMMITTING, JobPhase.COMPLETE}:
        assert job.outputs.is_complete, f"job {job.id} is {job.phase} without all outputs"
        assert not job.maps.leases, f"job {job.id} is {job.phase} and has leases"


def _check_table(state: State, job: Job, table: TaskTable) -> None:
    name = f"job {job.id}, {table.kind}"
    assert table.state.count(TaskState.COMMITTED) == table.committed_count, f"{name}: committed is miscounted"
    leased = {index for index in range(table.count) if table.state[index] == TaskState.LEASED}
    assert leased == set(table.leases), f"{name}: states and leases differ"
    assert table.state.count(TaskState.PENDING) == table.pending_count, f"{name}: the queue is miscounted"
    queued = table.peek_pending(table.count)
    assert sorted(queued) == [i for i in range(table.count) if table.state[i] == TaskState.PENDING], f"{name}: queue"
    assert set(table.backups) <= set(table.leases), f"{name}: a backup attempt without a first one"
    for index in table.leases:
        live = table.live(index)
        for lease in live:
            assert lease.worker in state.workers, f"{name}-{index} is leased to {lease.worker}, who is gone"
            held = table.attempt_id(index, lease)
            assert held in state.workers[lease.worker].leases, f"{held}: its worker {lease.worker} does not hold it"
        if job.spec.speculation == "Never":
            assert [it.attempt for it in live] == [table.attempt[index]], f"{name}-{index}: an old attempt is live"
        assert len({lease.worker for lease in live}) == len(live), f"{name}-{index}: two attempts on one worker"
        assert [*live] == sorted(live, key=lambda lease: lease.attempt), f"{name}-{index}: attempts out of order"
        assert live[-1].attempt <= table.attempt[index], f"{name}-{index}: an attempt that was never granted is live"
    for index in range(table.count):
        if table.state[index] == TaskState.COMMITTED:
            assert table.was_committed(index), f"{name}-{index} is committed without an output"
            assert table.out_attempt[index] <= table.attempt[index], f"{name}-{index}: committed an attempt never made"


def _check_sessions(state: State, sessions: Sessions) -> None:
    live = {
        table.attempt_id(index, lease)
        for job in state.jobs.values()
        for table in (job.maps, job.reduces)
        for index in table.leases
        for lease in table.live(index)
    }
    assert set(sessions.deadlines_s) == live, "every live lease has a deadline, and nothing else has"
    for number, kind, index in sessions.kept_back_s:
        state_now = state.jobs[number].table(kind).state[index]
        assert state_now == TaskState.PENDING, f"{kind}-{index} of job {number} is kept back and not pending"
    assert set(sessions.workers) == set(state.workers), "every registered worker has a session"
