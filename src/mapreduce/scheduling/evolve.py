"""What each record does to the state: one function, used live and in replay. Pure; no choice, no clock.

It checks the tables before it changes anything, so a record that is not allowed raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from mapreduce.errors import IllegalTransition
from mapreduce.protocol.messages import AttemptId
from mapreduce.scheduling import records as r
from mapreduce.scheduling.attemptlog import AttemptEnd
from mapreduce.scheduling.state import MAX_FAILURE_SAMPLES, FailureNote, Job, State, Worker
from mapreduce.scheduling.tasks import Lease, Output, TaskTable
from mapreduce.scheduling.transitions import JobPhase, TaskState, next_phase, next_task_state

#: Failure classes that count against `maxAttempts`: the task's own doing.
CHARGED = frozenset({"user", "memory", "timeout", "crash"})
#: After these nobody knows which record was at fault; the next attempt writes it down.
UNEXPLAINED = frozenset({"memory", "timeout", "crash"})


def evolve(state: State, record: r.AnyRecord) -> None:
    """Applies one record to `state`, in place.

    Raises:
        IllegalTransition: the record is not allowed here; nothing was changed.
    """
    match record:
        case r.TasksCommitted():
            _commit(state, record)
        case r.LeasesGranted() | r.BackupsGranted():
            _grant(state, record)
        case r.AttemptFailed():
            _fail(state, record)
        case r.LeasesReleased():
            _release(state, record)
        case r.EpochStarted():
            if record.epoch <= state.epoch:
                raise IllegalTransition(f"epoch {state.epoch} has begun: EpochStarted {record.epoch} is not allowed")
            state.epoch = record.epoch
        case r.WorkerRegistered():
            _register(state, record)
        case r.WorkerLeft():
            if _worker_of(state, record).leases:
                raise IllegalTransition(f"{record.worker} left, but holds {state.workers[record.worker].leases}")
            del state.workers[record.worker]
        case r.JobSubmitted():
            if record.job in state.jobs:
                raise IllegalTransition(f"job {record.job} is there already: JobSubmitted ({record.name})")
            state.jobs[record.job] = Job(record.job, record.name, record.spec, record.code, record.at)
        case r.OutputLost():
            _lose(state, record)
        case r.JobRebuilt():
            _rebuild(state, record)
        case r.JobStarted() | r.JobPlanned() | r.MapsCompleted() | r.JobCommitting() | r.JobFinished():
            _change_phase(_job_of(state, record), record, state)
        case _:
            assert_never(record)


def _job_of(
    state: State,
    record: r.JobStarted
    | r.JobPlanned
    | r.MapsCompleted
    | r.JobCommitting
    | r.JobFinished
    | r.JobRebuilt
    | r.AnyGrant
    | r.OutputLost,
) -> Job:
    job = state.jobs.get(record.job)
    if job is None:
        raise IllegalTransition(f"there is no job {record.job}: {record!r}")
    return job


def _worker_of(state: State, record: r.AnyGrant | r.WorkerLeft) -> Worker:
    worker = state.workers.get(record.worker)
    if worker is None:
        raise IllegalTransition(f"there is no worker {record.worker}: {record!r}")
    return worker


def _register(state: State, record: r.WorkerRegistered) -> None:
    known = state.workers.get(record.worker)
    if known is not None:
        known.slots, known.serve_url = record.slots, record.serve_url
        state.worker_slots[known.number] = record.slots
        return
    number = state.next_worker_number
    state.next_worker_number += 1
    state.worker_names[number], state.worker_slots[number] = record.worker, record.slots
    state.workers[record.worker] = Worker(record.worker, number, record.slots, record.serve_url)


def _change_phase(
    job: Job, record: r.JobStarted | r.JobPlanned | r.MapsCompleted | r.JobCommitting | r.JobFinished, state: State
) -> None:
    wanted = JobPhase(record.state) if isinstance(record, r.JobFinished) else None
    phase = next_phase(job.id, job.phase, record, wanted)
    match record:
        case r.JobStarted():
            job.started_at = record.at
        case r.JobPlanned():
            job.plan, job.input_bytes = record.plan, record.input_bytes
            job.maps = TaskTable(job.id, "map", record.maps)
            job.reduces = TaskTable(job.id, "reduce", record.partitions)
        case r.MapsCompleted():
            job.partition_bytes = record.partition_bytes
        case r.JobFinished():
            job.finished_at, job.reason, job.message = record.at, record.reason, record.message
            for table in (job.maps, job.reduces):
                for index in list(table.leases):
                    after = next_task_state(f"{table.kind}-{index}", table.state[index], record)
                    for lease in table.live(index):
                        _end_lease(state, job, table, index, lease, after, AttemptEnd.RELEASED, record.at)
        case r.JobCommitting():
            pass
        case _:
            assert_never(record)
    job.phase = phase


def _grant(state: State, record: r.AnyGrant) -> None:
    job, worker = _job_of(state, record), _worker_of(state, record)
    table = job.maps if record.kind == "map" else job.reduces
    granted = []
    _check_distinct([grant.index for grant in record.grants], record)
    for grant in record.grants:
        next_task_state(f"{record.kind}-{grant.index}", table.state[grant.index], record)
        if isinstance(record, r.BackupsGranted):
            _check_backup(table, grant, worker, record)
    for grant in record.grants:
        row = job.attempts.begin(table.kind, grant.index, grant.attempt, worker.number, record.at)
        lease = Lease(worker.name, grant.attempt, state.epoch, row)
        table.begin_lease(grant.index, lease)
        granted.append(table.attempt_id(grant.index, lease))
    worker.leases.update(granted)
    worker.last_call, worker.last_grant = record.call, tuple(granted)


def _check_backup(table: TaskTable, grant: r.Grant, worker: Worker, record: r.BackupsGranted) -> None:
    """A task has at most two attempts, of two workers."""
    live = table.live(grant.index)
    if len(live) != 1 or live[0].worker == worker.name:
        raise IllegalTransition(f"{table.kind}-{grant.index} is leased to {live}: {record!r} is not allowed")


def _checked(
    state: State, ids: Iterable[AttemptId], record: r.AnyRecord
) -> list[tuple[Job, TaskTable, int, Lease, TaskState]]:
    """Job, table, index, lease and next state of each attempt; raises before anything is changed."""
    found = []
    ids = tuple(ids)
    _check_distinct(ids, record)
    for attempt in ids:
        job = state.jobs[attempt.job]
        table = job.table(attempt.kind)
        after = next_task_state(attempt.task, table.state[attempt.index], record)
        lease = table.lease_of(attempt)
        if lease is None:
            live = table.live(attempt.index)
            raise IllegalTransition(f"{attempt} is no live attempt, {live} is: {type(record).__name__} is not allowed")
        found.append((job, table, attempt.index, lease, after))
    return found


def _check_distinct(entries: Sequence[object], record: r.AnyRecord) -> None:
    if len(entries) > 1 and len(set(entries)) < len(entries):
        raise IllegalTransition(f"something is named twice: {record!r}")


def _end_lease(
    state: State,
    job: Job,
    table: TaskTable,
    index: int,
    lease: Lease,
    after: TaskState,
    end: int,
    at: float,
    run_s: float = 0.0,
) -> None:
    """Takes `lease` from task `index`, which is in state `after` then, unless another attempt of it is live."""
    job.attempts.finish(lease.row, end, at, run_s)
    holder = state.workers.get(lease.worker)
    if holder is not None:
        holder.leases.discard(table.attempt_id(index, lease))
    table.end_lease(index, lease, after)


def _commit(state: State, record: r.TasksCommitted) -> None:
    worker = state.workers.get(record.worker)
    number = worker.number if worker is not None else 0
    checked = _checked(state, (done.id for done in record.commits), record)
    for _, table, index, _, _ in checked:
        if index in table.backups:
            raise IllegalTransition(f"{table.kind}-{index} has another live attempt: {record!r} is not allowed")
    for done, (job, table, index, lease, after) in zip(record.commits, checked, strict=True):
        _end_lease(state, job, table, index, lease, after, AttemptEnd.COMMITTED, record.at, done.run_s)
        table.committed_count += 1
        table.suspect[index] = 0
        _count(job, table, done, number)


def _count(job: Job, table: TaskTable, done: r.Committed, worker_number: int) -> None:
    """Stores an output; counters are added once for each task, whatever was retried or made again."""
    if not table.store_output(done.id.index, _output(done), worker_number):
        return
    for name, value in done.counters.items():
        job.counters[name] = job.counters.get(name, 0) + value
    for name, value in done.warnings.items():
        job.warnings[name] = job.warnings.get(name, 0) + value
    if done.step_s:
        steps = job.worker_step_s.setdefault(worker_number, {})
        for name, seconds in done.step_s.items():
            steps[name] = steps.get(name, 0.0) + seconds
    if table.kind == "map":
        job.input_records += done.input_records


def _output(done: r.Committed) -> Output:
    return Output(
        id=done.id,
        has_file=done.has_file,
        bytes=done.bytes,
        records=done.records,
        digest=done.digest,
        key_type=done.key_type,
        is_sorted=done.is_sorted,
    )


def _fail(state: State, record: r.AttemptFailed) -> None:
    [(job, table, index, lease, after)] = _checked(state, [record.id], record)
    _end_lease(state, job, table, index, lease, after, AttemptEnd.FAILED, record.at, record.run_s)
    kind = record.failure.failure_class
    table.failed_attempts += 1
    if kind in CHARGED:
        table.charged[index] = min(table.charged[index] + 1, 255)
    elif kind in {"lost", "system"}:
        table.count_loss(index)
    if kind in UNEXPLAINED:
        table.suspect[index] = 1
    # A map that was committed has to come out as it was: with less memory it would spill elsewhere and its run have
    # other blocks, hence another digest (`runs`). So it is tried again with the budget that it was committed with.
    if kind == "memory" and not (table.kind == "map" and table.was_committed(index)):
        table.budget_shift[index] = min(table.budget_shift[index] + 1, 8)
    job.failures.append(FailureNote(record.id, record.failure, record.worker, record.at))
    del job.failures[:-MAX_FAILURE_SAMPLES]


def _release(state: State, record: r.LeasesReleased) -> None:
    end = AttemptEnd.LOST if record.why is r.Release.LOST else AttemptEnd.RELEASED
    for job, table, index, lease, after in _checked(state, record.ids, record):
        _end_lease(state, job, table, index, lease, after, end, record.at)
        if record.why is r.Release.LOST:
            table.count_loss(index)


def _lose(state: State, record: r.OutputLost) -> None:
    job = _job_of(state, record)
    table = job.maps if record.kind == "map" else job.reduces
    phase = next_phase(job.id, job.phase, record)
    _check_distinct(record.indexes, record)
    for index in record.indexes:
        next_task_state(f"{record.kind}-{index}", table.state[index], record)
    for index in record.indexes:
        table.state[index] = TaskState.PENDING
        table.committed_count -= 1
        table.remade += 1
        table.count_loss(index)
        table.give_back(index)
    job.phase = phase


def _rebuild(state: State, record: r.JobRebuilt) -> None:
    """Only verified outputs stay; leases are void, attempt numbers go on."""
    job = _job_of(state, record)
    phase = next_phase(job.id, job.phase, record)
    for table, trusted in ((job.maps, record.maps), (job.reduces, record.reduces)):
        for worker in state.workers.values():
            worker.leases = {held for held in worker.leases if held.job != job.id}
            worker.last_grant = ()
        for index in table.leases:
            for lease in table.live(index):
                job.attempts.finish(lease.row, AttemptEnd.RELEASED, record.at)
        table.reset()
        for done in trusted:
            _trust(job, table, done)
        table.rebuild_queue()
    job.phase = phase
    job.reason = "WALCorrupt"
    job.message = "the log was damaged; only outputs that could be verified were kept"


def _trust(job: Job, table: TaskTable, done: r.Committed) -> None:
    index = done.id.index
    table.state[index] = TaskState.COMMITTED
    table.attempt[index] = max(table.attempt[index], done.id.attempt)
    _count(job, table, done, 0)


def holds(table: TaskTable, attempt: AttemptId, worker: str) -> bool:
    """The attempt is live, and leased to `worker`."""
    lease = table.lease_of(attempt)
    return lease is not None and lease.worker == worker
