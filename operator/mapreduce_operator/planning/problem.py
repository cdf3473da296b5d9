"""What is wrong, as a reason and the facts of one job: data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason of `reasons`, and the facts of this job."""

    reason: str
    facts: str = ""
