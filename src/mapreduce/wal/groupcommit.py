"""Group commit: many coroutines wait, one flush at a time runs, and each flush serves all who were there before it
began.

The asyncio side of the log. It decides when to flush; what a flush is, is `log`. Nothing here blocks: each blocking
call goes through the injected `run_blocking` (a thread, or the caller itself in a simulation).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from mapreduce.errors import StorageFailed
from mapreduce.wal.log import Log

T = TypeVar("T")

#: After this long without a record a bare durable mark follows, so that the last acknowledged records are marked too.
IDLE_S: Final = 0.1


class RunBlocking(Protocol):
    """Runs a blocking call somewhere where it may block, one at a time, and returns what it returns."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Run `call`."""
        ...


class GroupCommit:
    """Shares the log's flushes. One driver task at most, one future a waiter, no task a waiter.

    The first failure is final: every waiter, present and future, gets it, and `on_failure` is called once.
    """

    def __init__(
        self,
        log: Log,
        *,
        run_blocking: RunBlocking,
        on_failure: Callable[[BaseException], None],
        idle_s: float = IDLE_S,
    ) -> None:
        self._log = log
        self._run_blocking, self._on_failure, self._idle_s = run_blocking, on_failure, idle_s
        self._loop = asyncio.get_running_loop()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._driver: asyncio.Task[None] | None = None
        #: Those whom the flush that is running serves, and up to which sequence it surely does.
        self._served: list[asyncio.Future[None]] = []
        self._served_sequence = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._errands: list[tuple[Callable[[], None], asyncio.Future[None]]] = []
        self._idle_timer: asyncio.TimerHandle | None = None
        self._active_at = self._loop.time()

    async def durable(self, sequence: int) -> None:
        """Return when the record with `sequence` is durable. Raises StorageFailed or Fenced."""
        self._check_usable()
        if sequence > self._log.durable_sequence:
            await self._wait(sequence)

    async def confirm(self) -> None:
        """Return when all that is enqueued is durable and the claim was looked at after this call began.

        For replies that needed no record: a paused incarnation must not answer from a state that others left behind.
        """
        self._check_usable()
        await self._wait(None)

    async def snapshot(self, state: bytes, sequence: int) -> None:
        """Run `Log.snapshot` between two flushes. Raises ValueError for a sequence that no snapshot can have."""
        self._check_usable()
        self._log.check_snapshot_sequence(sequence)
        done = self._loop.create_future()
        self._errands.append((lambda: self._log.snapshot(state, sequence), done))
        self._drive()
        await done

    async def close(self) -> None:
        """Finish what is under way and close the log. Raises what the log raises if this is the first failure."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        while self._driver is not None:
            await asyncio.wait([self._driver])
        try:
            await self._run_blocking(self._log.close)
        except Exception as error:
            if self._failure is None:
                self._fail(error)
                raise

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise StorageFailed("the log is closed; nothing can become durable any more.")

    async def _wait(self, sequence: int | None) -> None:
        # A future for each waiter: a cancelled waiter cancels what it awaits, and that must not be the others' future.
        future = self._loop.create_future()
        if sequence is not None and self._served and sequence <= self._served_sequence:
            self._served.append(future)
        else:
            self._waiting.append(future)
            self._drive()
        await future

    def _drive(self) -> None:
        # The task starts after the callbacks that are ready now, so all of this turn's records share the first flush.
        if self._driver is None:
            self._driver = self._loop.create_task(self._run(), name="group-commit")

    async def _run(self) -> None:
        """Flush and run errands as long as anyone waits."""
        try:
            while self._waiting or self._errands:
                if self._errands:
                    errand, done = self._errands.pop(0)
                    self._served, self._served_sequence = [done], 0
                    await self._run_blocking(errand)
                else:
                    self._served, self._waiting = self._waiting, []
                    # Records enqueued up to now are in the coming flush for sure; later ones perhaps.
                    self._served_sequence = self._log.sequence
                    await self._run_blocking(self._log.flush)
                served, self._served = self._served, []
                for future in served:
                    if not future.done():
                        future.set_result(None)
                # Let the served go on first: what they enqueue now joins the next flush.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._fail(StorageFailed("the log's flush was cancelled; what is on the disk cannot be told any more."))
            raise
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._driver = None
        if self._failure is None and not self._is_closed:
            self._await_idleness()

    def _await_idleness(self) -> None:
        """(Re)start the idle time. One timer that looks again when it fires, not one for each flush."""
        self._active_at = self._loop.time()
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_later(self._idle_s, self._when_idle)

    def _when_idle(self) -> None:
        self._idle_timer = None
        if self._failure is not None or self._is_closed:
            return
        rest_s = self._active_at + self._idle_s - self._loop.time()
        if self._driver is None and rest_s <= 0:
            self._driver = self._loop.create_task(self._mark(), name="group-commit-mark")
        else:
            self._idle_timer = self._loop.call_later(max(rest_s, self._idle_s / 10), self._when_idle)

    async def _mark(self) -> None:
        try:
            await self._run_blocking(self._log.mark)
        except asyncio.CancelledError:
            self._fail(StorageFailed("the log's mark was cancelled; what is on the disk cannot be told any more."))
            raise
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._driver = None
        if self._failure is None and (self._waiting or self._errands):
            self._drive()

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None:
            return
        self._failure = error
        abandoned = [*self._served, *self._waiting, *(done for _, done in self._errands)]
        self._served, self._waiting, self._errands = [], [], []
        for future in abandoned:
            if not future.done():
                future.set_exception(error)
        self._on_failure(error)
