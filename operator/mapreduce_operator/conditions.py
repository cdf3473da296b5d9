"""Conditions of a status: merged with the earlier ones, so that times of transition stay. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mapreduce_operator import times
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.reasons import CONDITIONS, reason
from mapreduce_operator.statusmodel import MAX_MESSAGE_CHARS, Condition

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said in one condition."""

    status: ConditionStatus
    reason: str
    message: str

    @classmethod
    def true(cls, name: str, facts: str = "") -> Finding:
        """It is the case, for that reason."""
        return cls("True", name, reason(name).message(facts))

    @classmethod
    def false(cls, name: str, facts: str = "") -> Finding:
        """It is not the case, for that reason."""
        return cls("False", name, reason(name).message(facts))

    @classmethod
    def of(cls, status: ConditionStatus, problem: Problem) -> Finding:
        """It is (not) the case because of a problem."""
        return cls(status, problem.reason, reason(problem.reason).message(problem.facts))


def merged(
    earlier: Iterable[Condition], findings: dict[str, Finding], *, generation: int, now_s: float
) -> tuple[Condition, ...]:
    """All conditions, in the order of `CONDITIONS`; a time changes only with a status."""
    before = {one.type: one for one in earlier}
    result = []
    for kind in CONDITIONS:
        finding = findings.get(kind)
        if finding is None:
            continue
        old = before.get(kind)
        unchanged = old is not None and old.status == finding.status
        result.append(
            Condition(
                type=kind,
                status=finding.status,
                observed_generation=generation,
                last_transition_time=old.last_transition_time if old is not None and unchanged else times.text(now_s),
                reason=finding.reason,
                message=cut(finding.message, MAX_MESSAGE_CHARS),
            )
        )
    return tuple(result)


def cut(text: str, chars: int) -> str:
    """A text of at most that many characters, without what cannot be stored."""
    plain = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    return plain if len(plain) <= chars else plain[: chars - 1] + "…"
