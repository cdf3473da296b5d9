"""The durable state of a coordinator: exactly what its log says, no more. Pure.

Changed only by `evolve`. What is known of workers and is not in the log (deadlines, what they run) is in `sessions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from mapreduce.model import JobSpec
from mapreduce.protocol.messages import AttemptId, Failure, TaskKind
from mapreduce.scheduling.attemptlog import AttemptLog
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import JobPhase

#: Failed attempts kept with their traceback for each job; older ones only count.
MAX_FAILURE_SAMPLES = 20


class FailureNote(msgspec.Struct, frozen=True, array_like=True):
    """One failed attempt, kept for people."""

    id: AttemptId
    failure: Failure
    worker: str
    at: float


@dataclass(slots=True)
class Worker:
    """A registered worker."""

    name: str
    number: int
    """Short stand-in for the name in columns; never used again."""
    slots: int
    serve_url: str
    last_call: int = 0
    """The call that was answered with the last grant."""
    last_grant: tuple[AttemptId, ...] = ()
    leases: set[AttemptId] = field(default_factory=set)


@dataclass(slots=True)
class Job:
    """One job and all its tasks."""

    id: int
    name: str
    spec: JobSpec
    code: str
    submitted_at: float
    phase: JobPhase = JobPhase.QUEUED
    started_at: float = 0.0
    finished_at: float = 0.0
    plan: str = ""
    input_bytes: int = 0
    maps: TaskTable = field(init=False)
    reduces: TaskTable = field(init=False)
    attempts: AttemptLog = field(default_factory=AttemptLog)
    counters: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    worker_step_s: dict[int, dict[str, float]] = field(default_factory=dict)
    """By worker number: seconds by step of what it committed."""
    input_records: int = 0
    failures: list[FailureNote] = field(default_factory=list)
    partition_bytes: tuple[int, ...] = ()
    reason: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        self.maps = TaskTable(self.id, "map", 0)
        self.reduces = TaskTable(self.id, "reduce", 0)

    def table(self, kind: TaskKind) -> TaskTable:
        """The tasks of one phase."""
        return self.maps if kind == "map" else self.reduces

    @property
    def granted_now(self) -> TaskTable | None:
        """The tasks that are given to workers in this phase; None in one that gives none."""
        return {JobPhase.MAPPING: self.maps, JobPhase.REDUCING: self.reduces}.get(self.phase)

    @property
    def step_s(self) -> dict[str, float]:
        """Seconds by step (read, map, spill, merge, reduce, write) over all workers."""
        sums: dict[str, float] = {}
        for steps in self.worker_step_s.values():
            for name, seconds in steps.items():
                sums[name] = sums.get(name, 0.0) + seconds
        return sums

    @property
    def is_map_only(self) -> bool:
        """The maps' outputs are the job's."""
        return self.reduces.count == 0

    @property
    def outputs(self) -> TaskTable:
        """The tasks whose outputs become the job's parts."""
        return self.maps if self.is_map_only else self.reduces


@dataclass(slots=True)
class State:
    """Everything that the log says."""

    epoch: int = 0
    jobs: dict[int, Job] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    next_worker_number: int = 1
    worker_names: dict[int, str] = field(default_factory=dict)
    """Names by number of all workers that ever were; a page and a report need them after the workers left."""
    worker_slots: dict[int, int] = field(default_factory=dict)
    """Slots by number, likewise."""

    @property
    def next_job_id(self) -> int:
        """The id that the next submitted job gets."""
        return max(self.jobs, default=0) + 1

    @property
    def current_job(self) -> Job | None:
        """The one job that is being run: the first that is started and not over."""
        for job in self.jobs.values():
            if not job.phase.is_final and job.phase is not JobPhase.QUEUED:
                return job
        return None

    @property
    def next_queued_job(self) -> Job | None:
        """The first job that waits for its turn."""
        return next((job for job in self.jobs.values() if job.phase is JobPhase.QUEUED), None)

    @property
    def has_unfinished_job(self) -> bool:
        """Some job is not over."""
        return any(not job.phase.is_final for job in self.jobs.values())
