"""The cache folder outside the checkout: where corpora and the peers' environment lie, and how they get there whole.

An entry is a folder that is complete once it holds the file `.ready`. A half-finished entry (no `.ready`) is never
used: the next builder removes it. One builder at a time for each entry, by a lock file beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

READY = ".ready"


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/mapreduce-bench`, or the same under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "mapreduce-bench"


def cached_folder(name: str, build: Callable[[Path], None]) -> Path:
    """The folder of entry `name` (may contain slashes), built by `build(folder)` when there is no complete one."""
    folder = cache_root() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(folder):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        build(folder)
        os.sync()  # else `.ready` could outlive, in a crash, what it vouches for
        (folder / READY).touch()
    return folder


def is_complete(folder: Path) -> bool:
    """Whether a builder finished this entry."""
    return (folder / READY).exists()
