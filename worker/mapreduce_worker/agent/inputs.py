"""Brings what a map task reads from afar to local files: from URLs, and from the coordinator where no volume is shared.

A fetched file has the size of the whole one but is sparse: only the split's bytes are there, and what the reader looks
at beyond them, up to the end of the last line. Blocks; belongs to threads beside the main loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from mapreduce.errors import TaskFailed
from mapreduce.protocol.client import Refusal, WorkerClient
from mapreduce.protocol.messages import Assignment, AttemptId, FileRange
from mapreduce_worker.agent.jobs import JobFiles
from mapreduce_worker.agent.lanes import Backoff

_URL_PREFIXES: Final = ("http://", "https://")
_PIECE_BYTES: Final = 4 << 20
#: How far beyond its range the end of the last line is looked for, in steps that grow.
_FIRST_STEP_BYTES: Final = 64 << 10
_MAX_BEYOND_BYTES: Final = 260 << 20  # the reader refuses longer records
#: How long a server may give nothing before the attempt fails.
_PATIENCE_S: Final = 30.0


def is_url(path: str) -> bool:
    """Whether a planned file is fetched over http(s)."""
    return path[:8].lower().startswith(_URL_PREFIXES)


def is_needed(job: JobFiles, assignment: Assignment) -> bool:
    """Whether anything of the attempt's split has to be fetched."""
    split = assignment.split
    return split is not None and (job.is_by_coordinator or any(is_url(part.path) for part in split.files))


class Remote(Protocol):
    """A file elsewhere."""

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`. Raises `ConnectionError` for what may pass, `TaskFailed` otherwise."""


class InputFetcher:
    """Fetches splits; one object for each thread.

    Args:
        client: calls to the coordinator.
        session: the session token of now.
        secrets: folder of headers for URLs, `INDEX/NAME`; None: there are none.
        patience_s: how long a server may give nothing before the attempt fails.
    """

    def __init__(
        self,
        client: WorkerClient,
        session: Callable[[], str],
        secrets: Path | None,
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._client, self._session, self._secrets, self._patience_s = client, session, secrets, patience_s

    def fetch(self, job: JobFiles, assignment: Assignment, into: Path) -> tuple[str, ...]:
        """Where each file of the split lies now. Raises `TaskFailed`, and what the client raises."""
        split = assignment.split
        if split is None:
            return ()
        into.mkdir(parents=True, exist_ok=True)
        paths: list[str] = []
        for number, part in enumerate(split.files):
            remote: Remote
            if is_url(part.path):
                remote = _Document(part, self._headers(split.input))
            elif job.is_by_coordinator:
                remote = _Planned(self._client, self._session, assignment.id, number)
            else:
                paths.append(part.path)
                continue
            target = into / f"{number}.input"
            fetch_range(remote, part, target, patience_s=self._patience_s)
            paths.append(str(target))
        return tuple(paths)

    def _headers(self, index: int) -> dict[str, str]:
        from mapreduce.dataplane.documents import read_headers
        from mapreduce.errors import InvalidInput

        folder = self._secrets / str(index) if self._secrets is not None else None
        try:
            return read_headers(folder) if folder is not None and folder.is_dir() else {}
        except InvalidInput as error:
            raise TaskFailed("input", str(error)) from error


def fetch_range(remote: Remote, part: FileRange, target: Path, *, patience_s: float = _PATIENCE_S) -> None:
    """Make `target` a file in which the reader of `part` finds all that it looks at. Raises `TaskFailed`."""
    start = max(0, part.start - 1)  # a line that begins at the range's start is known by the byte before
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o660)
    try:
        os.ftruncate(descriptor, part.size)
        if part.start >= part.end:
            return
        copy = _Copy(remote, descriptor, patience_s)
        has_newline = copy.range(start, part.end, find_before=part.end - 1)
        if part.end < part.size and (part.start == 0 or has_newline):
            _fetch_last_line(copy, descriptor, part)
    except OSError as error:
        raise TaskFailed("system", f"cannot keep a copy of {target.name}: {error.strerror or error}.") from error
    finally:
        os.close(descriptor)


def _fetch_last_line(copy: _Copy, descriptor: int, part: FileRange) -> None:
    """The rest of the line that the range's last byte lies in."""
    if os.pread(descriptor, 1, part.end - 1) == b"\n":
        return
    position, step = part.end, _FIRST_STEP_BYTES
    limit = min(part.size, part.end + _MAX_BEYOND_BYTES)
    while position < limit:
        end = min(position + step, limit)
        if copy.range(position, end, find_before=end):
            return
        position, step = end, min(2 * step, _PIECE_BYTES)


class _Copy:
    """Copies ranges to the same place in a local file, and goes on where a connection broke off."""

    def __init__(self, remote: Remote, descriptor: int, patience_s: float) -> None:
        self._remote, self._descriptor, self._patience_s = remote, descriptor, patience_s

    def range(self, start: int, end: int, *, find_before: int) -> bool:
        """Copy; returns whether there is a newline before `find_before`."""
        backoff, position, has_newline = Backoff(), start, False
        quiet_since_s = time.monotonic()
        while position < end:
            try:
                for piece in self._remote.pieces(position, end):
                    has_newline = has_newline or piece.find(b"\n", 0, max(0, find_before - position)) >= 0
                    self._write(piece, position)
                    position += len(piece)
                    quiet_since_s = time.monotonic()
                    backoff.reset()
            except ConnectionError as error:
                if time.monotonic() - quiet_since_s > self._patience_s:
                    raise TaskFailed("system", str(error)) from None
                time.sleep(backoff.next_pause_s())
        return has_newline

    def _write(self, piece: bytes, position: int) -> None:
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._descriptor, view, position)
            view, position = view[written:], position + written


class _Document:
    """A file behind a URL."""

    def __init__(self, part: FileRange, headers: dict[str, str]) -> None:
        self._part, self._headers = part, headers

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`."""
        from mapreduce.dataplane.documents import Document, read_range, shown
        from mapreduce.errors import InvalidInput

        part = self._part
        expected = Document(part.size, has_ranges=True, validator=part.validator)
        try:
            yield from read_range(part.path, start, end, expected=expected, headers=self._headers)
        except InvalidInput as error:
            raise TaskFailed("input", f"input {shown(part.path)}: {error.problem}") from None
        except ConnectionError as error:
            raise ConnectionError(f"input {shown(part.path)}: {error}") from None


class _Planned:
    """A file of a split that the coordinator reads for this worker."""

    def __init__(self, client: WorkerClient, session: Callable[[], str], attempt: AttemptId, number: int) -> None:
        self._client, self._session, self._attempt, self._number = client, session, attempt, number

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`."""
        while start < end:
            stop = min(start + _PIECE_BYTES, end)
            try:
                piece = self._client.read_input(self._session(), self._attempt, self._number, start, stop)
            except Refusal as error:
                if error.code in {"conflict", "range-not-satisfiable"}:
                    raise TaskFailed("input", error.message) from None
                raise
            if not piece:
                raise TaskFailed("input", f"file {self._number} of {self._attempt} ends at byte {start} of {end}.")
            yield piece
            start += len(piece)
