"""The numbers behind the decisions, each with its reason. Pure."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from mapreduce.model import MIB

#: Work that one lease may cover, in seconds: long enough that the coordinator is asked rarely, short enough that little
#: is lost with a worker and that the last batch of a phase does not keep others waiting.
BATCH_S: Final = 0.5
MAX_BATCH: Final = 256
MIN_BUDGET_BYTES: Final = 1 * MIB

#: The longest pause before a task that its worker could not run is tried again. With eight attempts, about three
#: minutes in all: time to make room on a full disk, which the failed attempt has just freed for a moment.
MAX_RETRY_PAUSE_S: Final = 60.0

#: An attempt is a straggler when it has run so many times as long as others took (Spark took 1.5 times the median for
#: ten years), and at least so long: below that a backup gains nothing.
STRAGGLER_FACTOR: Final = 2.0
MIN_STRAGGLER_S: Final = 2.0
#: Backup attempts at once, as a share of all slots. LATE takes a tenth; near the end of a phase on a few workers that
#: would back up one by one the tasks that one slow node holds.
BACKUP_SHARE: Final = 0.25


class Settings(msgspec.Struct, frozen=True):
    """How the machine measures time; everything else comes with each job."""

    lease_s: float = 30.0
    """Silence after which a worker counts as lost while no job is being run; a job brings its own `leaseSeconds`."""
    rejoin_s: float = 15.0
    """How long a coordinator that was just started waits at least for the workers that its log knows: they were not
    silent, it was. They look for it every 3 s, and may hang at an address that is gone for 5. (YARN's ResourceManager
    waits 10 s: `work-preserving-recovery.scheduling-wait-ms`.)"""
    pause_s: float = 5.0
    """A silence of the coordinator's own that is taken for a pause of the whole node; sooner with a short lease."""
    max_heartbeat_s: float = 1.0
    """Heartbeats are at most this far apart while there are few workers, so that orders reach them soon."""
    heartbeats_per_s: float = 500.0
    """Heartbeats of all workers together; with very many workers each beats more rarely, at least thrice a lease."""


def heartbeat_s(settings: Settings, lease_s: float, workers: int) -> float:
    """Seconds between two heartbeats of one worker."""
    return min(lease_s / 3, max(settings.max_heartbeat_s, workers / settings.heartbeats_per_s))


def pause_s(settings: Settings, lease_s: float) -> float:
    """The coordinator's own silence from which deadlines move: whoever beat in time before it is not yet overdue."""
    return min(settings.pause_s, lease_s * 2 / 3)


def batch_size(*, mean_s: float | None, pending: int, slots: int, want: int) -> int:
    """How many tasks to lease in one call.

    Args:
        mean_s: mean duration of this job's tasks of this kind; None when none has ended yet: then one for each slot.
        pending: tasks that wait.
        slots: slots of all registered workers.
        want: free slots of the asking worker, at least 1.

    Returns:
        At least 1; about half a second of work for each free slot, never more than a fair share of a half of what is
        left, so that the tail of a phase is spread over all workers.
    """
    if mean_s is None:
        return min(want, pending)
    by_time = BATCH_S / mean_s if mean_s > BATCH_S / MAX_BATCH else MAX_BATCH
    fair = math.ceil(pending / (2 * max(1, slots)))
    return max(1, min(want * int(by_time) or want, want * fair, MAX_BATCH, pending))


def retry_pause_s(lost: int) -> float:
    """Seconds before a task is granted again that failed for its worker's disk or the like, for the `lost`-th time."""
    return min(MAX_RETRY_PAUSE_S, 2.0 ** min(lost, 10))


def straggler_age_s(mean_s: float) -> float:
    """Seconds of running after which an attempt is a straggler, where tasks take `mean_s` on average."""
    return max(MIN_STRAGGLER_S, STRAGGLER_FACTOR * mean_s)


def backup_cap(slots: int) -> int:
    """Backup attempts that may run at once, where all workers together have `slots`."""
    return max(1, int(slots * BACKUP_SHARE))


def budget_bytes(spec_bytes: int, shift: int) -> int:
    """The memory budget of an attempt: halved for each attempt that ran out of memory; see `evolve`."""
    return max(MIN_BUDGET_BYTES, spec_bytes >> shift)
