"""From a split to records, in blocks of about 1 MiB; the text of a block is decoded and cut in one go.

Lines end at `\\n` only; one final `\\r` is stripped; a byte order mark at the start of a UTF-8 file is dropped;
undecodable bytes survive as surrogates. A range owns the records that start in it. Block borders are a function of the
split alone, because spill points lie on them. Opening, ranges and unpacking are `sources`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from mapreduce.dataplane import sources
from mapreduce.dataplane.blocks import BOM, SHOWN_CHARS, Block, FileBlock, LineBlock, RowBlock, place_of
from mapreduce.errors import TaskFailed
from mapreduce.model import MIB, Encoding, Input
from mapreduce.protocol.messages import FileRange, Split

__all__ = ["Block", "ReadLimits", "read_split"]


class ReadLimits(msgspec.Struct, frozen=True):
    """What bounds the memory of a reader."""

    block_bytes: int = MIB
    """How much is read, decoded and handed over at once."""
    record_bytes: int = 256 * MIB
    """A longer line, row or whole file is refused. Not below `block_bytes`."""


_LIMITS: Final = ReadLimits()


def read_split(
    split: Split, source: Input, limits: ReadLimits = _LIMITS, *, paths: Sequence[str] = ()
) -> Iterator[Block]:
    """All records of a split, file by file; from copies at `paths` if there are any, called by their own names.

    Raises `TaskFailed("input")` naming file and place: missing, changed, cut short, corrupt, malformed, or a record too
    long.
    """
    read: Callable[[int, FileRange, Encoding, ReadLimits], Iterator[Block]]
    match source.format:
        case "lines":
            read = _read_lines
        case "jsonl":
            read = _read_jsonl
        case "csv":
            read = _read_csv
        case "files":
            read = _read_file
    for part, path in zip(split.files, paths or (part.path for part in split.files), strict=True):
        with sources.opened(part, path) as handle:
            yield from read(handle, part, source.encoding, limits)


# ---------------------------------------------------------------------------------------------------------------- lines


def _read_lines(handle: int, part: FileRange, encoding: Encoding, limits: ReadLimits) -> Iterator[Block]:
    for start, raw in _whole_lines(handle, part, limits):
        if encoding == "bytes":
            yield LineBlock(part.path, raw, start, _cut_bytes(raw))
        elif start == 0 and raw.startswith(BOM):
            text = raw[len(BOM) :]
            if text:
                yield LineBlock(part.path, raw, start, _cut_text(text))
        else:
            yield LineBlock(part.path, raw, start, _cut_text(raw))


def _cut_text(raw: bytes) -> list[str]:
    text = raw.decode("utf-8", "surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
    lines = text.split("\n")
    if not lines[-1] and raw.endswith(b"\n"):
        lines.pop()
    return lines


def _cut_bytes(raw: bytes) -> list[bytes]:
    data = raw.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in raw else raw
    lines = data.split(b"\n")
    if not lines[-1] and raw.endswith(b"\n"):
        lines.pop()
    return lines


def _whole_lines(handle: int, part: FileRange, limits: ReadLimits) -> Iterator[tuple[int, bytes]]:
    """Pieces that end with a newline (or with the file), each with the offset at which it starts."""
    start, chunks = sources.chunks(handle, part, limits.block_bytes)
    begun: list[bytes] = []  # of a line whose end has not been read yet
    begun_bytes = 0
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        length = begun_bytes + (chunk.index(b"\n") if end else len(chunk))
        if length > limits.record_bytes:
            raise _too_long(part.path, start, limits, b"".join([*begun, chunk])[:SHOWN_CHARS])
        if not end:
            begun.append(chunk)
            begun_bytes += len(chunk)
            continue
        raw = b"".join([*begun, chunk[:end]]) if begun or end < len(chunk) else chunk
        yield start, raw
        start += len(raw)
        begun = [chunk[end:]] if end < len(chunk) else []
        begun_bytes = len(chunk) - end
    if begun:
        yield start, b"".join(begun)


# --------------------------------------------------------------------------------------------------- JSON lines and CSV


def _read_jsonl(handle: int, part: FileRange, encoding: Encoding, limits: ReadLimits) -> Iterator[Block]:
    del encoding  # JSON says itself what is text
    decode = msgspec.json.Decoder().decode
    for start, raw in _whole_lines(handle, part, limits):
        lines = raw.split(b"\n")
        if not lines[-1]:
            lines.pop()
        try:
            records = [decode(line) for line in lines]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # byte order mark, blank line, what Python's json writes beyond the standard, or an error to be named
        else:
            yield LineBlock(part.path, raw, start, records)
            continue
        block = RowBlock(part.path, raw, start)
        offset = start
        for line in lines:
            text = line.removeprefix(BOM) if offset == 0 else line
            if text.strip(b" \t\r"):
                block.add(_parse_json(text, part.path, offset), offset)
            offset += len(line) + 1
        if block.records:
            yield block


def _parse_json(line: bytes, path: str, offset: int) -> object:
    try:
        return json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise TaskFailed(
            "input",
            f"{place_of(path, offset, line)} is not valid JSON: {error}. Correct or remove the line.",
            record=place_of(path, offset, line),
        ) from None


class _Feed:
    """Lines for the csv module, counted in bytes so that each row's place is known."""

    def __init__(self, pieces: Iterable[tuple[int, bytes]], path: str, limits: ReadLimits) -> None:
        self._pieces, self._path, self._limits = pieces, path, limits
        self.position = 0
        self.row_start = 0
        self.raw: list[bytes] = []
        self.is_at_end = False
        """More was asked for than there is: whoever gets a row after that gets one whose last quote is open."""

    def __iter__(self) -> Iterator[str]:
        for start, raw in self._pieces:
            piece = raw
            if start == 0 and raw.startswith(BOM):
                self.position = len(BOM)
                self.raw.append(BOM)
                piece = raw[len(BOM) :]
            for line in piece.splitlines(keepends=True):  # a lone \r ends a row as well, as csv documents it
                self.position += len(line)
                self.raw.append(line)
                if self.position - self.row_start > self._limits.record_bytes:
                    raise _too_long(self._path, self.row_start, self._limits, b"".join(self.raw)[:SHOWN_CHARS])
                yield line.decode("utf-8", "surrogateescape")
        self.is_at_end = True


