"""Takes what an executor made before its commit: moves it to where it stays, or hands it to the coordinator.

An executor in a container of its own may put anything at the name agreed on: only a regular file is taken, so that no
link leads a reader to what only the agent may see. Blocks; belongs to a thread beside the main loop.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from mapreduce.errors import TaskFailed
from mapreduce.protocol.messages import AttemptId

_MAX_TRACE_BYTES: Final = 1 << 16


def move(made: str, final: str, size: int) -> None:
    """Move a finished file to its final name and sync the folder. Raises `TaskFailed`; then no file has the name."""
    try:
        Path(final).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, final)  # noqa: PTH105 - names, not paths, see `places`
        _check(final, size)
        _sync_folder_of(final)
    except OSError as error:
        problem = error.strerror or str(error)
        raise TaskFailed(
            "system", f"cannot move {made} to {final}: {problem}. See to the volume, then retry."
        ) from error


def check_made(made: str, size: int) -> None:
    """Raises `TaskFailed` unless there is a regular file of this size."""
    try:
        _check(made, size)
    except OSError as error:
        raise TaskFailed("system", f"cannot take {made}: {error.strerror or error}.") from error


def take_trace(made: Path, into: Path) -> Path:
    """Move a record trace out of the executor's reach; what cannot be taken is not there afterwards. Returns `into`."""
    with contextlib.suppress(OSError):
        into.parent.mkdir(parents=True, exist_ok=True)
        made.replace(into)
        facts = into.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MAX_TRACE_BYTES:
            into.unlink()
    return into


def remove_leftovers(folder: str, attempt: AttemptId) -> None:
    """Remove what an attempt that failed has left in its work folder: a file half made, spills, merge passes."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and entry.name.startswith("slot-"):
                remove_leftovers(entry.path, attempt)
            elif not is_folder and entry.name.startswith(f"{attempt.stem}."):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108


def _check(path: str, size: int) -> None:
    facts = os.lstat(path)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size != size:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        raise TaskFailed(
            "user",
            f"{os.path.basename(path)} is not the file that this task wrote. The job's code must leave it alone.",  # noqa: PTH119
        )


def _sync_folder_of(path: str) -> None:
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
