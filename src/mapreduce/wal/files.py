"""Every file call that durability depends on, behind one small interface, so that tests can lose, reorder, tear and
fail them.

No knowledge of logs here: only paths, bytes, and when they are on the disk. Paths are strings with "/".
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mapreduce.errors import StorageFailed


class WritableFile(Protocol):
    """A new file, open for appending by its one writer."""

    def write(self, data: bytes | memoryview) -> int:
        """Append and return how many bytes were taken, possibly fewer than given."""
        ...

    def sync(self) -> None:
        """Return when everything written so far, and the length, is on the disk."""
        ...

    def close(self) -> None:
        """Close; a delayed write error may appear here."""
        ...


class FileSystem(Protocol):
    """All file calls; each raises OSError as the operating system does."""

    def make_folder(self, folder: str) -> None:
        """Create a folder and its missing parents; an existing one is fine."""
        ...

    def list_folder(self, folder: str) -> list[str]:
        """Return the names in a folder, in no order."""
        ...

    def create(self, path: str) -> WritableFile:
        """Create a file that must not exist yet (FileExistsError). Nothing is preallocated."""
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes of a file, or all of it."""
        ...

    def size(self, path: str) -> int:
        """Return a file's length in bytes."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, atomically; an existing target is replaced."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def sync_folder(self, folder: str) -> None:
        """Return when all creations, renames and removals in the folder are on the disk."""
        ...

    def free_bytes(self, folder: str) -> int:
        """Return how much an unprivileged process may still write to the folder's volume."""
        ...


class LocalFiles:
    """The operating system's own files."""

    def make_folder(self, folder: str) -> None:
        """Create a folder and its missing parents, durably."""
        make_folder(Path(folder))

    def list_folder(self, folder: str) -> list[str]:
        """Return the names in a folder, in no order."""
        return os.listdir(folder)  # noqa: PTH208 -- names, not paths, and called after every fsync

    def create(self, path: str) -> WritableFile:
        """Create a file that must not exist yet."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return _LocalFile(os.open(path, flags, 0o600))

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes of a file, or all of it."""
        with Path(path).open("rb") as file:
            return file.read() if limit is None else file.read(limit)

    def size(self, path: str) -> int:
        """Return a file's length in bytes."""
        return Path(path).stat().st_size

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, atomically."""
        Path(source).replace(target)

    def remove(self, path: str) -> None:
        """Remove a file."""
        Path(path).unlink()

    def sync_folder(self, folder: str) -> None:
        """Fsync a directory."""
        sync_folder(Path(folder))

    def free_bytes(self, folder: str) -> int:
        """Return the free space of the folder's volume."""
        volume = os.statvfs(folder)
        return volume.f_bavail * volume.f_frsize


class _LocalFile:
    """One file descriptor; EINTR is retried by Python itself (PEP 475)."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def write(self, data: bytes | memoryview) -> int:
        return os.write(self._handle, data)

    def sync(self) -> None:
        if sys.platform == "darwin":
            # fsync of macOS leaves data in the drive's cache: fsync(2) there.
            fcntl.fcntl(self._handle, fcntl.F_FULLFSYNC)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(self._handle)
        else:
            os.fsync(self._handle)

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def make_folder(folder: Path, made: list[Path] | None = None) -> None:
    """Create a folder and its missing parents, each durable in its parent before the next; an existing one is fine.

    To `made` are added those that this call has created, outermost first, also when it fails on its way.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir()
        except FileExistsError:
            if not path.is_dir():
                raise
        else:
            if made is not None:
                made.append(path)
        sync_folder(path.parent)  # for one that another process has just made too: it may not have come to this


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in a folder durable.

    Where there is no such call (EINVAL, EBADF) this does nothing, as in PostgreSQL.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(handle)


def write_fully(file: WritableFile, data: bytes) -> None:
    """Write all of `data`, however short the single writes. A file that takes nothing is an I/O error, not a loop."""
    rest = memoryview(data)
    while rest:
        taken = file.write(rest)
        if taken <= 0:
            raise OSError(errno.EIO, "the file takes no more bytes")
        rest = rest[taken:]


@contextmanager
def storage_failures(action: str) -> Iterator[None]:
    """Turn an OSError into StorageFailed, saying what was being done and what to do now."""
    try:
        yield
    except OSError as error:
        raise storage_failure(action, error) from error


def storage_failure(action: str, error: OSError) -> StorageFailed:
    """Return the StorageFailed for one failed call."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "Make room on the volume, then start the coordinator again; nothing acknowledged is lost."
    else:
        advice = "Check the volume, then start the coordinator again; nothing acknowledged is lost."
    return StorageFailed(f"{action}: {error}. {advice}")
