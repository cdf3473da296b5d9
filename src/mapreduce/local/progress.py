"""How far a job is, on a terminal as live bars, elsewhere as one plain line each five seconds, on stderr.

What a job's status means is the coordinator's business; how it ended is said by whoever started it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from mapreduce.protocol.messages import FINAL_STATES, JobStatus, TaskCounts
from mapreduce.units import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S: Final = 5.0
REDRAW_PER_S: Final = 5
_ECHO_COLUMNS: Final = 3


def make_watcher(stream: TextIO | None = None) -> PlainWatcher | BarsWatcher:
    """The watcher that fits where stderr goes."""
    stream = sys.stderr if stream is None else stream
    return BarsWatcher(stream) if stream.isatty() else PlainWatcher(stream)


class PlainWatcher:
    """One line each five seconds, and one for each change of state."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now_s = stream, now_s
        self._started_s = self._last_line_s = now_s()

    def notice(self, text: str) -> None:
        """Print a sentence."""
        print(f"mr: {text}", file=self._stream, flush=True)

    def progress(self, status: JobStatus) -> None:
        """Print a line if the last one is old enough; how a job has ended is said elsewhere."""
        now_s = self._now_s()
        if now_s - self._last_line_s < LINE_EVERY_S or status.state in FINAL_STATES:
            return
        self._last_line_s = now_s
        self.notice(f"[{format_duration(now_s - self._started_s)}] {describe_progress(status)}")

    def close(self) -> None:
        """Nothing was taken."""


class BarsWatcher:
    """Two bars, map and shuffle/reduce, with elapsed time and an estimate of the rest."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: tuple[Progress, TaskID, TaskID] | None = None
        self._is_over = False

    def notice(self, text: str) -> None:
        """Print a sentence above the bars."""
        if self._bars is None:
            print(f"mr: {text}", file=self._stream, flush=True)
        else:
            self._bars[0].console.print(f"mr: {text}", markup=False, highlight=False)

    def progress(self, status: JobStatus) -> None:
        """Move the bars."""
        self._is_over = status.state in FINAL_STATES
        if not status.maps.total:
            return
        if self._bars is None:
            self._bars = self._start(status)
        progress, maps, reduces = self._bars
        progress.update(maps, completed=status.maps.committed, total=status.maps.total, note=_note(status.maps, status))
        if status.reduces.total:
            note = "waits for all maps" if status.state == "Mapping" else _note(status.reduces, status)
            progress.update(
                reduces, completed=status.reduces.committed, total=status.reduces.total, note=note, visible=True
            )
            if status.state != "Mapping":
                progress.start_task(reduces)

    def close(self) -> None:
        """Give the terminal back. Bars of a job that has ended stay; of one that goes on or was stopped, none do."""
        if self._bars is not None:
            self._bars[0].live.transient = not self._is_over
            self._bars[0].stop()
            self._bars = None

    def _start(self, status: JobStatus) -> tuple[Progress, TaskID, TaskID]:
        from rich.console import Console, ConsoleDimensions
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        class RoomForEcho(Console):
            """Leaves room for the `^C` that a terminal echoes: wrapped, it would push a bar out of what is redrawn."""

            @property  # type: ignore[misc] # it is never set here
            def size(self) -> ConsoleDimensions:
                width, height = super().size
                return ConsoleDimensions(max(1, width - _ECHO_COLUMNS), height)

        progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=RoomForEcho(file=self._stream),
            refresh_per_second=REDRAW_PER_S,
            expand=True,
        )
        maps = progress.add_task("map", total=None, note="", completed=status.resumed_maps)
        reduces = progress.add_task(
            "shuffle/reduce", total=None, note="", start=False, visible=False, completed=status.resumed_reduces
        )
        progress.start()
        return progress, maps, reduces


def describe_progress(status: JobStatus) -> str:
    """One line about a job that runs: `Mapping: maps 37/64 (2 running), reduces 0/4, 2 workers`."""
    parts = []
    if status.maps.total:
        parts.append(f"maps {_fraction(status.maps)}")
    if status.reduces.total:
        parts.append(f"reduces {_fraction(status.reduces)}")
    parts.append(f"{status.workers} worker{'' if status.workers == 1 else 's'}")
    failed = status.maps.attempts_failed + status.reduces.attempts_failed
    if failed:
        parts.append(f"{failed} failed attempt{'' if failed == 1 else 's'}")
    return f"{status.state}: " + ", ".join(parts)


def _fraction(counts: TaskCounts) -> str:
    running = f" ({counts.running} running)" if counts.running else ""
    return f"{counts.committed}/{counts.total}{running}"


def _note(counts: TaskCounts, status: JobStatus) -> str:
    if counts.attempts_failed:
        return f"{counts.attempts_failed} failed attempt{'' if counts.attempts_failed == 1 else 's'}"
    if counts.running:
        return f"{counts.running} running"
    return "" if status.workers or counts.committed == counts.total else "waits for workers"
