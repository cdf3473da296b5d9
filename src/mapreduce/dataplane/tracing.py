"""Where the attempt was when its process died: a small mapped file that outlives a segfault or a kill.

An attempt that follows an unexplained death writes each record's place here before it calls the mapper. The file is
shared memory of the page cache: nothing is synced, because it has to survive the process and not the machine.

    0  u32  length of the text, 0 while it is being replaced (little-endian)
    4       UTF-8 text, at most `TRACE_BYTES` - 4 bytes
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mapreduce.dataplane.files import disk_errors

TRACE_BYTES: Final = 4_096
_LENGTH_BYTES: Final = 4


class RecordTrace:
    """A writable trace at `path`; a context manager that unmaps it. The file stays for whoever asks after the death."""

    def __init__(self, path: Path) -> None:
        with disk_errors("create", path), path.open("w+b") as file:
            file.truncate(TRACE_BYTES)
            self._map = mmap.mmap(file.fileno(), TRACE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, place: str) -> None:
        """Replaces the text; what does not fit is cut."""
        text = place.encode("utf-8", "backslashreplace")[: TRACE_BYTES - _LENGTH_BYTES]
        self._map[:_LENGTH_BYTES] = bytes(_LENGTH_BYTES)
        self._map[_LENGTH_BYTES : _LENGTH_BYTES + len(text)] = text
        self._map[:_LENGTH_BYTES] = len(text).to_bytes(_LENGTH_BYTES, "little")

    def close(self) -> None:
        """Unmaps the file."""
        self._map.close()


def read_trace(path: Path) -> str:
    """The place that was written last, or "" if there is none or it cannot be read."""
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        return data[_LENGTH_BYTES : _LENGTH_BYTES + length].decode("utf-8", "replace")
    return ""
