"""Reads a run file (`runs`), one partition or all, and trusts nothing in it: damage is `CorruptRun` naming the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from xxhash import xxh3_64, xxh3_64_intdigest

from mapreduce.dataplane import runs
from mapreduce.dataplane.compression import expand
from mapreduce.dataplane.groups import Groups
from mapreduce.dataplane.values import Codec, UndecodableColumn
from mapreduce.errors import CorruptRun, TaskFailed


class RunReader:
    """An open run. Reading one partition touches only header, index and that partition's bytes.

    `digest` is the run's logged digest, checked against the index. Raises `CorruptRun` for a file that is missing, cut,
    altered, or another one than it should be, or that its disk does not give; `TaskFailed` of class `system` when it is
    this process that cannot read.
    """

    def __init__(self, path: Path, name: str, codec: Codec, digest: int | None = None) -> None:
        self.name = name
        self._codec = codec
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _failure(name, "opened", error) from error
        try:
            self.entries = self._read_index()
            if digest is not None and runs.run_digest(self.entries) != digest:
                self._damaged("its content is not what was committed")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def groups(self, partition: int) -> Iterator[Groups]:
        """The blocks of one partition, in key order; nothing if it has no records."""
        for entry in self.entries:
            if entry.partition == partition:
                yield from self._blocks(entry)

    def _blocks(self, entry: runs.IndexEntry) -> Iterator[Groups]:
        offset, end = entry.offset, entry.offset + entry.bytes
        logical = xxh3_64()
        group_count = value_count = 0
        continues = False
        for number in range(entry.blocks):
            head = self._read(offset, min(runs.BLOCK_HEADER_BYTES, end - offset))
            if len(head) < runs.BLOCK_HEADER_BYTES:
                self._damaged(f"a block at byte {offset} is cut short")
            stored_bytes, raw_bytes, keys, values, flags, partition = runs.BLOCK.unpack_from(head)
            left = end - offset - runs.BLOCK_HEADER_BYTES
            if stored_bytes > left or raw_bytes > runs.MAX_RAW_BYTES or partition != entry.partition:
                self._damaged(f"a block at byte {offset} has a damaged header")
            stored = self._read(offset + runs.BLOCK_HEADER_BYTES, stored_bytes)
            checksum = runs.CHECKSUM.unpack_from(head, runs.BLOCK.size)[0]
            if checksum != xxh3_64_intdigest(head[: runs.BLOCK.size] + stored, number):
                self._damaged(f"a block at byte {offset} is altered")
            try:
                raw = expand(stored, raw_bytes) if flags & runs.FLAG_ZSTD else stored
                groups = self._decode(raw, keys, values, continues=bool(flags & runs.FLAG_CONTINUES))
            except (ValueError, UndecodableColumn) as error:
                self._damaged(f"a block at byte {offset} does not decode: {error}")
            logical.update(runs.LOGICAL_BLOCK.pack(keys, values, flags & runs.FLAG_CONTINUES, raw_bytes))
            logical.update(raw)
            offset += runs.BLOCK_HEADER_BYTES + stored_bytes
            group_count += keys
            value_count += values
            continues = groups.continues
            yield groups
        counted = (offset, group_count, value_count, logical.intdigest())
        if continues or counted != (end, entry.groups, entry.values, entry.digest):
            self._damaged(f"partition {entry.partition} does not hold what the index says")

    def _decode(self, raw: bytes, key_count: int, value_count: int, *, continues: bool) -> Groups:
        if len(raw) < runs.COLUMNS.size:
            raise ValueError("it has no columns")
        key_bytes, count_bytes = runs.COLUMNS.unpack_from(raw)
        view = memoryview(raw)[runs.COLUMNS.size :]
        if key_bytes + count_bytes > len(view):
            raise ValueError("its columns are longer than the block")
        keys = self._codec.decode_column(view[:key_bytes])
        values = self._codec.decode_column(view[key_bytes + count_bytes :])
        counts = self._codec.decode_column(view[key_bytes : key_bytes + count_bytes]) if count_bytes else None
        if not key_count or len(keys) != key_count or len(values) != value_count:
            raise ValueError("its columns have other lengths than its header says")
        if counts is None:
            if key_count != value_count:
                raise ValueError("it has another number of values than of keys")
        elif (
            set(map(type, counts)) != {int} or min(counts) < 1 or len(counts) != key_count or sum(counts) != value_count
        ):
            raise ValueError("its counts do not add up")
        return Groups(keys, counts, values, continues)

    def _read_index(self) -> list[runs.IndexEntry]:
        try:
            size = os.fstat(self._descriptor).st_size
            if size < runs.HEADER_BYTES + runs.TRAILER_BYTES:
                self._damaged("it is cut short")
            _, partitions = runs.unpack_header(self._read(0, runs.HEADER_BYTES))
            offset, _ = runs.unpack_trailer(self._read(size - runs.TRAILER_BYTES, runs.TRAILER_BYTES), size)
            return runs.unpack_index(self._read(offset, size - offset), offset, partitions)
        except OSError as error:
            raise _failure(self.name, "read", error) from error
        except ValueError as error:
            self._damaged(str(error))

    def _read(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        try:
            while size:
                part = os.pread(self._descriptor, size, offset)
                if not part:
                    self._damaged("it is cut short")
                parts.append(part)
                offset += len(part)
                size -= len(part)
        except OSError as error:
            raise _failure(self.name, "read", error) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _damaged(self, problem: str) -> NoReturn:
        raise CorruptRun(self.name, f"{problem}.")


def _failure(name: str, done: str, error: OSError) -> CorruptRun | TaskFailed:
    if error.errno in runs.LOST_ERRNOS:
        return CorruptRun(name, f"it cannot be {done}: {error.strerror or error}.")
    return TaskFailed(
        "system",
        f"run {name} cannot be {done} here, which says nothing about the run: {error}. Look at the worker's limits and "
        f"volumes.",
    )
