"""Streams of events: everything after a sequence, only what is durable, and the full state for who is too late."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mapreduce.coordinator.feed import Feed, encode_event
from mapreduce.protocol import messages as m
from mapreduce.protocol.messages import StatusList
from mapreduce.scheduling import records
from tests.support.running import runs


class Coordinator:
    """What a feed needs of one."""

    def __init__(self, backlog: int = 100, before: int = 0) -> None:
        self.feed, self.sequence, self.is_durable = Feed(backlog), before, asyncio.Event()
        self.is_durable.set()

    def record(self, count: int = 1) -> None:
        for _ in range(count):
            self.sequence += 1
            self.feed.add(self.sequence, records.WorkerLeft(f"w{self.sequence}", 0.0))

    async def durable(self) -> int:
        await self.is_durable.wait()
        return self.sequence

    async def statuses(self) -> StatusList:
        return StatusList(jobs=(), epoch=1, sequence=self.sequence)

    async def read(self, from_sequence: int, count: int) -> list[tuple[int, str]]:
        """The first `count` events: sequence and type."""
        read: list[tuple[int, str]] = []
        stream = self.feed.follow(from_sequence, self)
        async for sequence, body in stream:
            event: dict[str, Any] = msgspec.json.decode(body)
            read.append((sequence, event["type"]))
            if len(read) == count:
                break
        return read


@runs
async def test_who_begins_gets_the_state_and_then_what_happens() -> None:
    source = Coordinator(before=5)
    reading = asyncio.create_task(source.read(0, 3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.record(2)
    assert await reading == [(5, "State"), (6, "WorkerLeft"), (7, "WorkerLeft")]


@runs
async def test_who_comes_back_gets_exactly_what_he_missed() -> None:
    source = Coordinator()
    source.record(6)
    assert await source.read(3, 3) == [(4, "WorkerLeft"), (5, "WorkerLeft"), (6, "WorkerLeft")]


@runs
async def test_who_is_too_late_gets_the_full_state() -> None:
    source = Coordinator(backlog=3)
    source.record(10)
    assert await source.read(2, 1) == [(10, "State")]
    assert await source.read(7, 1) == [(8, "WorkerLeft")]


@runs
async def test_who_comes_from_a_future_that_never_was_gets_the_full_state() -> None:
    source = Coordinator()
    source.record(2)
    assert await source.read(9, 1) == [(2, "State")]


@runs
async def test_who_is_too_slow_gets_the_full_state_in_between() -> None:
    source = Coordinator(backlog=3)
    source.record(2)
    stream = source.feed.follow(1, source)
    assert (await anext(stream))[0] == 2
    source.record(10)
    sequence, body = await anext(stream)
    assert (sequence, msgspec.json.decode(body)["type"]) == (12, "State")


@runs
async def test_nothing_is_told_before_it_is_durable() -> None:
    source = Coordinator()
    source.record()
    source.is_durable.clear()
    source.record()
    following = asyncio.create_task(source.read(1, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not following.done()
    source.is_durable.set()
    assert await following == [(2, "WorkerLeft")]


@runs
async def test_several_follow_at_once() -> None:
    source = Coordinator()
    source.record()
    reading = [asyncio.create_task(source.read(1, 2)) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    source.record(2)
    for read in reading:
        assert [sequence for sequence, _ in await read] == [2, 3]


def test_an_event_is_its_record_with_names() -> None:
    event = msgspec.json.decode(encode_event(records.JobStarted(7, 1.5)))
    assert event == {"type": "JobStarted", "job": 7, "at": 1.5}


@runs
async def test_a_record_of_many_attempts_takes_the_room_of_many() -> None:
    source = Coordinator(backlog=10)
    source.record(1)
    for _ in range(4):
        source.sequence += 1
        grants = tuple(records.Grant(index, 1) for index in range(5))
        source.feed.add(source.sequence, records.LeasesGranted("w", 1, 1, "map", grants, 0.0))
    assert await source.read(3, 2) == [(4, "LeasesGranted"), (5, "LeasesGranted")]
    assert await source.read(1, 1) == [(5, "State")]


@runs
async def test_a_failure_takes_the_room_of_its_traceback() -> None:
    source = Coordinator(backlog=100)
    failed = m.AttemptId(job=1, kind="map", index=0, epoch=1, attempt=1)
    failure = m.Failure(failure_class="user", message="no", traceback="x" * 40_000)
    for _ in range(4):
        source.sequence += 1
        source.feed.add(source.sequence, records.AttemptFailed("w", failed, failure, 0.0))
    assert await source.read(2, 2) == [(3, "AttemptFailed"), (4, "AttemptFailed")]
    assert await source.read(1, 1) == [(4, "State")]
