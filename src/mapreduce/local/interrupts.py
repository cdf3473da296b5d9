"""Ctrl-C and SIGTERM of a local run: the first asks for an orderly end, the second ends at once.

Only for the main thread's event loop: elsewhere signals are not ours, and nothing is installed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class StopRequest:
    """Set by the first signal."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = signal.SIGINT


@contextmanager
def stop_on_signals(*, at_once: Callable[[], None]) -> Iterator[StopRequest]:
    """While the block runs, a signal sets the request; a second one calls `at_once` and ends the process."""
    request = StopRequest()

    def on_signal(number: int) -> None:
        if request.event.is_set():
            at_once()
            os._exit(128 + number)
        request.number = number
        request.event.set()

    loop = asyncio.get_running_loop()
    is_ours = threading.current_thread() is threading.main_thread()
    for number in _SIGNALS if is_ours else ():
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield request
    finally:
        for number in _SIGNALS if is_ours else ():
            loop.remove_signal_handler(number)
