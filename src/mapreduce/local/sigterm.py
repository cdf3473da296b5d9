"""SIGTERM outside of an event loop, and the exception by which an interrupted run ends.

Signals while an event loop runs are `local.interrupts`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mapreduce.errors import MapReduceError


class Interrupted(MapReduceError):
    """The user ended the run; what was committed is kept."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """While the block runs outside of an event loop, SIGTERM raises Interrupted, as Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_sigterm(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number, "stopped before any work began")

    previous = signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
