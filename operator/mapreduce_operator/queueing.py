"""The order in which jobs are looked at: each job at most once at a time, soon after a change, or when it is due.

Causes of a look are merged while a job waits or is worked on; a look that fails is made again after a growing, jittered
time. What a look does is not known here.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from mapreduce_operator import metrics

_FIRST_RETRY_S: Final = 1.0
_LONGEST_RETRY_S: Final = 60.0
#: Changes come in bursts (a pod's four conditions): a look waits for the rest of the burst.
_BURST_S: Final = 0.05

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """A job's place in the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


#: Looks at a job; gives the seconds until the next look is due, or None when there is nothing more to see.
Look = Callable[[Key], Awaitable[float | None]]


class Queue:
    """Who is looked at when."""

    def __init__(self, look: Look, *, at_once: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._look: Final = look
        self._at_once: Final = at_once
        self._now_s: Final = now_s
        self._due: Final[dict[Key, float]] = {}
        self._heap: Final[list[tuple[float, Key]]] = []
        self._working: Final[dict[Key, asyncio.Task[None]]] = {}
        self._again: Final[set[Key]] = set()
        self._failures: Final[dict[Key, int]] = {}
        self._wake: Final = asyncio.Event()
        self._is_stopped = False
        self.last_look_s = now_s()

    def add(self, key: Key, *, in_s: float = _BURST_S) -> None:
        """Look at a job soon; an earlier time replaces a later one."""
        if key in self._working and in_s <= _BURST_S:
            self._again.add(key)
            return
        self._schedule(key, self._now_s() + in_s)

    def __len__(self) -> int:
        return len(self._due) + len(self._working)

    def overdue_s(self) -> float:
        """How late the job is that should have been looked at first."""
        return max(0.0, self._now_s() - min(self._due.values(), default=self._now_s()))

    async def run(self) -> None:
        """Look at jobs until stopped."""
        try:
            while not self._is_stopped:
                await self._wait()
                self._begin()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Begin nothing more, and end what is going on; each look may be cut off anywhere."""
        self._is_stopped = True
        self._wake.set()
        tasks = list(self._working.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _schedule(self, key: Key, at_s: float) -> None:
        if at_s < self._due.get(key, float("inf")):
            self._due[key] = at_s
            heapq.heappush(self._heap, (at_s, key))
            self._wake.set()

    async def _wait(self) -> None:
        self._wake.clear()
        timeout = None
        if self._heap and len(self._working) < self._at_once:
            timeout = self._heap[0][0] - self._now_s()
            if timeout <= 0:
                return
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _begin(self) -> None:
        now = self._now_s()
        while self._heap and self._heap[0][0] <= now and len(self._working) < self._at_once and not self._is_stopped:
            at_s, key = heapq.heappop(self._heap)
            if self._due.get(key) != at_s:
                continue  # replaced by an earlier one
            del self._due[key]
            if key in self._working:
                self._again.add(key)
                continue
            task = asyncio.create_task(self._work(key), name=f"pass over {key}")
            self._working[key] = task
        metrics.QUEUE.set(sum(at_s <= now for at_s in self._due.values()) if len(self._due) < 5_000 else len(self._due))

    async def _work(self, key: Key) -> None:
        next_s: float | None = None
        try:
            next_s = await self._look(key)
            self._failures.pop(key, None)
        except BaseException as error:
            task = asyncio.current_task()
            is_ours = isinstance(error, Exception) or (task is not None and not task.cancelling())
            if not is_ours:  # cut off by `stop`; a cancellation that leaked out of a library is a failure like others
                raise
            count = self._failures[key] = self._failures.get(key, 0) + 1
            next_s = min(_FIRST_RETRY_S * 2 ** (count - 1), _LONGEST_RETRY_S) * random.uniform(0.5, 1.0)  # noqa: S311
            logger.warning("Pass over %s failed, again in %.1f s.", key, next_s, exc_info=True)
        finally:
            del self._working[key]
            self.last_look_s = self._now_s()
            self._wake.set()
        if key in self._again:
            self._again.discard(key)
            next_s = min(_BURST_S, next_s) if next_s is not None else _BURST_S
        if next_s is not None and not self._is_stopped:
            self._schedule(key, self._now_s() + next_s)
