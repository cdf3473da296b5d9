"""What is reported of a job: counts, conditions, one sentence. A pure function of what was seen and decided.

Numbers come from the coordinator; while it does not answer, the last ones stay. The word in `state` is for people.
"""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from mapreduce.protocol.messages import FailureSample, TaskCounts
from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce_operator import findings, times
from mapreduce_operator.conditions import Finding, cut, merged
from mapreduce_operator.manifests import snapshot
from mapreduce_operator.naming import selector_text
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.verdict import Verdict
from mapreduce_operator.statusmodel import (
    MAX_COUNT,
    MAX_COUNTER_NAME_CHARS,
    MAX_COUNTERS,
    MAX_FAILURE_MESSAGE_CHARS,
    MAX_FAILURES,
    MAX_MESSAGE_CHARS,
    MAX_RECORD_CHARS,
    MAX_TRACEBACK_CHARS,
    CoordinatorStatus,
    FailureStatus,
    JobStatus,
    OutputStatus,
    State,
    Tasks,
    WorkersStatus,
)

_MAX_URI_CHARS: Final = 4_096
#: So that a status stays below 16 KiB however long names, messages and tracebacks are: room for all counters, for all
#: failures, and what one of them takes besides its texts.
_COUNTERS_CHARS: Final = 2_500
_FAILURES_CHARS: Final = 4_500
_COUNT_CHARS: Final = 24
_FAILURE_CHARS: Final = 150


def report(seen: Observed, verdict: Verdict) -> JobStatus:
    """The whole status, to be written if it differs from the one that is there."""
    found = findings.all_of(seen, verdict)
    before = seen.job.status
    status = msgspec.structs.replace(
        _counted(seen, before),
        observed_generation=seen.job.generation,
        state=_state(seen, verdict),
        message=cut(_sentence(verdict, found), MAX_MESSAGE_CHARS),
        start_time=before.start_time or (times.text(seen.now_s) if verdict.is_started else None),
        completion_time=before.completion_time or (times.text(seen.now_s) if verdict.outcome is not None else None),
        suspended_seconds=before.suspended_seconds + _suspension_over_s(seen, found["Suspended"]),
        pending_since=_pending_since(seen, verdict),
        conditions=merged(before.conditions, found, generation=seen.job.generation, now_s=seen.now_s),
    )
    if verdict.is_started:
        status = msgspec.structs.replace(status, **_of_start(seen, before))
    return status


def _of_start(seen: Observed, before: JobStatus) -> dict[str, object]:
    text = seen.code.text if seen.code is not None else None
    known = seen.snapshot
    raw = seen.job.raw_spec
    spec = seen.spec
    return {
        "spec_digest": before.spec_digest or (known.spec_digest if known else snapshot.spec_digest(raw)),
        "code_digest": before.code_digest or (known.code_digest if known else snapshot.code_digest(raw, text)),
        "shuffle": before.shuffle or (spec.storage.shuffle if spec is not None else ""),
        "workers": WorkersStatus(
            desired=seen.wanted.replicas,
            ready=seen.ready_workers,
            selector=selector_text(seen.names.selector("worker")),
        ),
        "coordinator": CoordinatorStatus(
            service=seen.names.coordinator,
            epoch=seen.answer.report.epoch if seen.answer.report is not None else before.coordinator.epoch,
        ),
    }


def _counted(seen: Observed, before: JobStatus) -> JobStatus:
    progress = seen.answer.progress
    if progress is None:
        return before
    return msgspec.structs.replace(
        before,
        maps=_tasks(progress.maps, remade=progress.maps_remade),
        reduces=_tasks(progress.reduces),
        attempts_failed=progress.maps.attempts_failed + progress.reduces.attempts_failed,
        input_bytes=progress.input_bytes,
        output=OutputStatus(
            uri=cut(seen.spec.output.uri if seen.spec is not None else before.output.uri, _MAX_URI_CHARS),
            bytes=progress.output_bytes,
            records=progress.output_records,
        ),
        counters=_counters(progress.counters),
        failures=_failures(progress.failures),
    )


