"""Running one coroutine on an event loop of its own, fast where the extra `fast` is installed."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` to its end: in this thread, or beside it when it has a running loop already (notebooks)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_here(main)
    results: list[T] = []
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            results.append(_run_here(main))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere, name="mapreduce-run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _run_here(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, or None for the standard one."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
