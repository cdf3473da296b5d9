"""The queue of jobs: one look at a time for each, causes merged, failures tried again, whatever kind they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from mapreduce_operator import queueing
from mapreduce_operator.progress import Address, Coordinators, NoAnswer
from mapreduce_operator.queueing import Key, Queue

A, B = Key("team", "a"), Key("team", "b")
_PATIENCE_S = 20.0


@asynccontextmanager
async def _running(look: Callable[[Key], Awaitable[float | None]], at_once: int = 4) -> AsyncIterator[Queue]:
    queue = Queue(look, at_once=at_once)
    task = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield queue
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "_FIRST_RETRY_S", 0.01)


def test_a_job_is_looked_at_by_one_at_a_time_and_once_more_for_what_came_meanwhile() -> None:
    async def story() -> None:
        looks, at_work, begun, goes_on = 0, 0, asyncio.Event(), asyncio.Event()
        done = asyncio.Event()

        async def look(_key: Key) -> float | None:
            nonlocal looks, at_work
            looks, at_work = looks + 1, at_work + 1
            assert at_work == 1
            begun.set()
            await goes_on.wait()
            at_work -= 1
            if looks == 2:
                done.set()
            return None

        async with _running(look) as queue:
            queue.add(A)
            await begun.wait()
            for _ in range(5):
                queue.add(A)
            goes_on.set()
            await done.wait()
            await asyncio.sleep(queueing._BURST_S * 3)
            assert looks == 2
            assert len(queue) == 0

    asyncio.run(story())


def test_several_jobs_are_looked_at_at_once_but_not_more_than_wanted() -> None:
    async def story() -> None:
        at_work, most, left = 0, 0, 6
        done = asyncio.Event()

        async def look(_key: Key) -> float | None:
            nonlocal at_work, most, left
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.01)
            at_work, left = at_work - 1, left - 1
            if not left:
                done.set()
            return None

        async with _running(look, at_once=2) as queue:
            for number in range(6):
                queue.add(Key("team", str(number)))
            await done.wait()
        assert most == 2

    asyncio.run(story())


def test_a_look_is_repeated_when_it_is_due() -> None:
    async def story() -> None:
        looks, done = 0, asyncio.Event()

        async def look(_key: Key) -> float | None:
            nonlocal looks
            looks += 1
            if looks == 3:
                done.set()
                return None
            return 0.01

        async with _running(look) as queue:
            queue.add(A)
            await done.wait()

    asyncio.run(story())


def test_an_earlier_time_replaces_a_later_one() -> None:
    async def story() -> None:
        done = asyncio.Event()

        async def look(_key: Key) -> float | None:
            done.set()
            return None

        async with _running(look) as queue:
            queue.add(A, in_s=3_600)
            queue.add(A)
            await done.wait()
            assert len(queue) <= 1

    asyncio.run(story())


@pytest.mark.parametrize("error", [RuntimeError("a bug"), asyncio.CancelledError()], ids=["bug", "leaked cancellation"])
def test_a_look_that_fails_is_made_again(error: BaseException) -> None:
    """A request that is cancelled inside a library must not end the looks at that job for ever."""

    async def story() -> None:
        looks, done = 0, asyncio.Event()

        async def look(_key: Key) -> float | None:
            nonlocal looks
            looks += 1
            if looks < 3:
                raise error
            done.set()
            return None

        async with _running(look) as queue:
            queue.add(A)
            await done.wait()

    asyncio.run(story())


def test_stopping_cuts_off_what_is_going_on() -> None:
    async def story() -> None:
        begun = asyncio.Event()

        async def look(_key: Key) -> float | None:
            begun.set()
            await asyncio.Event().wait()
            return None

        async with _running(look) as queue:
            queue.add(A)
            await begun.wait()
            await queue.stop()
            queue.add(B)
            assert not queue._working

    asyncio.run(story())


def test_a_look_up_of_a_name_that_another_request_gave_up_is_no_answer_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiohttp cancels all requests that wait for one look-up together with the first that runs out of time."""

    async def story() -> None:
        coordinators = Coordinators()

        def request(*_args: object, **_options: object) -> object:
            raise asyncio.CancelledError

        monkeypatch.setattr(aiohttp.ClientSession, "request", request)
        try:
            with pytest.raises(NoAnswer):
                await coordinators.progress(Address(url="http://nowhere", token="t"))
        finally:
            await coordinators.close()

    asyncio.run(story())
