"""How far a job is, as a display in a notebook's cell that is replaced as it goes on.

What shows it is given (`IPython.display.display`); nothing of IPython is imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any, Final

from mapreduce.local.progress import describe_progress
from mapreduce.protocol.messages import FINAL_STATES, JobStatus, TaskCounts
from mapreduce.units import format_duration

_REDRAW_EVERY_S: Final = 0.25
_MOST_NOTICES: Final = 5


class Document:
    """What a notebook shows: HTML where it can, text elsewhere."""

    def __init__(self, html: str, text: str) -> None:
        self.html, self.text = html, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


class NotebookWatcher:
    """One display for the whole run."""

    def __init__(
        self, name: str, display: Callable[[Document], Any], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._now_s = name, now_s
        self._started_s = self._drawn_s = now_s()
        self._notices: list[str] = []
        self._status: JobStatus | None = None
        self._handle = display(self._document())

    def notice(self, text: str) -> None:
        """Show a sentence below the bars."""
        self._notices = [*self._notices, text][-_MOST_NOTICES:]
        self._draw()

    def progress(self, status: JobStatus) -> None:
        """Move the bars."""
        self._status = status
        if status.state in FINAL_STATES or self._now_s() - self._drawn_s >= _REDRAW_EVERY_S:
            self._draw()

    def close(self) -> None:
        """The last state stays."""
        self._draw()

    def _draw(self) -> None:
        self._drawn_s = self._now_s()
        if self._handle is not None:  # a front end without updates shows the first state only
            self._handle.update(self._document())

    def _document(self) -> Document:
        elapsed = format_duration(self._now_s() - self._started_s)
        status = self._status
        said = "starting" if status is None else describe_progress(status)
        bars = "" if status is None else _bar("map", status.maps) + _bar("reduce", status.reduces)
        notices = "".join(f"<div style='opacity:.7'>{escape(text)}</div>" for text in self._notices)
        head = f"<b>{escape(self._name)}</b> {escape(said)} · {elapsed}"
        return Document(
            f"<div style='font-family:sans-serif;font-size:90%'><div>{head}</div>{bars}{notices}</div>",
            f"{self._name}: {said} ({elapsed})",
        )


def _bar(name: str, counts: TaskCounts) -> str:
    if not counts.total:
        return ""
    return (
        f"<div><progress max='{counts.total}' value='{counts.committed}' style='width:20em'></progress> "
        f"{name} {counts.committed}/{counts.total}</div>"
    )