def _counters(counters: dict[str, int]) -> dict[str, int]:
    """The first of them by name, as many as have room."""
    room, kept = _COUNTERS_CHARS, {}
    for name, count in sorted(counters.items())[:MAX_COUNTERS]:
        shown = cut(name, MAX_COUNTER_NAME_CHARS)
        room -= len(shown) + _COUNT_CHARS
        if room < 0:
            break
        kept[shown] = max(-MAX_COUNT, min(count, MAX_COUNT))
    return kept


def _failures(samples: tuple[FailureSample, ...]) -> tuple[FailureStatus, ...]:
    """The latest, as many as have room, the oldest first."""
    room, kept = _FAILURES_CHARS, []
    for sample in reversed(samples[-MAX_FAILURES:]):
        shown = _failure(sample)
        room -= len(shown.message) + len(shown.traceback) + len(shown.record) + len(shown.worker) + _FAILURE_CHARS
        if room < 0:
            break
        kept.append(shown)
    return tuple(reversed(kept))


def _tasks(counts: TaskCounts, remade: int = 0) -> Tasks:
    return Tasks(
        total=counts.total,
        running=counts.running,
        committed=counts.committed,
        failed=counts.attempts_failed,
        remade=remade,
        progress=f"{counts.committed}/{counts.total}",
    )


def _failure(sample: FailureSample) -> FailureStatus:
    failure = sample.failure
    return FailureStatus(
        task=sample.id.task,
        attempt=sample.id.attempt,
        class_=failure.failure_class,
        message=cut(failure.message, MAX_FAILURE_MESSAGE_CHARS),
        traceback=cut(failure.traceback[-MAX_TRACEBACK_CHARS:], MAX_TRACEBACK_CHARS),
        record=cut(failure.record, MAX_RECORD_CHARS),
        at=times.text(sample.at) if sample.at else None,
        worker=sample.worker,
    )


def _state(seen: Observed, verdict: Verdict) -> State:
    if verdict.outcome is not None:
        return verdict.outcome.kind
    if verdict.is_suspending:
        return "Suspended" if verdict.is_suspended else "Suspending"
    if not verdict.is_started:
        return "Pending"
    progress = seen.answer.progress
    if progress is None:
        last = seen.job.status.state
        return last if last in {"Mapping", "Reducing", "Publishing"} else "Starting"
    return _STATES.get(progress.state, "Starting")


_STATES: Final[dict[str, State]] = {
    "Queued": "Starting",
    "Planning": "Starting",
    "Mapping": "Mapping",
    "Reducing": "Reducing",
    "Committing": "Publishing",
}
assert set(_STATES.values()) <= set(get_args(State))


def _sentence(verdict: Verdict, found: dict[str, Finding]) -> str:
    """What the job does or waits for."""
    if verdict.outcome is not None:
        return verdict.outcome.message
    if verdict.is_suspending:
        return found["Suspended"].message
    if verdict.blocker is not None:
        return found["Validated"].message
    if found["Stalled"].status == "True":
        return found["Stalled"].message
    for kind in ("CoordinatorReady", "WorkersReady"):
        if found[kind].status != "True" and found[kind].reason not in {"Starting", "Pending"}:
            return found[kind].message
    if found["Degraded"].status == "True":
        return found["Degraded"].message
    if found["CoordinatorReady"].status != "True":
        return found["CoordinatorReady"].message
    return found["WorkersReady"].message if found["WorkersReady"].status != "True" else "The job is running."


def _suspension_over_s(seen: Observed, finding: Finding) -> int:
    before = seen.job.condition("Suspended")
    if before is None or before.status != "True" or finding.status == "True" or seen.job.status.start_time is None:
        return 0
    return max(0, int(seen.now_s - (times.seconds(before.last_transition_time) or seen.now_s)))


def _pending_since(seen: Observed, verdict: Verdict) -> str | None:
    is_blocked = verdict.blocker is not None
    waits = (verdict.is_started or is_blocked) and not verdict.is_suspending and verdict.outcome is None
    if not waits or (seen.can_work and not is_blocked) or seen.wanted.replicas == 0:
        return None
    return seen.job.status.pending_since or times.text(seen.now_s)


def progress_words(progress: Progress) -> str:
    """How far a job is, as `37/64 maps, 0/8 reduces`."""
    return (
        f"{progress.maps.committed}/{progress.maps.total} maps, "
        f"{progress.reduces.committed}/{progress.reduces.total} reduces"
    )
