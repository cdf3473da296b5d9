"""Which slot of its worker an attempt ran in, and from when to when. Pure; `static/lanes.js` does the same in browsers.

The log says when a lease was granted and when its end was logged. Workers hold attempts that they have not begun, and
hand in several at once; but each says how long it ran. So those that ended together are laid one behind the other,
backwards from that moment, each in the slot where it leaves the least room; nothing begins before the end of what was
in the slot before it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mapreduce.scheduling.attemptlog import AttemptEnd, AttemptLog


class Box(msgspec.Struct, frozen=True):
    """One attempt in its place."""

    row: int
    lane: int
    """Slot of the worker, from 0."""
    start_at: float
    end_at: float


def boxes_of(log: AttemptLog, slots: Mapping[int, int], now_at: float) -> list[Box]:
    """The attempts that ran, by worker and time. `slots` are by worker number; unknown ones have one."""
    by_worker: dict[int, list[int]] = {}
    for row, worker in enumerate(log.worker):
        by_worker.setdefault(worker, []).append(row)
    boxes: list[Box] = []
    for worker in sorted(by_worker):
        boxes += _of_worker(log, by_worker[worker], max(1, slots.get(worker, 1)), now_at)
    return boxes


def _of_worker(log: AttemptLog, rows: list[int], slot_count: int, now_at: float) -> list[Box]:
    free_at = [0.0] * slot_count
    boxes: list[Box] = []
    done = sorted((row for row in rows if _ran(log, row)), key=lambda row: (log.end_at[row], row))
    place = 0
    while place < len(done):
        end_at = log.end_at[done[place]]
        together = [done[place]]
        while place + len(together) < len(done) and log.end_at[done[place + len(together)]] == end_at:
            together.append(done[place + len(together)])
        place += len(together)
        boxes += _lay(log, together, free_at, end_at)
    running = [row for row in rows if log.end[row] == AttemptEnd.RUNNING]
    for row in running[:slot_count]:  # those behind them wait in the worker
        lane = min(range(slot_count), key=lambda number: (free_at[number], number))
        start_at = max(log.start_at[row], free_at[lane])
        free_at[lane] = max(start_at, now_at)
        boxes.append(Box(row, lane, start_at, max(start_at, now_at)))
    return boxes


def _best_lane(free_at: list[float], ends: list[float], run_s: float) -> int:
    """The slot in which an attempt leaves the least room, or the one with most room if it fits in none."""
    best, least_s, roomiest, most_s = -1, float("inf"), 0, float("-inf")
    for lane, begun_at in enumerate(free_at):
        room_s = ends[lane] - begun_at
        if room_s > most_s:
            roomiest, most_s = lane, room_s
        if 0 <= room_s - run_s < least_s:
            best, least_s = lane, room_s - run_s
    return roomiest if best < 0 else best


def _ran(log: AttemptLog, row: int) -> bool:
    """Attempts that were given back or lost without a word of how long they ran may never have begun."""
    return log.end[row] not in {AttemptEnd.RUNNING, AttemptEnd.RELEASED} or log.run_s[row] > 0


def _lay(log: AttemptLog, rows: list[int], free_at: list[float], end_at: float) -> list[Box]:
    """Those that ended together, the last one ending at `end_at`."""
    ends = [end_at] * len(free_at)
    boxes = []
    for row in reversed(rows):
        run_s = log.run_s[row] or end_at - log.start_at[row]
        lane = _best_lane(free_at, ends, run_s)
        stop_at = max(ends[lane], free_at[lane])
        start_at = min(stop_at, max(stop_at - run_s, free_at[lane]))
        ends[lane] = start_at
        boxes.append(Box(row, lane, start_at, stop_at))
    for lane, end in enumerate(ends):
        if end < end_at:
            free_at[lane] = end_at
    boxes.reverse()
    return boxes
