"""What the page is told: frames, and pages of columns. Types only, pure.

Columns are arrays as they lie in memory, little-endian, in base64 on the wire: a hundred thousand attempts cost a copy
and no loop. Everything in a frame is idempotent: a viewer that hears a part of it twice knows the same as before.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mapreduce.diagnosis.failuregroups import FailureGroup
from mapreduce.diagnosis.headline import Severity
from mapreduce.protocol.messages import JobStatus, Message


class AttemptColumns(Message, frozen=True):
    """Attempts in order of their grant, from row `first` on. How they ended is `scheduling.attemptlog.AttemptEnd`."""

    first: int
    count: int
    kind: bytes
    """u8: 0 map, 1 reduce."""
    index: bytes
    """u32: the task."""
    number: bytes
    """u16: which try at it."""
    worker: bytes
    """u32: number of the worker, see `WorkerView`."""
    start_at: bytes
    """f64: when its lease was granted, UTC."""
    end_at: bytes
    """f64: when its end was logged; 0 while it runs."""
    end: bytes
    """u8."""
    run_s: bytes
    """f32: seconds it ran, by its worker; 0 while it runs, or when unknown."""


class TaskColumns(Message, frozen=True):
    """Committed outputs of the tasks of one kind, from task `first` on; zeros where nothing was committed."""

    first: int
    count: int
    sizes: bytes
    """u64: bytes of the file."""
    records: bytes
    """u64."""


class EndedColumns(Message, frozen=True):
    """Rows that ended since the last frame, with what their tasks committed (zeros for those that did not)."""

    count: int
    row: bytes
    """u32."""
    end_at: bytes
    end: bytes
    run_s: bytes
    sizes: bytes
    records: bytes


class TimelinePage(Message, frozen=True):
    """A window over all attempts of a job and, by the same numbers, over its tasks."""

    rows: int
    """Attempts in all, at this moment."""
    attempts: AttemptColumns
    maps: TaskColumns
    reduces: TaskColumns
    next: int | None = None
    """Where the next page begins, or None at the end."""


class WorkerView(Message, frozen=True):
    """One worker, here or gone."""

    number: int
    name: str
    slots: int
    is_here: bool = True
    leased: int = 0
    """Attempts it holds, running or waiting in it."""
    silent_s: float = 0.0
    """Since it was last heard."""
    memory_bytes: int = 0
    """Private memory of its executors; 0 where it is not known, as in a report from the log."""
    step_s: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds by step of what it committed."""


class JobLine(Message, frozen=True):
    """One job of the coordinator, for choosing."""

    job: int
    name: str
    state: str


class HeadView(Message, frozen=True):
    """`diagnosis.headline.Headline` on the wire."""

    sentence: str
    severity: Severity
    fix: str = ""


class Frame(Message, frozen=True):
    """What changed, or with `type` "State" all but the columns, which are fetched page by page."""

    type: Literal["State", "Delta"]
    epoch: int
    sequence: int
    at: float
    """UTC at the coordinator."""
    rows: int
    """Attempts in all."""
    status: JobStatus
    """Without `failures`."""
    head: HeadView
    verdicts: dict[str, str] = msgspec.field(default_factory=dict)
    """In words, by `map`, `reduce` and `partitions`."""
    failures: tuple[FailureGroup, ...] | None = None
    """None: as before, here and in all below."""
    failures_kept: int = 0
    """Of so many failed attempts, the latest, `failures` tells; `status` counts all."""
    partition_bytes: tuple[int, ...] | None = None
    workers: tuple[WorkerView, ...] | None = None
    jobs: tuple[JobLine, ...] | None = None
    spec: str | None = None
    """As YAML."""
    source: str = ""
    """What commands call this job, quoted for a shell: an output folder, the job's id, or its name and namespace."""
    version: str = ""
    store_id: str = ""
    """Of the coordinator's log, in hex: with the job's number it names the job for ever."""
    new: AttemptColumns | None = None
    ended: EndedColumns | None = None
