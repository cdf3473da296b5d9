"""Which watcher a run from a program gets: none, bars, plain lines, or a live display in a notebook."""

from __future__ import annotations

import sys
from typing import Any, get_args

from mapreduce.api import Progress
from mapreduce.errors import UsageError
from mapreduce.local.watching import SilentWatcher, Watcher


def make_watcher(progress: Progress | None, name: str) -> Watcher:
    """The watcher for the argument `progress` of `Job.run`. Raises UsageError for another one.

    IPython is never imported here: a notebook has it loaded.
    """
    if progress is not None and progress not in get_args(Progress):
        raise UsageError(f"progress={progress!r}: it is one of {', '.join(map(repr, get_args(Progress)))}")
    if progress == "none":
        return SilentWatcher()
    if progress == "plain":
        from mapreduce.local.progress import PlainWatcher

        return PlainWatcher(sys.stderr)
    if is_in_notebook():
        from mapreduce.local.notebook import NotebookWatcher

        return NotebookWatcher(name, _display)
    if progress == "bars":
        from mapreduce.local import progress as drawing

        return drawing.make_watcher()
    return SilentWatcher()


def is_in_notebook() -> bool:
    """Whether this is the kernel of a notebook: IPython is loaded, and its shell shows things in another program."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _display(document: Any) -> Any:
    """Show it in the current cell; the handle by which it is replaced."""
    ipython: Any = sys.modules["IPython"]
    return ipython.display.display(document, display_id=True)
