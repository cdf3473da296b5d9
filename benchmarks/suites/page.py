"""What viewers of the page cost: the no-op job with none and with five of them, in turn.

Beside the rates the processor time of the coordinator alone is told, the least of all rounds: other work on the machine
only ever adds to it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contest import Contestant, hold_contest
from benchmarks.contestants import HERE, ours
from benchmarks.corpora import LINE_BYTES, make_lines

VIEWERS = 5


def run_page(bench: Bench) -> dict[str, Any]:
    """Tasks in a second and the coordinator's processor time, with and without viewers."""
    lines = make_lines(bench.tasks)
    options = ["--split-size", str(LINE_BYTES), "--reducers", "0"]
    us = ours("no-viewers", "nothing.py", lines.files, workers=bench.workers, options=options)
    notes: dict[int, list[dict[str, Any]]] = {0: [], VIEWERS: []}

    def watched(count: int) -> Contestant:
        def command(output: Path) -> list[str]:
            note = output / f"note-{count}"
            return [sys.executable, str(HERE / "watched.py"), str(count), str(note), *us.command(output)]

        return Contestant(f"{count}-viewers", command, is_ours=True)

    def read_note(output: Path) -> dict[str, Any]:
        for count, found in notes.items():
            note = output / f"note-{count}"
            if note.exists():
                found.append(json.loads(note.read_text()))
        return {}

    report = hold_contest(bench.rules, [watched(0), watched(VIEWERS)], input_bytes=lines.bytes, read_output=read_note)
    cpu_s = {count: min(note["coordinator_cpu_s"] for note in found) for count, found in notes.items()}
    rates = {name: round(bench.tasks / facts["wall_s"], 1) for name, facts in report["contestants"].items()}
    return {
        "tasks": bench.tasks,
        "tasks_per_s": rates,
        "coordinator_cpu_s": cpu_s,
        "cpu_cost_percent": round((cpu_s[VIEWERS] / cpu_s[0] - 1) * 100, 2),
        "frames": notes[VIEWERS][-1]["frames"],
        "sent_mib": notes[VIEWERS][-1]["sent_mib"],
        **report,
    }
