"""The whole plan for one job: which policies apply, in which order, and what is reported. Pure.

This is the only place that knows about all policies. It looks at facts; no branch depends on a word in the status but
the end, which is for ever, and the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mapreduce_operator import status
from mapreduce_operator.planning import (
    deletion,
    ending,
    gone,
    nodes,
    outcomes,
    scaling,
    start,
    suspension,
)
from mapreduce_operator.planning.actions import Action
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.planning.verdict import Verdict
from mapreduce_operator.statusmodel import JobStatus

_DELETION_LOOK_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, what to report, when to look again."""

    actions: tuple[Action, ...]
    status: JobStatus | None
    """None leaves the status alone: of a job that is going."""
    look_again_s: float | None
    """None: as often as jobs that run are looked at, or while there is a blocker less and less often."""
    blocker: Problem | None = None
    """What is missing before the job can be taken up, and is waited for."""


def plan(seen: Observed) -> Plan:
    """What to do about a job."""
    if seen.job.deleted_s is not None:
        return Plan(actions=tuple(deletion.plan(seen)), status=None, look_again_s=_DELETION_LOOK_S)
    verdict = decide(seen)
    return Plan(
        actions=tuple(_actions(seen, verdict)),
        status=status.report(seen, verdict),
        look_again_s=_look_again_s(seen, verdict),
        blocker=verdict.blocker if verdict.outcome is None and not verdict.is_suspending else None,
    )


def decide(seen: Observed) -> Verdict:
    """Where the job stands."""
    outcome = outcomes.decide(seen)
    if outcome is not None:
        return Verdict(is_started=seen.is_started, outcome=outcome)
    blocker = start.blocker(seen)
    if seen.wanted.is_suspended:
        return Verdict(
            is_started=seen.is_started,
            is_suspending=True,
            is_suspended=suspension.is_suspended(seen),
            blocker=blocker,
        )
    return Verdict(is_started=seen.is_started or blocker is None, blocker=blocker)


def _actions(seen: Observed, verdict: Verdict) -> Iterator[Action]:
    if verdict.outcome is not None:
        yield from ending.plan(seen, verdict.outcome)
    elif verdict.is_suspending:
        yield from suspension.suspend(seen)
    elif verdict.blocker is None:
        yield from start.plan(seen)
        yield from suspension.resume(seen)
        yield from scaling.plan(seen)
    yield from nodes.plan(seen)
    yield from scaling.prune(seen)
    if verdict.outcome is None:
        yield from gone.plan(seen)


def _look_again_s(seen: Observed, verdict: Verdict) -> float | None:
    if verdict.outcome is not None:
        return ending.next_look_s(seen, verdict.outcome)
    if verdict.is_suspending:
        return suspension.next_look_s(seen)
    return None
