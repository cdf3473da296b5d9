"""Whether and how the job ended: what its coordinator says, what can never work, deadlines. Pure.

An end is for ever: once reported, it is never taken back, whatever is seen later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mapreduce.podjob import reason_named
from mapreduce.protocol.messages import Failure
from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce_operator import times
from mapreduce_operator.planning import problems, start
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.reasons import reason

_MAX_CHARS: Final = 2_000
#: Reasons of a failure that the coordinator may not know of yet.
ENDED_BY_OPERATOR: Final = frozenset({"DeadlineExceeded", "PendingDeadlineExceeded", "InvalidPodTemplate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the job ended."""

    kind: Literal["Complete", "Failed"]
    reason: str
    message: str
    by_coordinator: bool
    """Whether the coordinator ended it, and so tells its workers itself."""
    is_new: bool = True
    """Whether this pass is the first to see it."""


def decide(seen: Observed) -> Outcome | None:
    """How the job ended, or None while it has not."""
    if earlier := _reported(seen):
        return earlier
    progress = seen.answer.progress
    if progress is not None and progress.state == "Complete":
        return Outcome(kind="Complete", reason="Published", message=_published(progress), by_coordinator=True)
    if progress is not None and progress.state in {"Failed", "Cancelled"}:
        name = reason_named(progress.reason) or ("Cancelled" if progress.state == "Cancelled" else "JobFailed")
        return Outcome(
            kind="Failed", reason=name, message=reason(name).message(failure_words(progress)), by_coordinator=True
        )
    if found := problems.fatal(seen) or seen.refusal:
        return _failed(found)
    if not seen.is_started and (found := start.never(seen)):
        return _failed(found)
    return _overdue(seen)


def active_s(seen: Observed) -> float:
    """Seconds since the start, without those in suspension."""
    status = seen.job.status
    started = times.seconds(status.start_time)
    if started is None:
        return 0.0
    suspended = seen.job.condition("Suspended")
    now = seen.now_s
    if suspended is not None and suspended.status == "True":
        now = times.seconds(suspended.last_transition_time) or now
    return now - started - status.suspended_seconds


def failure_words(progress: Progress) -> str:
    """What made the job fail: the message, the user's last frame, the record, each once."""
    parts = [progress.message.strip()]
    if progress.failures:
        failure = progress.failures[-1].failure
        if failure.message and failure.message not in parts[0]:
            parts.append(failure.message)
        if (frame := last_frame(failure)) and frame not in parts[0]:
            parts.append(frame)
        if failure.record and failure.record not in parts[0]:
            parts.append(f"Record: {failure.record}.")
    return " ".join(part for part in parts if part)[:_MAX_CHARS]


def last_frame(failure: Failure) -> str:
    """The innermost frame of a traceback, as `File "wc.py", line 3, in mapper`, and its line of code."""
    lines = [line.strip() for line in failure.traceback.splitlines()]
    found = next((index for index in reversed(range(len(lines))) if lines[index].startswith("File ")), None)
    if found is None:
        return ""
    code = lines[found + 1] if found + 1 < len(lines) else ""
    return f"{lines[found]}: {code}" if code and not code.startswith(("File ", "^", "~")) else lines[found]


def _reported(seen: Observed) -> Outcome | None:
    for kind in ("Complete", "Failed"):
        found = seen.job.condition(kind)
        if found is not None and found.status == "True":
            return Outcome(
                kind="Complete" if kind == "Complete" else "Failed",
                reason=found.reason,
                message=found.message,
                by_coordinator=found.reason not in ENDED_BY_OPERATOR,
                is_new=False,
            )
    return None


def _overdue(seen: Observed) -> Outcome | None:
    wanted = seen.wanted
    if wanted.is_suspended:
        return None
    if seen.is_started and wanted.active_deadline_s is not None and active_s(seen) >= wanted.active_deadline_s:
        return _failed(Problem("DeadlineExceeded", f"It is at {active_s(seen):.0f} of {wanted.active_deadline_s} s."))
    since, blocker = times.seconds(seen.job.status.pending_since), start.blocker(seen)
    if wanted.pending_deadline_s is None or since is None or wanted.replicas == 0:
        return None
    if seen.now_s - since >= wanted.pending_deadline_s and (blocker is not None or not seen.can_work):
        cause = blocker or _why_pending(seen)
        words = [] if cause is None else [reason(cause.reason).sentence, cause.facts]
        return _failed(Problem("PendingDeadlineExceeded", " ".join(words)))
    return None


def _why_pending(seen: Observed) -> Problem | None:
    """The coordinator's trouble first, for workers can do nothing without it."""
    found = problems.of_coordinator(seen) if not seen.is_coordinator_up else None
    return found or (problems.of_workers(seen) if not seen.ready_workers else None)


def _failed(problem: Problem) -> Outcome:
    return Outcome(
        kind="Failed",
        reason=problem.reason,
        message=reason(problem.reason).message(problem.facts),
        by_coordinator=False,
    )


def _published(progress: Progress) -> str:
    return f"{progress.output_records} records, {progress.output_bytes} bytes in {progress.output}."
