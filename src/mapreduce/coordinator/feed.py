"""What happened lately, for streams that follow along. An event's id is its record's sequence in the log.

A bounded number of records is kept; who asks for older ones gets the full state instead, so no viewer costs memory.
Nothing is encoded unless somebody follows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

import msgspec

from mapreduce.protocol.messages import StatusList
from mapreduce.scheduling.records import (
    AnyRecord,
    AttemptFailed,
    BackupsGranted,
    LeasesGranted,
    LeasesReleased,
    TasksCommitted,
)

#: What a record takes for each attempt in it, about; texts of failures are counted in it.
ATTEMPT_BYTES: Final = 1_000


class Source(Protocol):
    """What a feed needs of the service whose records it keeps."""

    @property
    def sequence(self) -> int:
        """Sequence of the newest record."""
        ...

    async def durable(self) -> int:
        """Waits until all records so far are on disk."""
        ...

    async def statuses(self) -> StatusList:
        """The full state."""
        ...


class Feed:
    """The newest records of this incarnation."""

    def __init__(self, limit: int) -> None:
        self._recent: deque[tuple[int, AnyRecord]] = deque()
        self._limit, self._weight = limit, 0
        self._arrived = asyncio.Event()

    def add(self, sequence: int, record: AnyRecord) -> None:
        """Keeps a record and wakes the followers."""
        self._recent.append((sequence, record))
        self._weight += _weight(record)
        while self._weight > self._limit and len(self._recent) > 1:
            self._weight -= _weight(self._recent.popleft()[1])
        if not self._arrived.is_set():
            self._arrived.set()

    async def follow(self, from_sequence: int, source: Source) -> AsyncIterator[tuple[int, bytes]]:
        """Yields (sequence, JSON) of everything after `from_sequence`, each only once it is durable.

        The first item is the full state (`"type": "State"`) when `from_sequence` is 0 or no longer in memory.
        """
        position = from_sequence
        if not self._reaches_back_to(position) or position > source.sequence:
            status = await source.statuses()
            position = status.sequence
            yield position, msgspec.json.encode({"type": "State", **msgspec.to_builtins(status)})
        while True:
            fresh = self._after(position)
            if not fresh:
                self._arrived = event = asyncio.Event() if self._arrived.is_set() else self._arrived
                await event.wait()
                continue
            if not self._reaches_back_to(position):  # this follower was too slow
                status = await source.statuses()
                position = status.sequence
                yield position, msgspec.json.encode({"type": "State", **msgspec.to_builtins(status)})
                continue
            await source.durable()
            for sequence, record in fresh:
                position = sequence
                yield sequence, encode_event(record)

    async def watch(self, from_sequence: int, source: Source) -> AsyncIterator[tuple[int, AnyRecord]]:
        """Yields (sequence, record) of what comes after `from_sequence`, each only once it is durable.

        For the process itself: what is no longer in memory when it is asked for is left out.
        """
        position = from_sequence
        while True:
            fresh = self._after(position)
            if not fresh:
                self._arrived = event = asyncio.Event() if self._arrived.is_set() else self._arrived
                await event.wait()
                continue
            await source.durable()
            for position, record in fresh:
                yield position, record

    def _reaches_back_to(self, sequence: int) -> bool:
        """Every record after `sequence` is still here."""
        return sequence > 0 and bool(self._recent) and self._recent[0][0] <= sequence + 1

    def _after(self, sequence: int) -> list[tuple[int, AnyRecord]]:
        fresh = []
        for entry in reversed(self._recent):
            if entry[0] <= sequence:
                break
            fresh.append(entry)
        fresh.reverse()
        return fresh


def _weight(record: AnyRecord) -> int:
    """How many attempts a record is about: one record may commit hundreds of tasks, and memory goes with those.

    A failure counts for as many as its texts have room for.
    """
    match record:
        case AttemptFailed(failure=failure):
            return 1 + (len(failure.message) + len(failure.traceback) + len(failure.record)) // ATTEMPT_BYTES
        case TasksCommitted():
            return len(record.commits)
        case LeasesGranted() | BackupsGranted():
            return len(record.grants)
        case LeasesReleased():
            return len(record.ids)
        case _:
            return 1


def encode_event(record: AnyRecord) -> bytes:
    """A record as JSON with its field names, `type` first."""
    return msgspec.json.encode({"type": type(record).__name__, **msgspec.structs.asdict(record)})
