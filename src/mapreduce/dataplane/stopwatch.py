"""Where a task's seconds go, by step; each second counts for the innermost step only."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Step:
    """One step while it runs. A class and no generator: a task that does nothing else goes through six of them."""

    __slots__ = ("_clock", "_name")

    def __init__(self, clock: Stopwatch, name: str) -> None:
        self._clock, self._name = clock, name

    def __enter__(self) -> None:
        self._clock.begin(self._name)

    def __exit__(self, *_: object) -> None:
        self._clock.end()


class Stopwatch:
    """Adds up seconds by step; steps may be nested."""

    def __init__(self) -> None:
        self.step_s: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    def step(self, name: str) -> _Step:
        """A context that counts the time inside for `name`, and not for the step around it."""
        return _Step(self, name)

    def begin(self, name: str) -> None:
        """Enter a step; `end` leaves it."""
        now = perf_counter()
        if self._running:
            self._add(now)
        self._running.append(name)
        self._since = now

    def end(self) -> None:
        """Leave the step that was entered last."""
        now = perf_counter()
        self._add(now)
        self._running.pop()
        self._since = now

    def _add(self, now: float) -> None:
        step = self._running[-1]
        self.step_s[step] = self.step_s.get(step, 0.0) + now - self._since


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
        self._clock.begin(self._step)
        try:
            return next(self._source)
        except StopIteration:
            raise
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._clock.end()

    def check(self) -> None:
        """Raises what the source raised, if it did."""
        if self._failure is not None:
            raise self._failure
