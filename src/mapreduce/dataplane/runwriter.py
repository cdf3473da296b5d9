"""Writes a run file (`runs`): cuts groups into blocks, encodes, compresses, indexes, syncs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from xxhash import xxh3_64, xxh3_64_intdigest

from mapreduce.dataplane import runs
from mapreduce.dataplane.compression import compress
from mapreduce.dataplane.files import DurableFile
from mapreduce.dataplane.footprint import footprint
from mapreduce.dataplane.groups import Groups, join_groups
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec


class RunFacts(NamedTuple):
    """What the commit of a run needs; `size` 0 means that nothing was written and no file exists."""

    size: int
    digest: int
    entries: list[runs.IndexEntry]


class RunWriter:
    """Writes one run; a context manager that removes the file unless `close` was reached.

    Partitions come in ascending order, the keys of each in key order. Raises `UnstorableValue` for a key or value that
    has no storable type or is too large, `TaskFailed` (system) for the disk.
    """

    def __init__(
        self, path: Path, header: runs.RunHeader, partitions: int, codec: Codec, *, is_durable: bool = True
    ) -> None:
        self._file = DurableFile(path, is_durable=is_durable)
        self._codec = codec
        self._header = runs.pack_header(header, partitions)
        self._entries: list[runs.IndexEntry] = []
        self._pending: Groups | None = None
        self._pending_bytes = 0
        self._partition = -1
        self._begin(-1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write(self, partition: int, groups: Groups) -> None:
        """Adds groups that follow all those written so far."""
        if not groups.keys:
            return
        if partition != self._partition:
            self._end()
            assert partition > self._partition, "partitions are written in ascending order"
            self._begin(partition)
        self._add(groups)

    def close(self) -> RunFacts:
        """Writes index and trailer, syncs, closes."""
        self._end()
        if self._entries:
            self._file.write(runs.pack_index(self._entries, self._file.size))
        self._file.close()
        return RunFacts(self._file.size, runs.run_digest(self._entries) if self._entries else 0, self._entries)

    # ------------------------------------------------------------------------------------------- groups into blocks

    def _add(self, groups: Groups) -> None:
        """Cuts what is too large for a block into halves, joins what is small, and writes full blocks."""
        if len(groups.keys) > runs.BLOCK_GROUPS:
            for start in range(0, len(groups.keys), runs.BLOCK_GROUPS):
                self._add(groups.slice(start, min(start + runs.BLOCK_GROUPS, len(groups.keys))))
            return
        size = footprint(groups.keys) + footprint(groups.values)
        if size > runs.BLOCK_FOOTPRINT_BYTES and len(groups.values) > 1:
            pieces = -(-size // runs.BLOCK_FOOTPRINT_BYTES)
            length = min(-(-len(groups.values) // pieces), len(groups.values) - 1)
            for piece in _pieces(groups, length):
                self._add(piece)
            return
        if size > runs.MAX_MEMBER_BYTES:
            _refuse(groups.keys[0], groups.values[0])
        pending = self._pending
        if pending is not None:
            is_full = len(pending.keys) + len(groups.keys) > runs.BLOCK_GROUPS
            if pending.continues or is_full or self._pending_bytes + size > runs.BLOCK_FOOTPRINT_BYTES:
                self._write_block(pending)
            else:
                groups, size = join_groups(pending, groups), self._pending_bytes + size
        self._pending, self._pending_bytes = groups, size

    def _begin(self, partition: int) -> None:
        self._partition = partition
        self._blocks = self._groups = self._values = 0
        self._offset = self._file.size or len(self._header)
        self._logical = xxh3_64()

    def _end(self) -> None:
        if self._pending is not None:
            assert not self._pending.continues, "a key that goes on needs a next block"
            self._write_block(self._pending)
            self._pending = None
        if self._blocks:
            size = self._file.size - self._offset
            counted = (self._groups, self._values, self._logical.intdigest())
            self._entries.append(runs.IndexEntry(self._partition, self._blocks, self._offset, size, *counted))

    def _write_block(self, groups: Groups) -> None:
        raw = self._encode(groups)
        flags = runs.FLAG_CONTINUES if groups.continues else 0
        counted = (len(groups.keys), len(groups.values))
        self._logical.update(runs.LOGICAL_BLOCK.pack(*counted, flags, len(raw)))
        self._logical.update(raw)
        stored = compress(raw)
        if len(stored) < len(raw):
            flags |= runs.FLAG_ZSTD
        else:
            stored = raw
        head = runs.BLOCK.pack(len(stored), len(raw), *counted, flags, self._partition)
        checksum = xxh3_64_intdigest(head + stored, self._blocks)
        if not self._file.size:
            self._file.write(self._header)
        self._file.write(head + runs.CHECKSUM.pack(checksum) + stored)
        self._blocks += 1
        self._groups += counted[0]
        self._values += counted[1]

    def _encode(self, groups: Groups) -> bytes:
        keys = self._codec.encode_column(groups.keys, "key")
        counts = b"" if groups.counts is None else self._codec.encode_column(groups.counts)
        values = self._codec.encode_column(groups.values)
        return b"".join((runs.COLUMNS.pack(len(keys), len(counts)), keys, counts, values))


def _pieces(groups: Groups, length: int) -> Iterator[Groups]:
    """Parts of about `length` values each; a single key is cut between its values and goes on in the next part."""
    if len(groups.keys) == 1:
        stops = range(length, len(groups.values) + length, length)
        for stop in stops:
            values = groups.values[stop - length : stop]
            continues = groups.continues or stop < len(groups.values)
            yield Groups(groups.keys, None if len(values) == 1 else [len(values)], values, continues)
        return
    start = gathered = 0
    for index, count in enumerate(groups.counts or itertools.repeat(1, len(groups.keys))):
        if gathered and gathered + count > length:
            yield groups.slice(start, index)
            start, gathered = index, 0
        gathered += count
    yield groups.slice(start, len(groups.keys))


def _refuse(key: Any, value: Any) -> None:
    limit = f"it is larger than {runs.MAX_MEMBER_BYTES >> 20} MiB"
    if footprint([key]) > runs.MAX_MEMBER_BYTES:
        raise UnstorableValue("key", key, limit)
    raise UnstorableValue("value", value, limit)
