"""The attempts that a worker holds, in order of their grant, and how far each is. Pure."""

from __future__ import annotations

from collections import Counter
from enum import Enum

from mapreduce.protocol.messages import AttemptId


class Stage(Enum):
    """How far an attempt is; DONE: its result is not acknowledged yet."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class HeldAttempts:
    """Stages by attempt, counted."""

    def __init__(self) -> None:
        self._stages: dict[AttemptId, Stage] = {}
        self._counts: Counter[Stage] = Counter()

    def __contains__(self, attempt: AttemptId) -> bool:
        return attempt in self._stages

    def __bool__(self) -> bool:
        return bool(self._stages)

    def stage(self, attempt: AttemptId) -> Stage | None:
        """How far it is; None: it is not held."""
        return self._stages.get(attempt)

    def set(self, attempt: AttemptId, stage: Stage) -> None:
        """It is so far now."""
        self._forget_stage(attempt)
        self._stages[attempt] = stage
        self._counts[stage] += 1

    def drop(self, attempt: AttemptId) -> None:
        """It is not held any more."""
        self._forget_stage(attempt)
        self._stages.pop(attempt, None)

    def all(self) -> tuple[AttemptId, ...]:
        """Every attempt held."""
        return tuple(self._stages)

    def waiting(self) -> tuple[AttemptId, ...]:
        """Those that have not begun."""
        return tuple(held for held, stage in self._stages.items() if stage is Stage.WAITING)

    def begun(self) -> tuple[AttemptId, ...]:
        """Those that run, and those that have ended."""
        return tuple(held for held, stage in self._stages.items() if stage is not Stage.WAITING)

    def unfinished(self) -> tuple[AttemptId, ...]:
        """Those without a result."""
        return tuple(held for held, stage in self._stages.items() if stage is not Stage.DONE)

    @property
    def busy_count(self) -> int:
        """How many wait or run."""
        return self._counts[Stage.WAITING] + self._counts[Stage.RUNNING]

    def _forget_stage(self, attempt: AttemptId) -> None:
        old = self._stages.get(attempt)
        if old is not None:
            self._counts[old] -= 1