def _read_csv(handle: int, part: FileRange, encoding: Encoding, limits: ReadLimits) -> Iterator[Block]:
    del encoding
    csv.field_size_limit(min(limits.record_bytes, 2**31 - 1))  # the module's own limit of 128 KiB is for nobody's good
    feed = _Feed(_whole_lines(handle, part, limits), part.path, limits)
    rows = csv.reader(feed)
    done = False
    while not done:
        start = feed.position
        feed.raw.clear()
        block = RowBlock(part.path, b"", start)
        while feed.position - start < limits.block_bytes:
            feed.row_start = feed.position
            first = len(feed.raw)
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise _not_csv(part.path, feed, first, str(error)) from None
            if row is not None and feed.is_at_end:  # `strict` would tell as well, and refuse text after a closing quote
                raise _not_csv(part.path, feed, first, "a quote in this row is never closed")
            if row is None:
                done = True
                break
            if row:
                block.add(row, feed.row_start)
        block.raw = b"".join(feed.raw)
        block.start = feed.position - len(block.raw)
        if block.records:
            yield block


def _not_csv(path: str, feed: _Feed, first: int, problem: str) -> TaskFailed:
    """The row whose text begins with the feed's line `first` is none."""
    place = place_of(path, feed.row_start, feed.raw[first] if first < len(feed.raw) else b"")
    return TaskFailed("input", f"{place} is not valid CSV: {problem}. Correct or remove the row.", record=place)


# ---------------------------------------------------------------------------------------------------------- whole files


def _read_file(handle: int, part: FileRange, encoding: Encoding, limits: ReadLimits) -> Iterator[Block]:
    pieces: list[bytes] = []
    size = 0
    for piece in sources.whole(handle, part, limits.block_bytes):
        size += len(piece)
        if size > limits.record_bytes:
            raise _too_long(part.path, 0, limits, pieces[0][:SHOWN_CHARS] if pieces else piece[:SHOWN_CHARS])
        pieces.append(piece)
    content = b"".join(pieces)
    text = content if encoding == "bytes" else content.removeprefix(BOM).decode("utf-8", "surrogateescape")
    yield FileBlock(part.path, [text])


def _too_long(path: str, offset: int, limits: ReadLimits, raw: bytes) -> TaskFailed:
    place = place_of(path, offset, raw)
    return TaskFailed(
        "input",
        f"{place} is longer than {limits.record_bytes} bytes, the limit for one record. Cut it up, or leave it out.",
        record=place,
    )
