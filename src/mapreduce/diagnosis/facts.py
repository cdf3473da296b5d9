"""What a diagnosis looks at: a job as far as one coordinator, or one log, knows it. Types only.

What only a cluster knows (quota, images, volumes) is added by whoever can ask it; nothing here does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mapreduce.diagnosis.skew import Quantiles
from mapreduce.protocol.messages import JobStatus


@dataclass(frozen=True, slots=True)
class RunningTask:
    """One leased task."""

    task: str
    attempt: int
    worker: str
    age_s: float
    """Since its lease was granted."""
    has_backup: bool = False
    """A second attempt of it runs too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job at one moment."""

    status: JobStatus
    now_at: float
    """UTC, seconds since 1970."""
    slots: int = 0
    """Slots of all registered workers."""
    partition_bytes: tuple[int, ...] = ()
    """Bytes of the runs by partition; empty while nothing is known."""
    durations: dict[str, Quantiles] = field(default_factory=dict)
    """By `map` and `reduce`: seconds that committed attempts ran."""
    oldest: RunningTask | None = None
    """The running task whose lease is the oldest."""
    is_paused: bool = False
    """Nothing is granted because the coordinator's disk is nearly full."""
    waits_behind: str = ""
    """Name of the job that runs first, for a job in the queue."""
    source: str = ""
    """How commands name the job; empty where its id does."""
