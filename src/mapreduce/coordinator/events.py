"""Events for one viewer: from the service's subscription to server-sent events, in bounded memory.

A viewer that reads more slowly than things happen does not make the coordinator remember them: once too much waits for
it, all of it is dropped and the viewer gets the full state instead. What the events say is the service's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from mapreduce.coordinator.limits import HttpSettings

#: A comment: shows proxies and viewers that the stream lives.
PING: Final = b": ping\n\n"
#: Events are put together up to this before they are written.
_WRITE_BYTES: Final = 1 << 16

Subscribe = Callable[[int], AsyncIterator[tuple[int, bytes]]]
Write = Callable[[bytes], Awaitable[None]]


def event_bytes(sequence: int, data: bytes) -> bytes:
    """One event. Line ends in the data would end the event, so each line is sent as a field of its own."""
    if b"\n" not in data and b"\r" not in data:  # JSON has none: a frame for every viewer is copied once, not parted
        return b"id: %d\ndata: %b\n\n" % (sequence, data)
    return b"id: %d\ndata: %b\n\n" % (sequence, b"\ndata: ".join(data.splitlines()))


async def send_events(subscribe: Subscribe, from_sequence: int, write: Write, settings: HttpSettings) -> None:
    """Write what comes after `from_sequence`, until the subscription ends or the task is cancelled.

    Raises TimeoutError when the viewer takes nothing for `stall_s`, and what `write` and the subscription raise.
    """
    start = from_sequence
    while True:
        waiting = _Waiting(settings.event_buffer_bytes)
        pump = asyncio.create_task(waiting.fill(subscribe(start)))
        try:
            await _drain(waiting, write, settings)
        finally:
            pump.cancel()
            await asyncio.wait([pump])
        if not waiting.is_overrun:
            pump.result()
            return
        start = 0


async def _drain(waiting: _Waiting, write: Write, settings: HttpSettings) -> None:
    """Write what waits, and a ping when nothing does, until nothing more can come."""
    while True:
        try:
            async with asyncio.timeout(settings.ping_s):
                chunk = await waiting.take()
        except TimeoutError:
            chunk = PING
        if not chunk:
            return
        async with asyncio.timeout(settings.stall_s):
            await write(chunk)


class _Waiting:
    """Events that one viewer has not taken yet."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes: Final = limit_bytes
        self._events: Final[deque[bytes]] = deque()
        self._bytes = 0
        self._changed: Final = asyncio.Event()
        self._is_ended = False
        self.is_overrun = False

    async def fill(self, items: AsyncIterator[tuple[int, bytes]]) -> None:
        """Take all that comes, until there is too much. One event alone, such as the full state, is never too much."""
        try:
            async for sequence, data in items:
                event = event_bytes(sequence, data)
                if self._events and self._bytes + len(event) > self._limit_bytes:
                    self.is_overrun = True
                    return
                self._events.append(event)
                self._bytes += len(event)
                self._changed.set()
        finally:
            self._is_ended = True
            self._changed.set()
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    async def take(self) -> bytes:
        """The next events as one piece; empty when no more will come, or those that wait are to be dropped."""
        while not self._events and not self._is_ended:
            self._changed.clear()
            await self._changed.wait()
        if self.is_overrun:
            return b""
        pieces: list[bytes] = []
        size = 0
        while self._events and (not pieces or size + len(self._events[0]) <= _WRITE_BYTES):
            pieces.append(self._events.popleft())
            size += len(pieces[-1])
        self._bytes -= size
        return b"".join(pieces)
