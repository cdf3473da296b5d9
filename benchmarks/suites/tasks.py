"""Tasks that do nothing, as many as asked for: what the coordinator, its log and the workers' loop cost.

One file of as many lines, one line for each split, a mapper that yields nothing, no reduce phase. Every commit is
durable before it is acknowledged. Our rate counts everything from start to exit; the peer's only the time between the
first submission and the last result.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contest import hold_contest
from benchmarks.contestants import TASK_PEERS, ours, task_peer
from benchmarks.corpora import LINE_BYTES, make_lines
from benchmarks.machine import fdatasync_ms


def run_tasks(bench: Bench) -> dict[str, Any]:
    """Tasks in a second, the coordinator's peak memory, and the disk's fdatasync time beside them."""
    lines = make_lines(bench.tasks)
    options = ["--split-size", str(LINE_BYTES), "--reducers", "0"]
    us = ours("mr-no-op", "nothing.py", lines.files, workers=bench.workers, options=options, is_grouped=True)
    peers = [task_peer(name, bench.peer_tasks) for name in TASK_PEERS if name in bench.peers]
    peer_s: list[float] = []

    def note_duration(output: Path) -> dict[str, Any]:
        note = output / "tasks_s"
        if note.exists():
            peer_s.append(float(note.read_text()))
        return {}

    report = hold_contest(bench.rules, [us, *peers], input_bytes=lines.bytes, read_output=note_duration)
    del report["ratios"]  # of wall times for different numbers of tasks: the rates below are what compares
    wall_s = report["contestants"][us.name]["wall_s"]
    rates = {us.name: round(bench.tasks / wall_s, 1)}
    if peer_s:
        rates[peers[0].name] = round(bench.peer_tasks / statistics.median(peer_s), 1)
        report["rate_ratio"] = round(rates[us.name] / rates[peers[0].name], 2)
    return {
        "tasks": bench.tasks,
        "tasks_per_s": rates,
        "coordinator_peak_pss_mib": report["contestants"][us.name].get("peak_pss_mib_of", {}).get("coordinator"),
        "fdatasync_ms": fdatasync_ms(bench.rules.work),
        **report,
    }
