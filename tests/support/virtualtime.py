"""An event loop in which time is a number: it jumps to the next timer when nothing is ready. No sleeping, no threads.

Everything that runs belongs to a `Program`, by a context variable that tasks, timers and callbacks inherit: so a whole
program can be killed or stopped between two steps, as the operating system would do it. When nothing is ready and no
timer is set, or when time passes a limit, the loop raises instead of hanging.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
from asyncio import Handle, Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

#: Starts anywhere but at zero, so that nothing takes a missing time for an early one.
START_S = 1_000.0
WALL_CLOCK_AT_START_S = 1_700_000_000.0


class DeadlockError(AssertionError):
    """Nothing is ready, no timer is set, and what was waited for has not come."""


class TooLongError(AssertionError):
    """Virtual time has passed the limit of the simulation."""


@dataclass(eq=False)
class Program:
    """Something that can be killed (nothing of it runs again) or stopped (nothing of it runs until it is resumed)."""

    name: str
    is_dead: bool = False
    is_stopped: bool = False
    held_back: list[Handle] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return not (self.is_dead or self.is_stopped)


_PROGRAM: contextvars.ContextVar[Program | None] = contextvars.ContextVar("program", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulation."""

    _ready: deque[Handle]
    _scheduled: list[TimerHandle]

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._now_s = START_S
        self._nesting_count = 0
        self.limit_s = START_S + limit_s
        #: Every task that ever was: those of dead programs must not be collected before `_abandon` has closed them.
        self.tasks: list[Task[Any]] = []
        self._outside = contextvars.copy_context()
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        return self._now_s

    def take(self, seconds: float) -> None:
        """What runs now takes so long, and nothing else runs meanwhile: a blocking call."""
        self._now_s += seconds

    def create_task(self, coro: Any, **options: Any) -> Task[Any]:
        task: Task[Any] = super().create_task(coro, **options)
        self.tasks.append(task)
        return task

    # ------------------------------------------------------------------------------------------------------ programs

    def program(self, name: str) -> Program:
        """A new program."""
        return Program(name)

    def task(self, program: Program, work: Coroutine[Any, Any, T]) -> Task[T]:
        """Runs a coroutine as part of a program; its result can be waited for."""
        return self.create_task(work, context=_context_of(program))

    def start(self, program: Program, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine as part of a program."""
        self.task(program, work)  # type: ignore[unused-awaitable]  # kept in `tasks`

    def call_as(self, program: Program, delay_s: float, call: Callable[[], None]) -> TimerHandle:
        """Calls something after a while as part of a program: not if it is dead by then, later if it is stopped."""
        return self.call_later(delay_s, call, context=_context_of(program))

    def call_outside(self, delay_s: float, call: Callable[[], None]) -> TimerHandle:
        """Calls something after a while as part of no program: the network, the operating system."""
        return self.call_later(delay_s, call, context=self._outside)

    def kill(self, program: Program) -> None:
        """Nothing of it runs again, from this moment on."""
        program.is_dead = True
        program.held_back.clear()

    def stop_program(self, program: Program) -> None:
        """As by SIGSTOP: what becomes ready waits."""
        program.is_stopped = True

    def resume(self, program: Program) -> None:
        """As by SIGCONT."""
        program.is_stopped = False
        self._ready.extend(program.held_back)
        program.held_back.clear()

    # ------------------------------------------------------------------------------------------------------- running

    def _run_once(self) -> None:
        """One round: if nothing is ready, time jumps; then what is ready now runs, as far as its program does."""
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]  # as asyncio does
        is_stopping = self._stopping and not self._nesting_count  # type: ignore[attr-defined]  # set by `stop`
        if not self._ready and not is_stopping:
            if not self._scheduled:
                raise DeadlockError("nothing is ready and no timer is set")
            self._now_s = max(self._now_s, self._scheduled[0].when())
            if self._now_s > self.limit_s:
                raise TooLongError(f"more than {self.limit_s - START_S:g} s of simulated time")
        while self._scheduled and self._scheduled[0].when() <= self._now_s:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(timer)
        for _ in range(len(self._ready)):
            if self._ready:  # a nested round may have taken some
                self._run(self._ready.popleft())

    def _run(self, handle: Handle) -> None:
        if handle.cancelled():
            return
        program = handle._context.get(_PROGRAM)  # type: ignore[attr-defined]
        if program is not None and program.is_dead:
            return
        if program is not None and program.is_stopped:
            program.held_back.append(handle)
            return
        handle._run()

    def run_nested(self, is_over: Callable[[], bool]) -> None:
        """Lets the others go on from within a callback of a stopped program, until `is_over`.

        What is running now is in the middle of a blocking call and its program was stopped there.
        """
        current = asyncio.current_task(self)
        if current is not None:
            asyncio._leave_task(self, current)  # documented for extending asyncio
        self._nesting_count += 1
        try:
            while not is_over():
                self._run_once()
        finally:
            self._nesting_count -= 1
            if current is not None:
                asyncio._enter_task(self, current)

    def current_program(self) -> Program | None:
        """The program that runs now."""
        return _PROGRAM.get()

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no outside world."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


def _context_of(program: Program) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(_PROGRAM.set, program)
    return context


class VirtualClock:
    """The clocks of all programs of one loop. The wall clock may be set; the monotonic one never jumps."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.wall_jump_s = 0.0

    def monotonic_s(self) -> float:
        return self._loop.time()

    def utc_s(self) -> float:
        return self._loop.time() - START_S + WALL_CLOCK_AT_START_S + self.wall_jump_s

    async def sleep_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@contextlib.contextmanager
def virtual_loop(limit_s: float = 86_400.0) -> Iterator[VirtualLoop]:
    """A loop for one simulation. What dead and unfinished programs leave suspended is closed at the end, silently."""
    loop = VirtualLoop(limit_s)
    try:
        yield loop
    finally:
        _abandon(loop)
        loop.close()


def _abandon(loop: VirtualLoop) -> None:
    for task in loop.tasks:
        if task.done():
            continue
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the simulation ends in the middle on purpose
        coroutine = task.get_coro()
        if coroutine is not None:
            with contextlib.suppress(BaseException):
                coroutine.close()
    loop._ready.clear()
    loop._scheduled.clear()
