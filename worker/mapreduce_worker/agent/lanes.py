"""Work that blocks, each kind in one thread of its own: preparing attempts, uploading logs, and waiting between tries.

What to do is given as functions; results come back through functions of the giver's, called in the lane's thread.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from queue import SimpleQueue


class Lane:
    """A thread that carries out jobs one after the other, in the order given."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._has_started = False
        self._starting = threading.Lock()

    def put(self, job: Callable[[], None]) -> None:
        """Do this after what was given before; from any thread. Its own starts with the first job."""
        self._jobs.put(job)
        if not self._has_started:
            with self._starting:
                if not self._has_started:
                    self._thread.start()
                    self._has_started = True

    def _run(self) -> None:
        while True:
            self._jobs.get()()


class Backoff:
    """Growing pauses between tries, with jitter, so that many workers do not return in step."""

    def __init__(self, *, first_s: float = 0.05, longest_s: float = 3.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._tries = 0

    def next_pause_s(self) -> float:
        """How long to wait before the next try."""
        pause_s = min(self._first_s * 1.7**self._tries, self._longest_s)
        self._tries = min(self._tries + 1, 50)
        return pause_s * random.uniform(0.6, 1.0)  # noqa: S311 - not a secret

    def reset(self) -> None:
        """A try has succeeded."""
        self._tries = 0
