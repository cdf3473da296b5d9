"""The whole life of a job and of a task, as two tables. `docs/states.md` is drawn from them.

Everything that may change a state is here and nowhere else; an event without a row is illegal, raises, and changes
nothing.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from mapreduce.errors import IllegalTransition
from mapreduce.scheduling import records as r


class JobPhase(StrEnum):
    """Where a job stands; the values are what users see."""

    QUEUED = "Queued"
    PLANNING = "Planning"
    MAPPING = "Mapping"
    REDUCING = "Reducing"
    COMMITTING = "Committing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Nothing will happen to the job any more."""
        return self in {JobPhase.COMPLETE, JobPhase.FAILED, JobPhase.CANCELLED}


class TaskState(IntEnum):
    """Where a task stands; stored as one byte a task."""

    PENDING = 0
    LEASED = 1
    COMMITTED = 2


_UNFINISHED: Final = (JobPhase.QUEUED, JobPhase.PLANNING, JobPhase.MAPPING, JobPhase.REDUCING, JobPhase.COMMITTING)

#: (phase, record) -> phases it may lead to. More than one only where the record itself names the outcome.
JOB_TRANSITIONS: Final[dict[tuple[JobPhase, type[r.Record]], tuple[JobPhase, ...]]] = {
    (JobPhase.QUEUED, r.JobStarted): (JobPhase.PLANNING,),
    (JobPhase.PLANNING, r.JobPlanned): (JobPhase.MAPPING,),
    (JobPhase.MAPPING, r.MapsCompleted): (JobPhase.REDUCING,),
    (JobPhase.MAPPING, r.JobCommitting): (JobPhase.COMMITTING,),  # map-only, or the last lost map was made again
    (JobPhase.REDUCING, r.JobCommitting): (JobPhase.COMMITTING,),
    # bytes of committed tasks are gone: maps while reduces still need them, outputs before they are published
    (JobPhase.MAPPING, r.OutputLost): (JobPhase.MAPPING,),
    (JobPhase.REDUCING, r.OutputLost): (JobPhase.MAPPING,),
    (JobPhase.COMMITTING, r.OutputLost): (JobPhase.MAPPING,),
    # rot in the log: back to what verified
    (JobPhase.MAPPING, r.JobRebuilt): (JobPhase.MAPPING,),
    (JobPhase.REDUCING, r.JobRebuilt): (JobPhase.MAPPING,),
    (JobPhase.COMMITTING, r.JobRebuilt): (JobPhase.MAPPING,),
    **{
        (phase, r.JobFinished): (JobPhase.FAILED, JobPhase.CANCELLED)
        for phase in _UNFINISHED
        if phase is not JobPhase.COMMITTING
    },
    (JobPhase.COMMITTING, r.JobFinished): (JobPhase.COMPLETE, JobPhase.FAILED),
}

#: (state, record) -> state, for one task.
TASK_TRANSITIONS: Final[dict[tuple[TaskState, type[r.Record]], TaskState]] = {
    (TaskState.PENDING, r.LeasesGranted): TaskState.LEASED,
    (TaskState.LEASED, r.BackupsGranted): TaskState.LEASED,  # a second attempt beside the first
    (TaskState.LEASED, r.TasksCommitted): TaskState.COMMITTED,
    # here the task's only attempt ended; while another one is live the task stays leased
    (TaskState.LEASED, r.AttemptFailed): TaskState.PENDING,
    (TaskState.LEASED, r.LeasesReleased): TaskState.PENDING,
    (TaskState.LEASED, r.JobFinished): TaskState.PENDING,  # failed or cancelled: the lease is void
    (TaskState.COMMITTED, r.OutputLost): TaskState.PENDING,  # its own bytes are gone
}


def next_phase(job: int, phase: JobPhase, record: r.AnyRecord, wanted: JobPhase | None = None) -> JobPhase:
    """The phase of a job after `record`.

    Args:
        job: the job's id, for the message.
        phase: where it stands.
        record: what happened.
        wanted: the outcome that the record names, where it names one.

    Raises:
        IllegalTransition: the table has no such row.
    """
    allowed = JOB_TRANSITIONS.get((phase, type(record)))
    if allowed is None or (wanted is not None and wanted not in allowed):
        raise IllegalTransition(f"job {job} is {phase}: {type(record).__name__} is not allowed there ({record!r})")
    return allowed[0] if wanted is None else wanted


def next_task_state(task: str, state: int, record: r.AnyRecord) -> TaskState:
    """The state of a task after `record`.

    Raises:
        IllegalTransition: the table has no such row.
    """
    after = TASK_TRANSITIONS.get((TaskState(state), type(record)))
    if after is None:
        name = TaskState(state).name
        raise IllegalTransition(f"{task} is {name}: {type(record).__name__} is not allowed there ({record!r})")
    return after
