"""What a slot needs of its executor's process, wherever that process is: the port, and how an ending reads.

Two things fit it: `processes` (children of this agent) and `remote` (in a container beside this one's).
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Ending(NamedTuple):
    """How an executor ended."""

    code: int | None
    """As `subprocess` has it: negative for a signal. None: nobody saw it end."""
    is_out_of_memory: bool = False
    """The system ended it because its container had no memory left."""
    problem: str = ""
    """Why there is no code."""

    @property
    def is_vanished(self) -> bool:
        """Its whole container went, and it went along."""
        return self.code is None and not self.problem

    def __str__(self) -> str:
        if self.is_out_of_memory:
            return "was ended by the system because its container was out of memory"
        if self.code is not None:
            return describe_exit(self.code)
        return self.problem or "went away with its container"


class Executor(Protocol):
    """A process that runs user code, or is about to. Its methods may take as long as they say, and no longer."""

    @property
    def listener(self) -> socket.socket:
        """Where it will call."""

    @property
    def temporary(self) -> str:
        """Folder for temporary files of its own, by the name that it has for the executor."""

    def stop_listening(self) -> None:
        """It has called, or never will."""

    def has_ended(self) -> bool:
        """Whether it is over."""

    def end(self) -> Ending:
        """Kill it with all that it started. Ending it twice is the same."""

    def end_after(self, seconds: float) -> Ending:
        """Give it this long to end by itself, then `end` it."""

    def abort(self) -> Ending:
        """End it so that it first prints where each thread is."""

    def private_bytes(self) -> int:
        """Memory that it has for itself; 0 when nobody knows."""


class Watcher(Protocol):
    """Whoever waits for sockets."""

    def watch(self, source: socket.socket, events: int, call: Callable[[int], None]) -> None:
        """Call `call(ready events)` whenever the socket is ready; replaces an earlier watch."""

    def unwatch(self, source: socket.socket) -> None:
        """Undo `watch`."""


class Executors(Protocol):
    """Where executors come from."""

    @property
    def is_ready(self) -> bool:
        """Whether one can be started now."""

    @property
    def memory_bytes(self) -> int:
        """Memory that all of them together may use; 0: nobody says."""

    @property
    def problem(self) -> str:
        """Why there will never be any; empty while there is hope."""

    def attach(self, watcher: Watcher) -> None:
        """Have `watcher` wait for what concerns them."""

    def start(self, slot: int, *, data_limit_bytes: int = 0) -> Executor:
        """Start one for this slot. Raises `OSError`."""

    def close(self) -> None:
        """No more will be started; those that live are ended before, each by its own slot."""


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = {
        signal.SIGSEGV: " (a crash in compiled code)",
        signal.SIGKILL: " (by the system, often for want of memory, or by hand)",
        signal.SIGABRT: " (compiled code gave up)",
    }.get(signal.Signals(-code) if name.startswith("SIG") else signal.SIGTERM, "")
    return f"was killed by {name}{meaning}"
