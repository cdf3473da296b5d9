"""Programs that run in turns: each stops before every file call until told to go on. Deterministic, without sleeps."""

from __future__ import annotations

from collections.abc import Callable
from threading import Semaphore, Thread
from typing import Self

from tests.support.faultyfiles import Disk, FaultyFiles


class SteppedProgram:
    """Runs `body` in a thread of its own, which only ever runs while `step` or `finish` waits for it."""

    def __init__(self, disk: Disk, body: Callable[[FaultyFiles], None]) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self._body, self._files = body, FaultyFiles(disk, self._pause)
        self._go, self._stopped = Semaphore(0), Semaphore(0)
        self._is_free = False
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._thread.join()

    def step(self, count: int = 1) -> None:
        """Let the program do `count` file calls, or fewer if it ends."""
        for _ in range(count):
            if self.is_done:
                return
            self._go.release()
            self._stopped.acquire()

    def finish(self) -> None:
        """Let the program run to its end."""
        if not self.is_done:
            self._is_free = True
            self._go.release()
            self._stopped.acquire()

    def _pause(self, _call: str, _path: str) -> None:
        if not self._is_free:
            self._stopped.release()
            self._go.acquire()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._body(self._files)
        except BaseException as error:
            self.error = error
        self.is_done = True
        self._stopped.release()
