"""W8, W9, W10: after the first failed call nothing is acknowledged any more, and a restart finds a sound log."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy

import pytest

from mapreduce.errors import Fenced, StorageFailed
from mapreduce.wal.log import Log, LogLimits
from tests.support.faultyfiles import Disk, FaultyFiles, failing_at
from tests.support.wallogs import FOLDER, Story, busy_life, open_files, open_log

FAILURES: dict[str, Callable[[], OSError]] = {
    "EIO": lambda: OSError(errno.EIO, "input/output error"),
    "ENOSPC": lambda: OSError(errno.ENOSPC, "no space left on device"),
    "EDQUOT": lambda: OSError(errno.EDQUOT, "quota exceeded"),
    "EINTR": lambda: InterruptedError(errno.EINTR, "interrupted"),
}


def assert_silent(log: Log) -> None:
    """The log never speaks nor writes again."""
    for attempt in (lambda: log.enqueue(b"x"), log.flush, log.mark, lambda: log.snapshot(b"", log.sequence)):
        with pytest.raises(StorageFailed):
            attempt()


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_at_any_file_call_ends_the_log_and_a_restart_is_clean(name: str) -> None:
    call_index, is_reached = 0, True
    while is_reached:
        disk, story = Disk(), Story()
        files = FaultyFiles(disk, failing_at(call_index, FAILURES[name]))
        log: Log | None = None
        try:
            log, recovery = open_files(files)
            story.resume(recovery)
            busy_life(log, story)
            is_reached = call_index < len(files.calls)
        except StorageFailed:
            if log is not None:
                written = len([call for call in files.calls if call == "write"])
                assert_silent(log)
                log.close()
                assert len([call for call in files.calls if call == "write"]) == written
        for losing in ("nothing", "everything"):
            survivor = disk.crash(0, losing)
            survivor.folders.add(FOLDER)
            _, recovery = open_log(survivor)
            story.check(recovery)
        call_index += 1
    assert call_index > 60


@pytest.mark.parametrize("write_limit", [1, 7, 40])
def test_short_writes_change_nothing(write_limit: int) -> None:
    disk, story = Disk(), Story()
    log, _ = open_files(FaultyFiles(disk, write_limit=write_limit))
    busy_life(log, story)
    _, recovery = open_log(disk)
    story.check(recovery)


def test_a_failed_sync_is_never_tried_again_on_the_same_descriptor() -> None:
    disk, story = Disk(), Story()
    files = FaultyFiles(disk, lambda call, _path: _fail_sync(files, call))
    log, _ = open_files(files)
    story.enqueue(log)
    story.flush(log)
    files.write_limit = 10_000  # the sign for the hook: now
    log.enqueue(b"never acknowledged")
    with pytest.raises(StorageFailed, match="Check the volume"):
        log.flush()
    files.write_limit = None
    assert_silent(log)
    _, recovery = open_log(disk.crash(0, "nothing"))
    story.check(recovery)


def _fail_sync(files: FaultyFiles, call: str) -> None:
    if call == "sync" and files.write_limit is not None:
        raise OSError(errno.EIO, "broken")


def test_a_disk_that_fills_up_at_any_byte_ends_the_log_and_goes_on_when_there_is_room() -> None:
    needed = _least_capacity()
    for capacity in range(1, needed + 40, 7):
        disk, story = Disk(capacity_bytes=capacity), Story()
        with pytest.raises(StorageFailed, match="Make room") if capacity < needed else nullcontext():
            log, _ = open_log(disk)
            busy_life(log, story)
        disk.capacity_bytes = None
        log, recovery = open_log(disk)
        story.resume(recovery)
        story.enqueue(log)
        story.flush(log)
        _, recovery = open_log(disk)
        story.check(recovery)


def _least_capacity() -> int:
    """Return how many bytes the busy life needs at once."""

    def watch(_call: str, _path: str) -> None:
        peaks.append(disk.used_bytes())

    disk, peaks = Disk(), [0]
    log, _ = open_log(disk, watch)
    busy_life(log, Story())
    return max(peaks)


def test_opening_on_a_full_disk_fails_only_when_it_must_write_and_leaves_no_heap() -> None:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    story.enqueue(log, 5)
    story.flush(log)
    disk.capacity_bytes = disk.used_bytes()
    before = deepcopy(disk)
    for _ in range(20):
        with pytest.raises(StorageFailed, match="Make room"):
            open_log(disk)
    assert len(disk.names()) <= len(before.names()) + 1 + 20, "claims are empty files"
    assert disk.used_bytes() == before.used_bytes()
    disk.capacity_bytes = None
    _, recovery = open_log(disk)
    story.check(recovery)
    assert len([name for name in disk.names() if name.startswith("epoch")]) == 1


def test_a_full_disk_costs_the_copy_of_the_torn_tail_and_nothing_else() -> None:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    story.enqueue(log, 3)
    story.flush(log)
    segment = next(path for path in disk.entries if path.endswith(".wal"))
    disk.entries[segment].seen += bytes(5000)
    disk.capacity_bytes = disk.used_bytes() + 500
    _, recovery = open_log(disk)
    story.check(recovery)
    assert any("no copy" in note for note in recovery.notes)
    assert not [name for name in disk.names() if name.endswith((".tmp", ".broken"))]


def test_a_closed_log_takes_nothing() -> None:
    log, _ = open_log(Disk())
    log.close()
    log.close()
    with pytest.raises(StorageFailed, match="closed"):
        log.enqueue(b"x")


def test_too_large_a_record_is_refused_and_harms_nothing() -> None:
    disk = Disk()
    log, _ = Log.open(FaultyFiles(disk), FOLDER, limits=LogLimits(record_bytes_max=10))
    with pytest.raises(ValueError, match="11 bytes"):
        log.enqueue(b"x" * 11)
    assert log.enqueue(b"x" * 10) == log.flush() == 1


def test_a_snapshot_of_the_future_or_the_past_is_refused_and_harms_nothing() -> None:
    log, _ = open_log(Disk())
    log.enqueue(b"x")
    log.snapshot(b"state", 1)
    for sequence in (0, 2):
        with pytest.raises(ValueError, match="snapshot of sequence"):
            log.snapshot(b"state", sequence)
    log.enqueue(b"y")
    assert log.flush() == 2


def test_an_unexpected_error_ends_the_log_too() -> None:
    def hook(call: str, _path: str) -> None:
        if call == "write" and armed:
            raise MemoryError

    armed: list[bool] = []
    log, _ = open_log(Disk(), hook)
    armed.append(True)
    log.enqueue(b"x")
    with pytest.raises(MemoryError):
        log.flush()
    assert_silent(log)


def test_being_fenced_is_final() -> None:
    disk = Disk()
    old, _ = open_log(disk)
    assert not old.is_fenced()
    new, _ = open_log(disk)
    assert old.is_fenced()
    assert not new.is_fenced()
    old.enqueue(b"x")
    for _ in range(2):
        with pytest.raises(Fenced):
            old.flush()
    assert old.durable_sequence == 0
    assert old.is_fenced()
    old.close()


def test_what_the_log_does_is_counted() -> None:
    log, _ = open_log(Disk())
    start = log.stats.fsync_count
    log.enqueue(b"12345678")
    log.enqueue(b"12345678")
    log.flush()
    log.flush()
    stats = log.stats
    assert (stats.fsync_count - start, stats.records) == (1, 2)
    assert stats.bytes == 144 + 2 * 40
    assert stats.fsync_slowest_s >= stats.fsync_last_s > 0
    assert stats.fsync_total_s >= stats.fsync_slowest_s


def test_what_a_replay_would_read_is_counted_across_incarnations_until_a_snapshot() -> None:
    disk = Disk()
    for count in (1, 2):
        log, _ = open_log(disk)
        log.enqueue(b"x" * 10_000)
        log.flush()
        assert 10_000 * count < log.stats.bytes_since_snapshot < 10_500 * count
        log.close()
    log, _ = open_log(disk)
    log.snapshot(b"state", log.sequence)
    assert log.stats.bytes_since_snapshot == 0
    log.enqueue(b"x" * 100)
    log.flush()
    assert 100 <= log.stats.bytes_since_snapshot < 200
    log.close()
