"""What the coming and going of the executors' container asks of the agent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Step = Literal["meet", "none", "gone", "back", "give back"]


@dataclass(slots=True)
class Absence:
    """Whether executors can be started, over time."""

    patience_s: float
    """How long attempts may wait for the container before they are given back."""
    _has_met: bool = False
    _away_since_s: float | None = None

    def step(self, now_s: float, *, is_ready: bool) -> Step:
        """What to do now; all but `give back` is said once.

        `meet`: make the coordinator's acquaintance, executors can be started for the first time.
        """
        if not self._has_met:
            self._has_met = is_ready
            return "meet" if is_ready else "none"
        if is_ready:
            was_away, self._away_since_s = self._away_since_s is not None, None
            return "back" if was_away else "none"
        if self._away_since_s is None:
            self._away_since_s = now_s
            return "gone"
        return "give back" if now_s - self._away_since_s >= self.patience_s else "none"
