"""W1, W7, W11, W13: the process or the power may end at any file call, during recovery too, many times in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest

from mapreduce.wal.log import Log
from mapreduce.wal.names import list_log
from tests.support.faultyfiles import Crash, Disk, FaultyFiles, Losing, failing_at
from tests.support.wallogs import FOLDER, Story, busy_life, open_log

Ending = tuple[Losing, int]
POWER_CUTS: list[Ending] = [("nothing", 0), ("everything", 0), *[("any", seed) for seed in range(12)]]


def crashes_at_every_call(
    disk: Disk, before: Story, life: Callable[[Log, Story], None]
) -> Iterator[tuple[int, Disk, Story]]:
    """Yield, for every file call of opening the log and living, the disk and the story when the process ended there."""
    call_index = 0
    while True:
        at, story = deepcopy(disk), deepcopy(before)
        try:
            log, recovery = open_log(at, failing_at(call_index, Crash))
            story.resume(recovery)
            life(log, story)
        except Crash:
            yield call_index, at, story
            call_index += 1
        else:
            assert call_index > 20
            return


Old = tuple[Disk, Story]


@pytest.fixture(scope="module")
def old() -> Old:
    """A log with two generations of snapshots and a torn tail behind an unmarked record, and its story."""
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    for _ in range(3):
        story.enqueue(log, 2)
        story.snapshot(log)
    story.enqueue(log, 3)
    story.flush(log)
    newest = max(path for path in disk.entries if path.endswith(".wal"))
    disk.entries[newest].seen += b"torn"
    return disk, story


def test_a_process_killed_at_any_file_call_loses_nothing_that_was_acknowledged() -> None:
    for _, disk, story in crashes_at_every_call(Disk(), Story(), busy_life):
        log, recovery = open_log(disk)
        # What a dead process wrote is in the cache: a lost acknowledgement is not lost data.
        story.resume(recovery)
        story.enqueue(log)
        story.flush(log)
        _, recovery = open_log(disk)
        story.check(recovery)


def test_a_power_cut_at_any_file_call_loses_nothing_that_was_acknowledged_and_is_no_rot() -> None:
    for _, disk, story in crashes_at_every_call(Disk(), Story(), busy_life):
        for losing, seed in POWER_CUTS:
            survivor = disk.crash(seed, losing)
            survivor.folders.add(FOLDER)
            _, recovery = open_log(survivor)
            story.check(recovery)


def test_a_power_cut_after_a_killed_process_was_already_recovered_is_no_rot_either() -> None:
    """The successor must not seal what it saw in the cache and nobody synced."""
    for _, disk, story in crashes_at_every_call(Disk(), Story(), busy_life):
        log, recovery = open_log(disk)
        story.resume(recovery)
        story.enqueue(log)
        story.flush(log)
        story.enqueue(log)
        for losing, seed in POWER_CUTS:
            _, recovery = open_log(disk.crash(seed, losing))
            story.check(recovery)


def test_recovery_may_be_killed_at_any_file_call(old: Old) -> None:
    for _, disk, story in crashes_at_every_call(*old, lambda _log, _story: None):
        _, recovery = open_log(deepcopy(disk))
        story.check(recovery)
        for losing, seed in POWER_CUTS:
            _, recovery = open_log(disk.crash(seed, losing))
            story.check(recovery)


@pytest.mark.parametrize("losing", [None, "nothing", "any"])
def test_twenty_crashes_in_a_row_at_the_same_step_of_recovery_leave_no_growing_heap(
    old: Old, losing: Losing | None
) -> None:
    call_index, is_reached = 0, True
    while is_reached:
        disk, story = deepcopy(old)
        for round_index in range(20):
            try:
                open_log(disk, failing_at(call_index, Crash))
                is_reached = False
            except Crash:
                if losing is not None:
                    disk = disk.crash(round_index, losing)
        listing = list_log(FaultyFiles(disk), FOLDER)
        assert len(listing.segments) <= 6
        assert len(listing.temporary) <= 2
        assert len(listing.broken) <= 8
        _, recovery = open_log(disk)
        story.check(recovery)
        listing = list_log(FaultyFiles(disk), FOLDER)
        assert (len(listing.claims), listing.temporary, len(listing.snapshots)) == (1, (), 2)
        assert len(listing.segments) <= 4
        call_index += 1
    assert call_index > 20


def test_twenty_quiet_incarnations_leave_one_segment() -> None:
    disk, story = Disk(), Story()
    log, recovery = open_log(disk)
    for _ in range(20):
        log, recovery = open_log(disk)
        story.resume(recovery)
    assert len(disk.names()) == 2
    story.enqueue(log)
    story.flush(log)
    for _ in range(20):
        _, recovery = open_log(disk)
        story.check(recovery)
    assert len(list_log(FaultyFiles(disk), FOLDER).segments) == 1


def test_snapshots_for_ever_leave_two_generations() -> None:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    for _ in range(30):
        story.enqueue(log)
        story.snapshot(log)
        assert len(disk.names()) <= 1 + 2 + 3
    _, recovery = open_log(disk)
    story.check(recovery)


def test_a_claim_without_a_segment_is_a_normal_case() -> None:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    story.enqueue(log)
    story.flush(log)
    FaultyFiles(disk).create(f"{FOLDER}/epoch-0000000005")
    log, recovery = open_log(disk)
    assert log.epoch == 6
    story.check(recovery)
