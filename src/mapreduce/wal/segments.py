"""Writing one segment: created whole under a temporary name, then appended to by its one writer, never opened again.

A segment gets its name only after header, seal and carried records are on the disk. So a segment that has a name has a
sound start, and a damaged start is rot, never a crash.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mapreduce.wal.codec import (
    MARK,
    SEAL,
    SEGMENT_MAGIC,
    START_BYTES,
    FileHeader,
    Seal,
    header_checksum,
    pack_header,
    pack_record,
    pack_records,
    pack_seal,
    padded_bytes,
)
from mapreduce.wal.files import FileSystem, WritableFile, write_fully
from mapreduce.wal.names import TEMPORARY, SegmentId, place


class SegmentWriter:
    """The open segment of one incarnation. Every method may raise OSError; after one it must not be used again."""

    def __init__(self, file: WritableFile, identity: SegmentId, header: FileHeader, checksum: int) -> None:
        self.identity = identity
        self.length = 0
        self.checksum = checksum
        self._file, self._seed = file, header.seed

    @classmethod
    def create(
        cls,
        files: FileSystem,
        folder: str,
        identity: SegmentId,
        *,
        store_id: bytes,
        salt: bytes,
        seal: Seal,
        sequence: int,
        carried: Sequence[bytes],
    ) -> SegmentWriter:
        """Create a segment that starts behind `sequence` with copies of the `carried` bodies; return it durable."""
        header = FileHeader(
            magic=SEGMENT_MAGIC, store_id=store_id, salt=salt, epoch=identity.epoch, number=identity.number
        )
        temporary = place(folder, identity.name + TEMPORARY)
        writer = cls(files.create(temporary), identity, header, header_checksum(header))
        seal = msgspec.structs.replace(seal, carried_bytes=sum(padded_bytes(len(body)) for body in carried))
        record, writer.checksum = pack_record(
            SEAL, pack_seal(seal), seed=header.seed, previous=writer.checksum, sequence=sequence, mark=sequence
        )
        writer._write(pack_header(header) + record)
        writer.append(carried, sequence=sequence, mark=sequence)
        assert writer.length == START_BYTES + seal.carried_bytes
        writer.sync()
        files.rename(temporary, place(folder, identity.name))
        files.sync_folder(folder)
        return writer

    def append(self, bodies: Sequence[bytes], *, sequence: int, mark: int) -> int:
        """Write records behind `sequence`, not yet synced; return their bytes."""
        data, self.checksum = pack_records(
            bodies, seed=self._seed, previous=self.checksum, sequence=sequence, mark=mark
        )
        self._write(data)
        return len(data)

    def append_mark(self, mark: int) -> int:
        """Write a bare durable mark, not yet synced; return its bytes."""
        data, self.checksum = pack_record(MARK, b"", seed=self._seed, previous=self.checksum, sequence=mark, mark=mark)
        self._write(data)
        return len(data)

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        write_fully(self._file, data)
        self.length += len(data)
