from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mapreduce.coordinator.events import PING, event_bytes, send_events
from mapreduce.coordinator.limits import HttpSettings
from tests.support.running import runs


def test_line_ends_in_the_data_do_not_end_the_event() -> None:
    assert event_bytes(5, b"a\nb\r\nc") == b"id: 5\ndata: a\ndata: b\ndata: c\n\n"


@runs
async def test_a_slow_viewer_gets_the_full_state_instead_of_a_growing_buffer() -> None:
    asked: list[int] = []
    overrun = asyncio.Event()
    written: list[bytes] = []

    async def subscribe(from_sequence: int) -> AsyncIterator[tuple[int, bytes]]:
        asked.append(from_sequence)
        if from_sequence == 0:
            yield 1_000, b"the full state"
            return
        try:
            for sequence in range(from_sequence, 1_000):
                yield sequence, b"x" * 100
                await asyncio.sleep(0)
        finally:
            overrun.set()

    async def write(chunk: bytes) -> None:
        written.append(chunk)
        await overrun.wait()

    await send_events(subscribe, 5, write, HttpSettings(event_buffer_bytes=1_000))
    assert asked == [5, 0]
    assert written[-1] == event_bytes(1_000, b"the full state")
    assert sum(map(len, written)) < 2_000


@runs
async def test_a_state_larger_than_the_buffer_is_sent_all_the_same() -> None:
    written: list[bytes] = []

    async def subscribe(_: int) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"x" * 5_000

    async def write(chunk: bytes) -> None:
        written.append(chunk)

    await send_events(subscribe, 0, write, HttpSettings(event_buffer_bytes=1_000))
    assert b"".join(written) == event_bytes(1, b"x" * 5_000)


@runs
async def test_silence_is_filled_with_pings() -> None:
    pinged = asyncio.Event()

    async def subscribe(_: int) -> AsyncIterator[tuple[int, bytes]]:
        await pinged.wait()
        yield 1, b"late"

    written: list[bytes] = []

    async def write(chunk: bytes) -> None:
        written.append(chunk)
        pinged.set()

    await send_events(subscribe, 0, write, HttpSettings(ping_s=0.02))
    assert written[0] == PING
    assert written[-1] == event_bytes(1, b"late")


@runs
async def test_a_viewer_that_takes_nothing_is_given_up_and_its_subscription_ends() -> None:
    is_ended = False

    async def subscribe(_: int) -> AsyncIterator[tuple[int, bytes]]:
        nonlocal is_ended
        try:
            yield 1, b"x"
            await asyncio.Event().wait()
        finally:
            is_ended = True

    async def write(_: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await send_events(subscribe, 0, write, HttpSettings(stall_s=0.05))
    assert is_ended


@runs
async def test_an_error_of_the_subscription_is_raised() -> None:
    async def subscribe(_: int) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"x"
        raise ZeroDivisionError

    async def write(_: bytes) -> None: ...

    with pytest.raises(ZeroDivisionError):
        await send_events(subscribe, 0, write, HttpSettings())
