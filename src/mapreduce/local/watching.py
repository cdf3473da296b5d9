"""What a local run tells whoever watches it. The command line draws bars from it; `Job.run` watches nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from mapreduce.protocol.messages import JobState, JobStatus


class Watcher(Protocol):
    """Called from the thread that runs the job; must not block."""

    def notice(self, text: str) -> None:
        """One sentence that the user should see now: resuming, a worker died, disk low."""
        ...

    def progress(self, status: JobStatus) -> None:
        """How far the job is; called at every look, which is several times a second."""
        ...

    def close(self) -> None:
        """No more progress follows; the terminal is given back."""
        ...


class SilentWatcher:
    """Watches nothing."""

    def notice(self, text: str) -> None:
        """Nobody listens."""

    def progress(self, status: JobStatus) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True)
class PhaseTimes:
    """Seconds that this process spent in each phase, for the summary."""

    started_s: float
    seconds: dict[str, float] = field(default_factory=dict)
    _phase: str = "start-up"
    _since_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._since_s = self.started_s

    def enter(self, state: JobState, now_s: float) -> None:
        """Note the state seen at `now_s`."""
        phase = _PHASES[state]
        if phase != self._phase:
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now_s - self._since_s
            self._phase, self._since_s = phase, now_s


_PHASES: dict[JobState, str] = {
    "Queued": "start-up",
    "Planning": "plan",
    "Mapping": "map",
    "Reducing": "reduce",
    "Committing": "publish",
    "Complete": "end",
    "Failed": "end",
    "Cancelled": "end",
}


class RunReport(msgspec.Struct, frozen=True):
    """How a local run ended."""

    status: JobStatus
    output: Path
    phase_s: dict[str, float]
    """Seconds by phase, as seen by this process."""
    total_s: float
    workers: int
