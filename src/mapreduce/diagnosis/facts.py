"""What a diagnosis looks at: a job as far as one coordinator, or one log, knows it. Types only.

What only a cluster knows (quota, images, volumes) is added by whoever can ask it; nothing here does.
"""

from __future__ import annotations

import msgspec

from mapreduce.diagnosis.skew import Quantiles
from mapreduce.protocol.messages import JobStatus


class RunningTask(msgspec.Struct, frozen=True):
    """One leased task."""

    task: str
    attempt: int
    worker: str
    age_s: float
    """Since its lease was granted."""
    has_backup: bool = False
    """A second attempt of it runs too."""


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One job at one moment."""

    status: JobStatus
    now_at: float
    """UTC, seconds since 1970."""
    slots: int = 0
    """Slots of all registered workers."""
    partition_bytes: tuple[int, ...] = ()
    """Bytes of the runs by partition; empty while nothing is known."""
    durations: dict[str, Quantiles] = msgspec.field(default_factory=dict)
    """By `map` and `reduce`: seconds that committed attempts ran."""
    oldest: RunningTask | None = None
    """The running task whose lease is the oldest."""
    is_paused: bool = False
    """Nothing is granted because the coordinator's disk is nearly full."""
    waits_behind: str = ""
    """Name of the job that runs first, for a job in the queue."""
    source: str = ""
    """How commands name the job; empty where its id does."""
