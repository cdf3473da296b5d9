"""Looking after worker processes beside an event loop: replacing them during a job, waiting for their end after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from mapreduce.local.processes import Death, WorkerProcesses

_LOOK_EVERY_S: Final = 0.05
_GONE_EVERY_S: Final = 0.01


async def supervise(workers: WorkerProcesses, on_death: Callable[[Death], Awaitable[None]]) -> NoReturn:
    """Replace workers that die, and tell of each. Ends only by raising: JobFailed when no start succeeds."""
    while True:
        workers.look_after()
        while workers.deaths:
            await on_death(workers.deaths.popleft())
        await asyncio.sleep(_LOOK_EVERY_S)


async def wait_until_gone(workers: WorkerProcesses, grace_s: float) -> None:
    """Wait for workers that the coordinator has told to end; after `grace_s` end them."""
    if not await _gone_within(workers, grace_s):
        await stop(workers, grace_s=3.0)


async def stop(workers: WorkerProcesses, grace_s: float) -> None:
    """End all workers: they give back what they hold; what is left after `grace_s` is killed."""
    workers.terminate()
    if not await _gone_within(workers, grace_s):
        workers.kill()


async def _gone_within(workers: WorkerProcesses, grace_s: float) -> bool:
    deadline_s = time.monotonic() + grace_s
    while workers.running:
        if time.monotonic() >= deadline_s:
            return False
        await asyncio.sleep(_GONE_EVERY_S)
    return True
