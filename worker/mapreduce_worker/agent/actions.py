"""What a worker's session asks its agent to do. Data only."""

from __future__ import annotations

from typing import Final

import msgspec

from mapreduce.protocol.messages import Assignment, AttemptId


class StartAttempt(msgspec.Struct, frozen=True):
    """Run this as soon as a slot is free; starts are in order."""

    assignment: Assignment


class CancelAttempt(msgspec.Struct, frozen=True):
    """End this attempt without a report: it is no longer this worker's."""

    id: AttemptId


class WithdrawAttempt(msgspec.Struct, frozen=True):
    """Call `withdrawn` if this attempt has not begun and now never will; otherwise do nothing."""

    id: AttemptId


class CommitAccepted(msgspec.Struct, frozen=True):
    """The attempt's output is its task's now."""

    id: AttemptId


class Exit(msgspec.Struct, frozen=True):
    """The worker is over."""

    code: int
    reason: str


Action = StartAttempt | CancelAttempt | WithdrawAttempt | CommitAccepted | Exit

EXIT_DONE: Final = 0
EXIT_UNUSABLE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_TERMINATED: Final = 143
