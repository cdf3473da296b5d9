"""Group commit: who waits for which flush, and what becomes of everyone when one fails."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import pytest

from mapreduce.errors import Fenced, StorageFailed
from mapreduce.wal.files import LocalFiles
from mapreduce.wal.groupcommit import GroupCommit
from mapreduce.wal.log import Log
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.wallogs import history_of, open_files, open_log

T = TypeVar("T")


async def inline(call: Callable[[], T]) -> T:
    return call()


class HeldBack:
    """Runs blocking calls only when the test lets them, and counts them."""

    def __init__(self) -> None:
        self.gate, self.done = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.call_count = 0

    async def __call__(self, call: Callable[[], T], /) -> T:
        self.call_count += 1
        await self.gate.wait()
        try:
            return call()
        finally:
            self.done.set()


class Bench:
    """A log in memory with its group commit and what it reported."""

    def __init__(self, *, idle_s: float = 3600.0) -> None:
        self.disk = Disk()
        self.is_broken = False
        self.files = FaultyFiles(self.disk, self._hook)
        self.log, _ = open_files(self.files)
        self.run = HeldBack()
        self.failures: list[BaseException] = []
        self.commit = GroupCommit(self.log, run_blocking=self.run, on_failure=self.failures.append, idle_s=idle_s)

    def _hook(self, call: str, _path: str) -> None:
        if call == "sync" and self.is_broken:
            raise OSError(errno.EIO, "broken disk")

    def enqueue(self) -> Awaitable[None]:
        return asyncio.ensure_future(self.commit.durable(self.log.enqueue(b"x")))


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_all_who_enqueue_in_one_turn_share_one_flush() -> None:
    async def test() -> None:
        bench = Bench()
        await asyncio.gather(*(bench.enqueue() for _ in range(100)))
        assert bench.run.call_count == 1
        assert bench.log.durable_sequence == 100
        await bench.commit.close()

    run(test)


def test_those_who_come_during_a_flush_share_the_next_one() -> None:
    async def test() -> None:
        bench = Bench()
        bench.run.gate.clear()
        early = bench.enqueue()
        await turns()
        late = [bench.enqueue() for _ in range(5)]
        await turns()
        assert bench.run.call_count == 1
        bench.run.gate.set()
        await asyncio.gather(early, *late)
        assert bench.run.call_count == 2
        await bench.commit.close()

    run(test)


def test_what_is_durable_already_costs_no_flush() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.enqueue()
        await bench.commit.durable(1)
        await bench.commit.durable(0)
        assert bench.run.call_count == 1
        await bench.commit.close()

    run(test)


def test_a_cancelled_waiter_does_not_disturb_the_others() -> None:
    async def test() -> None:
        bench = Bench()
        bench.run.gate.clear()
        first, second = asyncio.ensure_future(bench.enqueue()), asyncio.ensure_future(bench.enqueue())
        await turns()
        first.cancel()
        await turns()
        bench.run.gate.set()
        await second
        assert first.cancelled()
        await bench.commit.close()

    run(test)


def test_after_an_idle_moment_one_mark_follows_and_no_second() -> None:
    async def test() -> None:
        bench = Bench(idle_s=0.001)
        await bench.enqueue()
        bytes_before = bench.log.stats.bytes
        bench.run.done.clear()
        await bench.run.done.wait()
        assert bench.log.stats.bytes == bytes_before + 32
        await turns()
        assert bench.commit._idle_timer is None
        await bench.commit.close()

    run(test)


def test_a_failed_flush_is_told_to_every_waiter_once_to_the_host_and_to_all_who_come_later() -> None:
    async def test() -> None:
        bench = Bench()
        bench.run.gate.clear()
        early = [bench.enqueue() for _ in range(3)]
        await turns()
        late = [bench.enqueue() for _ in range(3)]
        snapshot = asyncio.ensure_future(bench.commit.snapshot(b"", 0))
        await turns()
        bench.is_broken = True
        bench.run.gate.set()
        results = await asyncio.gather(*early, *late, snapshot, return_exceptions=True)
        assert len(bench.failures) == 1
        assert isinstance(bench.failures[0], StorageFailed)
        assert all(result is bench.failures[0] for result in results)
        with pytest.raises(StorageFailed, match="broken disk"):
            await bench.commit.durable(0)
        with pytest.raises(StorageFailed, match="broken disk"):
            await bench.commit.confirm()
        await bench.commit.close()
        assert len(bench.failures) == 1

    run(test)


def test_a_failed_mark_is_fatal_too() -> None:
    async def test() -> None:
        bench = Bench(idle_s=0.001)
        await bench.enqueue()
        bench.is_broken = True
        bench.run.done.clear()
        await bench.run.done.wait()
        await turns()
        assert len(bench.failures) == 1
        with pytest.raises(StorageFailed):
            await bench.enqueue()

    run(test)


def test_a_fenced_log_confirms_nothing_although_nothing_was_to_be_written() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.enqueue()
        await bench.commit.confirm()
        open_log(bench.disk)
        with pytest.raises(Fenced):
            await bench.commit.confirm()
        assert isinstance(bench.failures[0], Fenced)
        await bench.commit.close()

    run(test)


def test_a_snapshot_runs_between_flushes_and_those_who_wait_are_served() -> None:
    async def test() -> None:
        bench = Bench()
        waiters = [bench.enqueue() for _ in range(3)]
        await turns(1)
        await asyncio.gather(bench.commit.snapshot(b"a\nb\nc", 3), *waiters, bench.enqueue())
        await bench.commit.close()
        _, recovery = open_log(bench.disk)
        assert history_of(recovery) == [b"a", b"b", b"c", b"x"]

    run(test)


def test_an_impossible_snapshot_is_refused_and_harms_nothing() -> None:
    async def test() -> None:
        bench = Bench()
        with pytest.raises(ValueError, match="snapshot of sequence"):
            await bench.commit.snapshot(b"", 1)
        await bench.enqueue()
        await bench.commit.close()

    run(test)


def test_closing_writes_what_is_enqueued_and_ends_all() -> None:
    async def test() -> None:
        bench = Bench()
        waiter = bench.enqueue()
        await turns(1)
        bench.log.enqueue(b"nobody waits for this")
        await bench.commit.close()
        await bench.commit.close()
        await waiter
        with pytest.raises(StorageFailed, match="closed"):
            await bench.commit.durable(1)
        _, recovery = open_log(bench.disk)
        assert len(recovery.records) == 2

    run(test)


def test_a_failure_while_closing_is_raised() -> None:
    async def test() -> None:
        bench = Bench()
        bench.log.enqueue(b"x")
        bench.is_broken = True
        with pytest.raises(StorageFailed, match="broken disk"):
            await bench.commit.close()
        assert len(bench.failures) == 1

    run(test)


def test_sixty_four_waiters_get_tens_of_thousands_of_durable_records_a_second(tmp_path: Path) -> None:
    """On real files in a thread. The bound is a tenth of the aim, so that a busy machine does not fail it."""

    async def test() -> None:
        loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(1)

        def in_thread(call: Callable[[], T]) -> Awaitable[T]:
            return loop.run_in_executor(pool, call)

        log, _ = Log.open(LocalFiles(), str(tmp_path / "log"))
        commit = GroupCommit(log, run_blocking=in_thread, on_failure=lambda error: None)

        async def waiter() -> None:
            for _ in range(100):
                await commit.durable(log.enqueue(b"x" * 100))

        started = perf_counter()
        await asyncio.gather(*(waiter() for _ in range(64)))
        elapsed_s = perf_counter() - started
        assert log.stats.records == 6400
        assert log.stats.fsync_count < 6400 / 8
        assert 6400 / elapsed_s > 2_000
        await commit.close()
        pool.shutdown()

    run(test)
