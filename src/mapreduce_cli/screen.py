"""One screen about a job, drawn from frames by rich. What the frames say is `mapreduce.page`."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mapreduce.diagnosis.failuregroups import FailureGroup
from mapreduce.page.messages import Frame, WorkerView
from mapreduce.protocol.messages import TaskCounts
from mapreduce.units import format_count, format_duration, format_size

_STYLES = {"good": "green", "info": "", "warning": "yellow", "bad": "red"}
_MOST_WORKERS = 12
_MOST_FAILURES = 5


class Picture:
    """What is known of the job; drawn whenever rich asks."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self.is_connected = True
        self._workers: tuple[WorkerView, ...] = ()
        self._failures: tuple[FailureGroup, ...] = ()
        self._heard_s = time.monotonic()

    @property
    def state(self) -> str:
        """The job's state; empty before the first frame."""
        return self.frame.status.state if self.frame is not None else ""

    def take(self, frame: Frame) -> None:
        """Take over what a frame says."""
        self.frame, self._heard_s = frame, time.monotonic()
        if frame.workers is not None:
            self._workers = frame.workers
        if frame.failures is not None:
            self._failures = frame.failures

    def line(self) -> str:
        """Everything in one line, for places that are no terminal."""
        if self.frame is None:
            return "nothing is known yet"
        status = self.frame.status
        counts = [f"maps {status.maps.committed}/{status.maps.total}"]
        if status.reduces.total:
            counts.append(f"reduces {status.reduces.committed}/{status.reduces.total}")
        return f"{status.name}  {status.state}  {', '.join(counts)}  {self.frame.head.sentence}"

    def __rich__(self) -> Any:
        if self.frame is None:
            return Text("waiting for the coordinator")
        parts: list[Any] = [self._head(), self._bars()]
        if self._workers:
            parts.append(self._worker_table())
        if self._failures:
            parts.append(self._failure_table())
        if self.frame.status.counters:
            parts.append(self._counters())
        parts.append(Text("Ctrl-C ends the looking, not the job", style="dim"))
        return Group(*parts)

    def _head(self) -> Panel:
        assert self.frame is not None
        status, head = self.frame.status, self.frame.head
        begun_at = status.started_at or status.submitted_at
        now_at = status.finished_at or self.frame.at + (time.monotonic() - self._heard_s if self.is_connected else 0.0)
        text = Text(f"{head.sentence}.", style=_STYLES[head.severity])
        if head.fix:
            text.append(f"\n{head.fix}", style="dim")
        for verdict in self.frame.verdicts.values():
            text.append(f"\n{verdict}", style="dim")
        title = f"{status.name}  {status.state}  {format_duration(max(0.0, now_at - begun_at))}"
        if not self.is_connected:
            title += "  NO CONNECTION"
        return Panel(text, title=title, title_align="left")

    def _bars(self) -> Table:
        assert self.frame is not None
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column()
        table.add_column(ratio=1)
        table.add_column(justify="right")
        for name, counts in (("map", self.frame.status.maps), ("reduce", self.frame.status.reduces)):
            if counts.total:
                table.add_row(name, ProgressBar(total=counts.total, completed=counts.committed), _counts(counts))
        return table

    def _worker_table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("WORKER", "SLOTS", "LEASED", "BUSY", "LAST HEARD"):
            table.add_column(title, justify="left" if title == "WORKER" else "right")
        here = [worker for worker in self._workers if worker.is_here]
        for worker in here[:_MOST_WORKERS]:
            busy_s = sum(worker.step_s.values())
            table.add_row(
                worker.name,
                str(worker.slots),
                str(worker.leased),
                format_duration(busy_s),
                f"{format_duration(worker.silent_s)} ago",
            )
        if len(here) > _MOST_WORKERS:
            table.add_row(f"and {len(here) - _MOST_WORKERS} more", "", "", "", "")
        return table

    def _failure_table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("FAILURES")
        table.add_column("", justify="right")
        table.add_column("")
        for group in self._failures[:_MOST_FAILURES]:
            table.add_row(Text(group.title, style="red"), f"{group.count}x", ", ".join(group.tasks[:4]))
        return table

    def _counters(self) -> Text:
        assert self.frame is not None
        status = self.frame.status
        shown = [f"{name} {format_count(count)}" for name, count in sorted(status.counters.items())[:12]]
        return Text(f"input {format_size(status.input_bytes)}   " + "   ".join(shown), style="dim")


def _counts(counts: TaskCounts) -> str:
    running = f", {counts.running} leased" if counts.running else ""
    failed = f", {counts.attempts_failed} failed" if counts.attempts_failed else ""
    return f"{counts.committed}/{counts.total}{running}{failed}"
