"""What one pass has decided about a job, for its status: data only."""

from __future__ import annotations

from dataclasses import dataclass

from mapreduce_operator.planning.outcomes import Outcome
from mapreduce_operator.planning.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where the job stands."""

    is_started: bool = False
    """Taken up, now or before."""
    is_suspending: bool = False
    """It shall have no pods."""
    is_suspended: bool = False
    """It has none."""
    outcome: Outcome | None = None
    blocker: Problem | None = None
    """What is missing before it can be taken up."""
