"""The whole state as bytes, and back: what compaction of the log keeps. Pure.

Columns go in as raw little-endian arrays, so a million tasks take about 60 MB and a fraction of a second.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from mapreduce.errors import WALForeign
from mapreduce.model import JobSpec
from mapreduce.protocol.messages import AttemptId
from mapreduce.scheduling.attemptlog import AttemptLog
from mapreduce.scheduling.state import FailureNote, Job, State, Worker
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.typed import from_msgpack

FORMAT: Final = 1


class _JobImage(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    spec: JobSpec
    code: str
    submitted_at: float
    phase: str
    started_at: float
    finished_at: float
    plan: str
    input_bytes: int
    map_count: int
    reduce_count: int
    maps: dict[str, Any]
    reduces: dict[str, Any]
    attempts: dict[str, bytes]
    counters: dict[str, int]
    warnings: dict[str, int]
    worker_step_s: dict[int, dict[str, float]] = {}
    input_records: int
    failures: list[FailureNote]
    partition_bytes: tuple[int, ...]
    reason: str
    message: str


class _WorkerImage(msgspec.Struct, frozen=True, array_like=True):
    name: str
    number: int
    slots: int
    serve_url: str
    last_call: int
    last_grant: tuple[AttemptId, ...]
    leases: tuple[AttemptId, ...]


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    epoch: int
    next_worker_number: int
    worker_names: dict[int, str]
    worker_slots: dict[int, int] = {}
    workers: list[_WorkerImage]
    jobs: list[_JobImage]


def dump(state: State) -> bytes:
    """The state as bytes. Equal states give equal bytes."""
    assert sys.byteorder == "little", "columns are stored as they lie in memory"
    image = _Image(
        format=FORMAT,
        epoch=state.epoch,
        next_worker_number=state.next_worker_number,
        worker_names=dict(sorted(state.worker_names.items())),
        worker_slots=dict(sorted(state.worker_slots.items())),
        workers=[_worker_image(state.workers[name]) for name in sorted(state.workers)],
        jobs=[_job_image(state.jobs[job]) for job in sorted(state.jobs)],
    )
    return msgspec.msgpack.encode(image)


def load(data: bytes) -> State:
    """The inverse of `dump`.

    Raises:
        WALForeign: a newer release wrote it.
    """
    image = from_msgpack(data, _Image)
    if image.format != FORMAT:
        raise WALForeign(
            f"the log's snapshot has format {image.format}, this release reads {FORMAT}: use the release that wrote it"
        )
    return State(
        epoch=image.epoch,
        jobs={job.id: _load_job(job) for job in image.jobs},
        workers={worker.name: _load_worker(worker) for worker in image.workers},
        next_worker_number=image.next_worker_number,
        worker_names=image.worker_names,
        worker_slots=image.worker_slots,
    )


def _worker_image(worker: Worker) -> _WorkerImage:
    leases = tuple(sorted(worker.leases, key=lambda a: (a.job, a.kind, a.index)))
    return _WorkerImage(
        worker.name, worker.number, worker.slots, worker.serve_url, worker.last_call, worker.last_grant, leases
    )


def _load_worker(image: _WorkerImage) -> Worker:
    return Worker(
        image.name,
        image.number,
        image.slots,
        image.serve_url,
        last_call=image.last_call,
        last_grant=image.last_grant,
        leases=set(image.leases),
    )


def _job_image(job: Job) -> _JobImage:
    return _JobImage(
        id=job.id,
        name=job.name,
        spec=job.spec,
        code=job.code,
        submitted_at=job.submitted_at,
        phase=job.phase.value,
        started_at=job.started_at,
        finished_at=job.finished_at,
        plan=job.plan,
        input_bytes=job.input_bytes,
        map_count=job.maps.count,
        reduce_count=job.reduces.count,
        maps=job.maps.dump(),
        reduces=job.reduces.dump(),
        attempts=job.attempts.dump(),
        counters=dict(sorted(job.counters.items())),
        warnings=dict(sorted(job.warnings.items())),
        worker_step_s={number: dict(sorted(steps.items())) for number, steps in sorted(job.worker_step_s.items())},
        input_records=job.input_records,
        failures=job.failures,
        partition_bytes=job.partition_bytes,
        reason=job.reason,
        message=job.message,
    )


def _load_job(image: _JobImage) -> Job:
    job = Job(image.id, image.name, image.spec, image.code, image.submitted_at)
    job.phase = JobPhase(image.phase)
    job.started_at, job.finished_at = image.started_at, image.finished_at
    job.plan, job.input_bytes, job.input_records = image.plan, image.input_bytes, image.input_records
    job.maps = TaskTable.load(image.id, "map", image.map_count, image.maps)
    job.reduces = TaskTable.load(image.id, "reduce", image.reduce_count, image.reduces)
    job.attempts = AttemptLog.load(image.attempts)
    job.counters, job.warnings, job.worker_step_s = image.counters, image.warnings, image.worker_step_s
    job.failures, job.partition_bytes = image.failures, image.partition_bytes
    job.reason, job.message = image.reason, image.message
    return job
