"""What an executor prints, cut into attempts by the marks in its pipe, each kept within a cap. No processes.

The pipe is also what says which order runs: see `executor.messages`. It is read without blocking, when the owner asks.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from mapreduce_worker.executor.messages import MARK_BYTES, NONCE_BYTES

HEAD_BYTES: Final = 64 << 10
TAIL_BYTES: Final = 64 << 10
_READ_BYTES: Final = 1 << 18
#: Most that one look takes out of the pipe, so that a process that floods it does not hold the agent.
_LOOK_BYTES: Final = 16 << 20


class CappedText:
    """The beginning and the end of a stream of any length."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped_bytes = 0

    def add(self, data: bytes) -> None:
        """Append; beyond head and tail the middle is dropped."""
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:
            self._trim()

    def text(self) -> bytes:
        """All that was kept; says how much is missing, and where."""
        if len(self._tail) > TAIL_BYTES:
            self._trim()
        if not self._dropped_bytes:
            return bytes(self._head + self._tail)
        note = f"\n[... {self._dropped_bytes} bytes of output are left out here ...]\n".encode()
        return bytes(self._head) + note + bytes(self._tail)

    def _trim(self) -> None:
        surplus = len(self._tail) - TAIL_BYTES
        del self._tail[:surplus]
        self._dropped_bytes += surplus


class Capture:
    """The read end of one executor's output pipe."""

    def __init__(self, descriptor: int, nonce: bytes) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._nonce = descriptor, nonce
        self._pending = b""
        self._texts: dict[int, CappedText] = {}
        self.current = 0
        """Number of the order that began last; 0 before the first."""

    def look(self, *, until_after: int | None = None) -> None:
        """Take in what is in the pipe now; with `until_after` only up to the mark of a later order."""
        taken = 0
        while taken < _LOOK_BYTES and (until_after is None or self.current <= until_after):
            data = self._read()
            if not data:
                return
            taken += len(data)
            self._sort(data)

    def take(self, number: int) -> bytes:
        """What order `number` printed (0: what came before the first); it is forgotten here."""
        if self.current == number and self._pending:
            self._add(self._pending)
            self._pending = b""
        found = self._texts.pop(number, None)
        return found.text() if found is not None else b""

    def close(self) -> None:
        """Close the pipe; what the executor's children still print meets a closed pipe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bytes:
        if self._descriptor < 0:
            return b""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            return os.read(self._descriptor, _READ_BYTES)
        return b""

    def _sort(self, data: bytes) -> None:
        data = self._pending + data
        start = 0
        while (found := data.find(self._nonce, start)) >= 0:
            if len(data) - found < MARK_BYTES:
                break
            self._add(data[start:found])
            self.current = int.from_bytes(data[found + NONCE_BYTES : found + MARK_BYTES], "big")
            start = found + MARK_BYTES
        end = found if found >= 0 else len(data) - self._partial_nonce(data, start)
        self._add(data[start:end])
        self._pending = data[end:]

    def _partial_nonce(self, data: bytes, start: int) -> int:
        """Length of the longest end of `data` with which a nonce may begin."""
        for length in range(min(NONCE_BYTES - 1, len(data) - start), 0, -1):
            if data.endswith(self._nonce[:length]):
                return length
        return 0

    def _add(self, data: bytes) -> None:
        if data:
            self._texts.setdefault(self.current, CappedText()).add(data)
