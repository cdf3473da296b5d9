"""The attempts of this worker that are ready to run and wait for a slot, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from mapreduce.protocol.messages import AttemptId
from mapreduce_worker.agent.jobs import Prepared


class Taker(Protocol):
    """What runs attempts: a slot."""

    def room(self, job: int) -> int:
        """How many more of this job it takes now."""

    def feed(self, work: Iterable[Prepared]) -> None:
        """Run these, all of one job, after those before."""


class ReadyQueue:
    """Used by the main loop alone."""

    def __init__(self) -> None:
        self._work: deque[Prepared] = deque()

    def put(self, work: Prepared) -> None:
        """It goes last."""
        self._work.append(work)

    def put_back(self, work: Sequence[Prepared]) -> None:
        """They go first again, in their order."""
        self._work.extendleft(reversed(work))

    def pop(self) -> Prepared | None:
        """The first; None if nothing waits."""
        return self._work.popleft() if self._work else None

    def drop(self, attempt: AttemptId) -> bool:
        """Whether it waited, and does not any more."""
        for work in self._work:
            if work.assignment.id == attempt:
                self._work.remove(work)
                return True
        return False

    def clear(self) -> None:
        """Nothing waits any more."""
        self._work.clear()

    def feed(self, slots: Sequence[Taker]) -> None:
        """Give the slots what they have room for, in turn: none gets more than its share while another idles."""
        while self._work:
            before = len(self._work)
            share = -(-before // len(slots))
            for slot in slots:
                self._feed_slot(slot, share)
            if len(self._work) == before:
                return

    def _feed_slot(self, slot: Taker, share: int) -> None:
        if not self._work:
            return
        job = self._work[0].assignment.id.job
        slot.feed(list(self._take(job, min(slot.room(job), share))))

    def _take(self, job: int, count: int) -> Iterable[Prepared]:
        for _ in range(count):
            if not self._work or self._work[0].assignment.id.job != job:
                return
            yield self._work.popleft()
