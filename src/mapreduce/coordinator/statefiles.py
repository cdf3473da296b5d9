"""The small files of a state folder that are no log: `endpoint.json`, `lock`, and how they are written and read.

Shared by the host, which writes them, and by what looks for a running coordinator. The log is `mapreduce.wal`,
job files are `coordinator.store`, tokens are `coordinator.auth`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from mapreduce.errors import OutputRefused
from mapreduce.typed import from_json
from mapreduce.wal.files import sync_folder

LOG_FOLDER: Final = "log"
CODE_FOLDER: Final = "code"
JOBS_FOLDER: Final = "jobs"
TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
ENDPOINT_FILE: Final = "endpoint.json"
LOCK_FILE: Final = "lock"
#: In the state folder of an output: the list of an earlier result that is being removed.
REPLACED_FILE: Final = "replaced.json"
#: Where executors in containers of their own write, below the runs' folder and below an output's own one; mounted
#: there, possibly before anything else is there.
WORK_FOLDER: Final = "work"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the coordinator of a folder listens; written once it does, removed when it ends in order."""

    url: str
    epoch: int = 0
    pid: int = 0


def read_endpoint(folder: Path) -> Endpoint | None:
    """The endpoint of `folder`, or None when there is none that can be read."""
    try:
        return from_json((folder / ENDPOINT_FILE).read_bytes(), Endpoint)
    except (OSError, msgspec.DecodeError):
        return None


def write_endpoint(folder: Path, endpoint: Endpoint) -> None:
    """Announce the coordinator; a reader sees the old content or the new, never a part."""
    replace_file(folder / ENDPOINT_FILE, msgspec.json.encode(endpoint) + b"\n")


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write `path` so that a crash leaves the old content or the new: temporary file, fsync, rename, fsync folder.

    Threads of one process may replace one file at once; the last wins.
    """
    temporary = path.with_name(f"{_temporary_prefix(path.name)}{threading.get_ident()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_temporaries(folder: Path, names: Sequence[str]) -> None:
    """Remove what `replace_file` left of these files in processes that were killed while they wrote."""
    for name in names:
        with contextlib.suppress(OSError):
            for path in folder.glob(f".{name}.*.tmp"):
                if not path.name.startswith(_temporary_prefix(name)):  # this one is being written now
                    path.unlink(missing_ok=True)


def _temporary_prefix(name: str) -> str:
    """How the temporary files of this process for a file of that name begin."""
    return f".{name}.{os.getpid()}-"


@dataclass(slots=True)
class FolderLock:
    """An exclusive lock on a folder, held by this process until `release` or its death; no child inherits it."""

    path: Path
    descriptor: int

    @classmethod
    def try_acquire(cls, path: Path) -> Self | None:
        """Take the lock file at `path`, creating it; None when another process holds it."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError:
                os.close(descriptor)
                raise
            if _is_same_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return cls(path, descriptor)
            os.close(descriptor)  # its last holder removed the file in between: the lock is on a name no longer there

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back; with `remove` the file goes too, while it is still held."""
        if self.descriptor < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1


def lock_holder(path: Path) -> int | None:
    """Process id that the holder of the lock wrote into it, for messages; None when it cannot be read."""
    try:
        return int(path.read_text("ascii").strip())
    except (OSError, ValueError):
        return None


def output_in_use(output: Path, lock: Path) -> OutputRefused:
    """The refusal of an output folder whose lock somebody else holds."""
    holder = lock_holder(lock)
    by = f" (process {holder})" if holder else ""
    return OutputRefused(str(output), f"another run is using it{by}.", "Wait for it, or choose another folder.")


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
