"""Input files for tests, and the plainest possible readers to compare the real ones with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.readers import ReadLimits, read_split
from mapreduce.dataplane.splits import plan_splits
from mapreduce.model import Encoding, Input, InputFormat
from mapreduce.protocol.messages import Split


def plan(source: Input, split_size_bytes: int) -> list[Split]:
    """The splits of one input."""
    return list(plan_splits([list_input(source)], [source.format], split_size_bytes))


def read_all(
    path: Path | str,
    *,
    kind: InputFormat = "lines",
    encoding: Encoding = "utf-8",
    split_size_bytes: int = 1 << 20,
    limits: ReadLimits | None = None,
) -> list[tuple[Any, Any]]:
    """All (key, value) pairs of an input, in order, read split by split."""
    source = Input(uri=str(path), format=kind, encoding=encoding)
    return [
        pair
        for split in plan(source, split_size_bytes)
        for block in read_split(split, source, limits or ReadLimits())
        for pair in zip(block.keys(), block.records, strict=True)
    ]


def values(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """The second halves."""
    return [value for _, value in pairs]


def naive_lines(data: bytes) -> list[tuple[int, bytes]]:
    """Offset and content of each line, byte by byte: `\\n` ends a line, one `\\r` before it (or at the end) goes."""
    lines: list[tuple[int, bytes]] = []
    start = 0
    for position, byte in enumerate(data):
        if byte == 0x0A:
            lines.append((start, data[start:position]))
            start = position + 1
    if start < len(data):
        lines.append((start, data[start:]))
    return [(offset, line[:-1] if line[-1:] == b"\r" else line) for offset, line in lines]


def naive_text(data: bytes) -> list[tuple[int, str]]:
    """The same as text: without byte order mark, undecodable bytes as surrogates."""
    lines = naive_lines(data)
    if data[:3] == b"\xef\xbb\xbf":
        first = lines[0][1][3:]
        lines = [] if len(data) == 3 else [(0, first), *lines[1:]]
    return [(offset, line.decode("utf-8", "surrogateescape")) for offset, line in lines]
