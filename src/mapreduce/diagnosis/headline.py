"""The one sentence about a job: what it waits for, what slows it, or how it ended, with the remedy. Pure.

Causes are tried in order of how much they explain; the first that holds is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from mapreduce.diagnosis.facts import JobFacts
from mapreduce.diagnosis.remedies import remedy
from mapreduce.diagnosis.skew import LEAST_LONG_S, heavy_partitions, skew_ratio
from mapreduce.protocol.messages import JobStatus

Severity = Literal["good", "info", "warning", "bad"]

#: A running task is a straggler from this multiple of the median on.
_STRAGGLER_RATIO: Final = 3.0
_LEAST_STRAGGLER_S: Final = 5.0
#: A worker may be this new before its absence is worth a word.
_PATIENCE_S: Final = 3.0
_FAILING_SHARE: Final = 0.1


class Headline(msgspec.Struct, frozen=True):
    """One sentence without its full stop, how bad it is, and what to do; `fix` may be empty."""

    sentence: str
    severity: Severity
    fix: str = ""


def headline(facts: JobFacts) -> Headline:
    """The sentence for a job."""
    for cause in _CAUSES:
        found = cause(facts)
        if found is not None:
            return found
    return Headline(_progress(facts.status), "info")


def _ended(facts: JobFacts) -> Headline | None:
    status = facts.status
    elapsed = _elapsed(status)
    match status.state:
        case "Complete":
            retried = status.maps.attempts_failed + status.reduces.attempts_failed
            extra = f"; {_plural(retried, 'failed attempt')} on the way" if retried else ""
            skew = heavy_partitions(facts.partition_bytes)
            if skew is not None and _was_slowed(facts):
                return Headline(f"Complete in {elapsed}, but {skew.sentence}{extra}", "warning", _SKEW_FIX)
            return Headline(f"Complete in {elapsed}{extra}", "good")
        case "Failed":
            first = status.message.strip().partition("\n")[0] or status.reason
            return Headline(f"Failed after {elapsed}: {first}", "bad", remedy(status, source=facts.source))
        case "Cancelled":
            return Headline(f"Cancelled after {elapsed}", "warning")
        case _:
            return None


def _queued(facts: JobFacts) -> Headline | None:
    if facts.status.state != "Queued":
        return None
    behind = f" behind {facts.waits_behind}" if facts.waits_behind else ""
    return Headline(f"Waits in the queue{behind}: a coordinator runs one job at a time", "info")


def _paused(facts: JobFacts) -> Headline | None:
    if not facts.is_paused:
        return None
    return Headline(
        "Waits for disk space: nothing is granted while the coordinator's volume is nearly full",
        "warning",
        "Free space on the volume of its state folder, or enlarge it; the job goes on by itself.",
    )


def _no_workers(facts: JobFacts) -> Headline | None:
    status = facts.status
    if status.workers or status.state not in {"Mapping", "Reducing"}:
        return None
    if facts.now_at - status.started_at < _PATIENCE_S:
        return Headline("Waits for its first worker", "info")
    left = _left(status)
    return Headline(
        f"Waits for workers: {_plural(left, 'task')} left and no worker is registered",
        "warning",
        "Start workers (`mr worker`), or look at why those of the cluster do not start (`mr why`).",
    )


def _failing(facts: JobFacts) -> Headline | None:
    status = facts.status
    failed = status.maps.attempts_failed + status.reduces.attempts_failed
    committed = status.maps.committed + status.reduces.committed
    if not failed or failed < _FAILING_SHARE * (failed + committed):
        return None
    newest = status.failures[-1] if status.failures else None
    what = f": {newest.failure.message.strip().partition(chr(10))[0]}" if newest is not None else ""
    return Headline(f"{_plural(failed, 'attempt')} failed so far{what}", "warning", "See the failures below.")


def _straggling(facts: JobFacts) -> Headline | None:
    oldest = facts.oldest
    if oldest is None:
        return None
    kind = oldest.task.partition("-")[0]
    spread = facts.durations.get(kind)
    counts = facts.status.maps if kind == "map" else facts.status.reduces
    is_tail = counts.committed >= counts.total - counts.running
    if spread is None or spread.count < 4 or not is_tail or oldest.age_s < _LEAST_STRAGGLER_S:
        return None
    if oldest.age_s < _STRAGGLER_RATIO * spread.median:
        return None
    ratio = oldest.age_s / spread.median if spread.median > 0 else 0.0
    times = f", {ratio:.0f} times the median" if ratio else ""
    sentence = f"Waits for {oldest.task}, running for {duration_text(oldest.age_s)} on {oldest.worker}{times}"
    if oldest.has_backup:
        return Headline(
            f"{sentence}; a backup attempt runs beside it", "warning", f"If its input is larger, {_SPLITS}."
        )
    return Headline(
        sentence,
        "warning",
        f"If its input is larger, {_SPLITS}; if its worker is slow, end that worker: the task moves. With "
        "`spec.speculation` Stragglers idle slots run such tasks a second time by themselves.",
    )


def _skewed(facts: JobFacts) -> Headline | None:
    skew = heavy_partitions(facts.partition_bytes)
    if skew is None or sum(facts.partition_bytes) < _LEAST_SKEW_BYTES:
        return None
    return Headline(f"{_progress(facts.status)}; {skew.sentence}", "warning", _SKEW_FIX)


def _remaking(facts: JobFacts) -> Headline | None:
    status = facts.status
    if status.state != "Mapping" or not status.maps_remade or status.maps.committed + status.maps_remade < 1:
        return None
    left = status.maps.total - status.maps.committed
    if left > status.maps_remade:
        return None
    return Headline(f"Makes {_plural(left, 'map')} again whose output was lost or went with its worker", "info")


_CAUSES: Final[tuple[Callable[[JobFacts], Headline | None], ...]] = (
    _ended,
    _queued,
    _paused,
    _no_workers,
    _failing,
    _straggling,
    _remaking,
    _skewed,
)

_SPLITS: Final = "smaller splits help"

#: Less than this in all partitions together, and skew costs nobody a second.
_LEAST_SKEW_BYTES: Final = 1 << 20

_SKEW_FIX: Final = "A combiner makes hot keys small; more reducers help when many keys share a partition."


def _progress(status: JobStatus) -> str:
    match status.state:
        case "Planning":
            return "Lists its inputs and cuts them into splits"
        case "Mapping":
            return f"Maps: {status.maps.committed:,} of {status.maps.total:,} committed, {status.maps.running:,} leased"
        case "Reducing":
            counts = status.reduces
            return f"Reduces: {counts.committed:,} of {counts.total:,} committed, {counts.running:,} leased"
        case "Committing":
            return "Publishes its output"
        case _:
            return status.state


def _was_slowed(facts: JobFacts) -> bool:
    """The longest reduce stood out, and for long enough to matter."""
    spread = facts.durations.get("reduce")
    return spread is not None and spread.most >= LEAST_LONG_S and skew_ratio(spread) >= 1.5


def _left(status: JobStatus) -> int:
    return status.maps.total - status.maps.committed + status.reduces.total - status.reduces.committed


def _elapsed(status: JobStatus) -> str:
    begun_at = status.started_at or status.submitted_at
    return duration_text(max(0.0, status.finished_at - begun_at)) if status.finished_at else "some time"


def duration_text(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3m05s`, `2h07m`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3_600 else f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
