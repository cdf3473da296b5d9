"""What a worker's session asks its agent to do. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mapreduce.protocol.messages import Assignment, AttemptId


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run this as soon as a slot is free; starts are in order."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """End this attempt without a report: it is no longer this worker's."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class WithdrawAttempt:
    """Call `withdrawn` if this attempt has not begun and now never will; otherwise do nothing."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class CommitAccepted:
    """The attempt's output is its task's now."""

    id: AttemptId


@dataclass(frozen=True, slots=True)
class Exit:
    """The worker is over."""

    code: int
    reason: str


Action = StartAttempt | CancelAttempt | WithdrawAttempt | CommitAccepted | Exit

EXIT_DONE: Final = 0
EXIT_UNUSABLE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_TERMINATED: Final = 143
