"""Blocks: about 1 MiB of consecutive records of one file, with their keys and places worked out only when asked for.

Who fills them is `readers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Protocol

import msgspec

BOM: Final = b"\xef\xbb\xbf"
SHOWN_CHARS: Final = 80
"""How much of a record a message shows."""


class Block(Protocol):
    """Consecutive records of one file."""

    @property
    def path(self) -> str:
        """The file these records come from."""
        ...

    @property
    def records(self) -> list[Any]:
        """Values in order: lines (str or bytes), parsed JSON, rows (lists of str), or contents of files."""
        ...

    def keys(self) -> Sequence[Any]:
        """The key of each record: its byte offset, or the file's path with the format `files`."""
        ...

    def offsets(self) -> Sequence[int]:
        """Where each record starts in its file (in its content, when the file is compressed)."""
        ...

    def place(self, index: int) -> str:
        """Where a record lies, for people: path, byte, and how it begins."""
        ...


@dataclass(slots=True)
class LineBlock:
    """Whole lines, as one piece of bytes; offsets are worked out only when somebody asks."""

    path: str
    raw: bytes
    start: int
    records: list[Any]
    _offsets: list[int] = field(default_factory=list)

    def offsets(self) -> Sequence[int]:
        """Where each line starts."""
        if not self._offsets:
            lengths = (len(line) + 1 for line in self.raw.split(b"\n"))
            self._offsets = list(accumulate(lengths, initial=self.start))[: len(self.records)]
        return self._offsets

    def keys(self) -> Sequence[int]:
        """The offsets."""
        return self.offsets()

    def place(self, index: int) -> str:
        """Path, byte, and how the line begins."""
        offset = self.offsets()[index]
        return place_of(self.path, offset, begin(self.raw, offset - self.start))


@dataclass(slots=True)
class RowBlock:
    """Parsed records with their offsets; `raw` is the text they were parsed from."""

    path: str
    raw: bytes
    start: int
    records: list[Any] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)

    def add(self, record: object, offset: int) -> None:
        """Append one record that starts at `offset`."""
        self.records.append(record)
        self._offsets.append(offset)

    def offsets(self) -> Sequence[int]:
        """Where each record starts."""
        return self._offsets

    def keys(self) -> Sequence[int]:
        """The offsets."""
        return self._offsets

    def place(self, index: int) -> str:
        """Path, byte, and how the record begins."""
        offset = self._offsets[index]
        return place_of(self.path, offset, begin(self.raw, offset - self.start))


class FileBlock(msgspec.Struct, frozen=True):
    """One whole file as one record."""

    path: str
    records: list[Any]

    def keys(self) -> Sequence[str]:
        """The file's path."""
        return [self.path]

    def offsets(self) -> Sequence[int]:
        """A file starts at 0."""
        return [0]

    def place(self, index: int) -> str:
        """The path; the content is the whole file."""
        assert index == 0, "a file is one record"
        return f"{self.path}, the whole file"


def begin(raw: bytes, position: int) -> bytes:
    """How a record begins, without copying all that follows: a traced task asks for each record's place."""
    return raw[position : position + SHOWN_CHARS * 4]


def place_of(path: str, offset: int, raw: bytes) -> str:
    """`path, byte 1234: 'start of the record'`, on one line whatever the record holds."""
    text = raw[: SHOWN_CHARS * 4].removeprefix(BOM).partition(b"\n")[0].decode("utf-8", "replace").removesuffix("\r")
    shown = text[:SHOWN_CHARS] + ("..." if len(text) > SHOWN_CHARS else "")
    return f"{path}, byte {offset}: {shown!r}"
