"""One file written from start to end by one attempt: hashed on the way, synced at the end, removed if unfinished.

Only the file is synced, not its folder. A name written here means nothing until the coordinator has logged its commit;
the coordinator syncs the output folder when it publishes, and a run whose name did not survive a power failure is
reported by its readers and made again. An error of the disk is `TaskFailed` of class ``system``, never a traceback.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from xxhash import xxh3_64

from mapreduce.errors import TaskFailed

_BUFFER_BYTES: Final = 1 << 20


@contextlib.contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turns an `OSError` inside (no space, quota, I/O error) into `TaskFailed` of class ``system``, naming the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise TaskFailed(
            "system", f"cannot {action} {path}: {reason}. Free space or repair the volume, then retry."
        ) from error


class DurableFile:
    """A new file at `path`, created by the first `write`; as a context manager it removes what was not closed.

    One that is not durable (scratch, which no other process reads) is not synced.
    """

    def __init__(self, path: Path, *, is_durable: bool = True) -> None:
        self.path = path
        self._is_durable = is_durable
        self.size = 0
        self._hash = xxh3_64()
        self._descriptor: int | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_closed:
            self.discard()

    @property
    def digest(self) -> int:
        """XXH3 (64 bits) of all bytes written so far."""
        return self._hash.intdigest()

    def write(self, data: bytes) -> None:
        """Appends; bytes reach the file in pieces of about 1 MiB."""
        self._hash.update(data)
        self.size += len(data)
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _BUFFER_BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what is left, syncs and closes. A file that was never written to does not exist afterwards either."""
        if self.size:
            self._flush()
        if self.size and self._is_durable:
            with disk_errors("sync", self.path):
                os.fsync(self._open())
        self._is_closed = True
        self._close("close")

    def discard(self) -> None:
        """Closes and removes the file; never raises, because an error is already on its way."""
        self._pending.clear()
        with contextlib.suppress(TaskFailed):
            self._close("close")
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._descriptor is None:
            with disk_errors("create", self.path):
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        return self._descriptor

    def _flush(self) -> None:
        descriptor = self._open()
        data = memoryview(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
        self._pending.clear()
        self._pending_bytes = 0
        with disk_errors("write", self.path):
            while data:
                data = data[os.write(descriptor, data) :]

    def _close(self, action: str) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with disk_errors(action, self.path):
                os.close(descriptor)
