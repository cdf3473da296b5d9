"""A job's attempts in Chrome's trace format, which Perfetto opens: one process a worker, one thread a slot. Pure.

Complete events of one thread have to nest, and attempts of one slot follow each other; attempts that a worker held and
had not begun do not appear, so the number of threads is that of its slots, or a little more where clocks disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mapreduce.page.lanes import Box, boxes_of
from mapreduce.scheduling.attemptlog import AttemptEnd, AttemptLog

_OUTCOMES: Final = {
    AttemptEnd.RUNNING: "running",
    AttemptEnd.COMMITTED: "committed",
    AttemptEnd.FAILED: "failed",
    AttemptEnd.RELEASED: "given back",
    AttemptEnd.LOST: "lost",
}
#: Names that Perfetto has colours for.
_COLOURS: Final = {AttemptEnd.FAILED: "terrible", AttemptEnd.LOST: "bad", AttemptEnd.RELEASED: "grey"}


def chrome_trace(
    log: AttemptLog, names: Mapping[int, str], slots: Mapping[int, int], *, title: str, now_at: float
) -> bytes:
    """The trace as JSON. `names` and `slots` are by worker number; running attempts last until `now_at`."""
    boxes = boxes_of(log, slots, now_at)
    begun_at = min((box.start_at for box in boxes), default=0.0)
    events: list[dict[str, Any]] = []
    lanes: dict[int, int] = {}
    for box in boxes:
        worker = log.worker[box.row]
        lanes[worker] = max(lanes.get(worker, 0), box.lane + 1)
        events.append(_event(log, box, begun_at))
    heads: list[dict[str, Any]] = []
    for worker, count in sorted(lanes.items()):
        heads.append(_meta("process_name", worker, 0, {"name": names.get(worker, f"worker {worker}")}))
        heads += [_meta("thread_name", worker, lane + 1, {"name": f"slot {lane}"}) for lane in range(count)]
    whole = {
        "traceEvents": heads + events,
        "displayTimeUnit": "ms",
        "otherData": {"job": title, "begun_at_utc_s": round(begun_at, 6)},
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def _event(log: AttemptLog, box: Box, begun_at: float) -> dict[str, Any]:
    row = box.row
    kind, end = ("reduce" if log.kind[row] else "map"), log.end[row]
    event: dict[str, Any] = {
        "ph": "X",
        "name": f"{kind}-{log.index[row]}",
        "cat": f"{kind},{_OUTCOMES[end]}",
        "ts": round((box.start_at - begun_at) * 1e6),
        "dur": max(0, round((box.end_at - box.start_at) * 1e6)),
        "pid": log.worker[row],
        "tid": box.lane + 1,
        "args": {
            "attempt": log.number[row],
            "outcome": _OUTCOMES[end],
            "waited_s": round(max(0.0, box.start_at - log.start_at[row]), 6),
        },
    }
    if end in _COLOURS:
        event["cname"] = _COLOURS[end]
    return event


def _meta(name: str, pid: int, tid: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}
