"""Where a task's seconds go, by step; each second counts for the innermost step only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from time import perf_counter
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Stopwatch:
    """Adds up seconds by step; steps may be nested."""

    def __init__(self) -> None:
        self.step_s: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Counts the time inside for `name`, and not for the step around it."""
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _turn(self) -> None:
        now = perf_counter()
        if self._running:
            step = self._running[-1]
            self.step_s[step] = self.step_s.get(step, 0.0) + now - self._since
        self._since = now


class Watched(Generic[_T]):
    """An iterator whose time counts for one step, and whose failure cannot get lost.

    It is read from inside the user's function, which may catch what it raises; `check` raises it again.
    """

    def __init__(self, source: Iterator[_T], clock: Stopwatch, step: str) -> None:
        self._source, self._clock, self._step = source, clock, step
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        with self._clock.step(self._step):
            try:
                return next(self._source)
            except StopIteration:
                raise
            except BaseException as error:
                self._failure = error
                raise

    def check(self) -> None:
        """Raises what the source raised, if it did."""
        if self._failure is not None:
            raise self._failure
