"""Bytes of input: opening a planned file safely, reading one range of it, noticing that it has changed.

Plain and compressed files come out as the same stream of chunks. Cutting chunks into records is `readers`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from mapreduce.dataplane.decompression import decompressed
from mapreduce.dataplane.splits import COMPRESSED_SUFFIXES
from mapreduce.errors import TaskFailed
from mapreduce.protocol.messages import FileRange

#: Most lines end within so many bytes.
_FIRST_LOOK_BYTES: Final = 4_096
_RUN_AGAIN: Final = "Run the job again on input that stays as it is."


@contextmanager
def opened(part: FileRange, path: str = "") -> Iterator[int]:
    """A file descriptor of a planned file, checked against the plan at the start and at the end.

    It is opened at `path`, if that is given: a copy, whose times say nothing. Raises `TaskFailed`.
    """
    if path and path != part.path:
        part = msgspec.structs.replace(part, mtime_ns=0)
    try:
        # Without O_NONBLOCK the open of a FIFO that took the file's place would wait for ever.
        handle = os.open(path or part.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(part.path, error) from None
    try:
        _check_unchanged(part, handle)
        yield handle
        _check_unchanged(part, handle)
    finally:
        os.close(handle)


def chunks(handle: int, part: FileRange, chunk_bytes: int) -> tuple[int, Iterator[bytes]]:
    """The bytes of all lines that start in a range: the offset of the first one, and chunks up to the end of the last.

    A compressed file is unpacked whole; offsets then count its content.
    """
    if part.path.endswith(COMPRESSED_SUFFIXES):
        return 0, whole(handle, part, chunk_bytes)
    if 0 < part.end - part.start <= _FIRST_LOOK_BYTES <= chunk_bytes:
        found = _small_range(handle, part)
        if found is not None:
            return found
    first = _first_line(handle, part, chunk_bytes)
    return first, _lines_from(handle, part, first, chunk_bytes)


def _small_range(handle: int, part: FileRange) -> tuple[int, Iterator[bytes]] | None:
    """What `_first_line` and `_lines_from` find in a range of a few lines, by one read; None if that was not enough."""
    position = max(0, part.start - 1)
    try:
        window = os.pread(handle, part.end - position + _FIRST_LOOK_BYTES, position)
    except OSError as error:
        raise _unreadable(part.path, error) from None
    last_byte = part.end - 1 - position
    first = window.find(b"\n", 0, last_byte) + 1 if part.start else 0
    if len(window) <= last_byte or (part.start and not first):
        return None
    if part.end == part.size:
        return position + first, iter((window[first : last_byte + 1],))
    end = window.find(b"\n", last_byte) + 1
    return (position + first, filter(None, (window[first:last_byte], window[last_byte:end]))) if end else None


def whole(handle: int, part: FileRange, chunk_bytes: int) -> Iterator[bytes]:
    """All bytes of a file, unpacked if it is compressed, whatever range was planned."""
    plain = _read_to(handle, part, 0, part.size, chunk_bytes)
    if part.path.endswith(COMPRESSED_SUFFIXES):
        return _evenly(decompressed(plain, part.path, part.size, block_bytes=chunk_bytes), chunk_bytes)
    return plain


def _evenly(pieces: Iterator[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """The same bytes in chunks of one size: how much a decompressor gives at once differs between versions of it."""
    waiting: list[bytes] = []
    missing = chunk_bytes
    for piece in pieces:
        if len(piece) < missing:
            waiting.append(piece)
            missing -= len(piece)
            continue
        yield b"".join([*waiting, piece[:missing]])
        waiting = [piece[missing:]]
        missing = chunk_bytes - len(waiting[0])
    if rest := b"".join(waiting):
        yield rest


def _first_line(handle: int, part: FileRange, chunk_bytes: int) -> int:
    """Where the first line starts that this range owns; `part.end` if it owns none.

    A line starts at 0 and behind each newline, so the newline before it lies in `start - 1 <= offset < end - 1`.
    """
    if part.start == 0:
        return 0
    position = part.start - 1
    for chunk in _look_ahead(handle, part, position, part.end - 1, chunk_bytes):
        found = chunk.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(chunk)
    return part.end


def _lines_from(handle: int, part: FileRange, first: int, chunk_bytes: int) -> Iterator[bytes]:
    """From the first line on to the end of the line that holds the last byte of the range."""
    if first >= part.end:
        return
    if part.end == part.size:
        yield from _read_to(handle, part, first, part.size, chunk_bytes)
        return
    yield from _read_to(handle, part, first, part.end - 1, chunk_bytes)
    for chunk in _look_ahead(handle, part, part.end - 1, part.size, chunk_bytes):
        found = chunk.find(b"\n")
        if found >= 0:
            yield chunk[: found + 1]
            return
        yield chunk


def _look_ahead(handle: int, part: FileRange, position: int, end: int, chunk_bytes: int) -> Iterator[bytes]:
    """The same bytes as `_read_to`, in pieces that grow: the newline looked for is near, and splits may be tiny."""
    wanted = min(_FIRST_LOOK_BYTES, chunk_bytes)
    while position < end:
        piece = b"".join(_read_to(handle, part, position, min(position + wanted, end), wanted))
        yield piece
        position += len(piece)
        wanted = min(2 * wanted, chunk_bytes)


def _read_to(handle: int, part: FileRange, position: int, end: int, chunk_bytes: int) -> Iterator[bytes]:
    while position < end:
        wanted = min(chunk_bytes, end - position)
        try:
            chunk = os.pread(handle, wanted, position)
            while (
                chunk and len(chunk) < wanted and (more := os.pread(handle, wanted - len(chunk), position + len(chunk)))
            ):
                chunk += more  # a short read must not move the borders of blocks
        except OSError as error:
            raise _unreadable(part.path, error) from None
        if not chunk:
            raise TaskFailed(
                "input",
                f"{part.path} ends at byte {position}, but had {part.size} bytes when the job was planned. "
                f"{_RUN_AGAIN}",
            )
        yield chunk
        position += len(chunk)


def _check_unchanged(part: FileRange, handle: int) -> None:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raise TaskFailed("input", f"{part.path} is no regular file any more. {_RUN_AGAIN}")
    if facts.st_size != part.size:
        raise TaskFailed(
            "input",
            f"{part.path} has changed since the job was planned: it had {part.size} bytes and has {facts.st_size} "
            f"now. {_RUN_AGAIN}",
        )
    if part.mtime_ns and facts.st_mtime_ns != part.mtime_ns:
        raise TaskFailed(
            "input", f"{part.path} was written to since the job was planned (its time has changed). {_RUN_AGAIN}"
        )


def _unreadable(path: str, error: OSError | ValueError) -> TaskFailed:
    if isinstance(error, OSError) and error.errno == errno.ENOENT:
        return TaskFailed("input", f"{path} does not exist any more, or not on this machine. {_RUN_AGAIN}")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return TaskFailed("input", f"{path} cannot be read: {reason}. See to the file, then run the job again.")
