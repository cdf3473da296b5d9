"""When a worker that was told to end does so: after its attempts, and after the replicas of its runs. Pure.

Attempts that take longer than the grace are given back: another worker does them again. Runs that only this worker has
would be lost with its disk, and they are committed: for them it stays longer, as long as pieces of them are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mapreduce_worker.agent.settings import AgentSettings

Step = Literal["wait", "release", "end"]


@dataclass(slots=True)
class Leaving:
    """One worker's leaving, from the moment at which it was told to end."""

    settings: AgentSettings
    told_s: float
    _released_s: float | None = None

    def step(self, now_s: float, *, held: int, pending: int, taken_s: float) -> Step:
        """What to do now; `release` is said once.

        Args:
            now_s: the time.
            held: attempts that this worker holds.
            pending: runs without a replica.
            taken_s: when the coordinator last took a piece of one.
        """
        grace_s = self.settings.grace_s
        if not held and not pending:
            return "end"
        if now_s < self.told_s + grace_s:
            return "wait"
        if self._released_s is None:
            self._released_s = now_s
            return "release"
        if now_s < self._released_s + self.settings.last_word_s:
            return "wait"
        # a coordinator that takes nothing for as long as attempts may run is gone, or has no room
        is_taken = now_s < max(self.told_s, taken_s) + grace_s
        stays = pending > 0 and is_taken and now_s < self.told_s + self.settings.replica_grace_s
        return "wait" if stays else "end"
