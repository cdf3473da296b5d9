"""How blocking calls are kept off the event loop: threads in a real process, inline under simulated time.

`serial` is one queue: the log's calls go there and never overlap. `run` may run several at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Runner(Protocol):
    """Runs a blocking call and hands back its result."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Awaits the result of `call()`, or raises what it raised."""
        ...


class Blocking(msgspec.Struct, frozen=True):
    """The two ways of running blocking calls."""

    run: Runner
    serial: Runner
    shut_down: Callable[[], None]

    @classmethod
    def threads(cls) -> Blocking:
        """Real threads: four for files, one for the log."""
        files = ThreadPoolExecutor(4, thread_name_prefix="files")
        log = ThreadPoolExecutor(1, thread_name_prefix="log")

        async def run(call: Callable[[], T], /) -> T:
            return await asyncio.get_running_loop().run_in_executor(files, call)

        async def serial(call: Callable[[], T], /) -> T:
            return await asyncio.get_running_loop().run_in_executor(log, call)

        def shut_down() -> None:
            files.shutdown()
            log.shutdown()

        return cls(run, serial, shut_down)

    @classmethod
    def inline(cls) -> Blocking:
        """Calls made at once on the loop's own thread: deterministic, for simulations."""

        async def run(call: Callable[[], T], /) -> T:
            return call()

        return cls(run, run, lambda: None)
