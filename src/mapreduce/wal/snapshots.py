"""Snapshots: the state after a certain record in one file, so that older segments can go.

Written under a temporary name, synced, renamed, made durable in the folder, then read back and compared. A snapshot
that has a name is therefore whole; a damaged one rotted, and the older generation takes its place.
"""

from __future__ import annotations

import errno

from mapreduce.wal.codec import (
    HEADER_BYTES_MAX,
    SNAPSHOT_MAGIC,
    Damage,
    FileHeader,
    UnknownVersion,
    pack_snapshot,
    parse_header,
    parse_snapshot,
)
from mapreduce.wal.files import FileSystem, write_fully
from mapreduce.wal.names import TEMPORARY, SnapshotId, place


def write_snapshot(
    files: FileSystem, folder: str, identity: SnapshotId, state: bytes, *, store_id: bytes, salt: bytes
) -> int:
    """Write a snapshot durably, verify it by reading it again, and return its bytes. Raises OSError."""
    header = FileHeader(
        magic=SNAPSHOT_MAGIC, store_id=store_id, salt=salt, epoch=identity.epoch, number=identity.sequence
    )
    data = pack_snapshot(header, state)
    path = place(folder, identity.name)
    temporary = path + TEMPORARY
    file = files.create(temporary)
    write_fully(file, data)
    file.sync()
    file.close()
    files.rename(temporary, path)
    files.sync_folder(folder)
    if files.read(path) != data:
        raise OSError(errno.EIO, "the snapshot reads back other bytes than were written", path)
    return len(data)


def peek_snapshot(files: FileSystem, folder: str, identity: SnapshotId) -> FileHeader | UnknownVersion | Damage:
    """Return the header of a snapshot file without reading its state. Raises OSError."""
    header = parse_header(files.read(place(folder, identity.name), HEADER_BYTES_MAX), SNAPSHOT_MAGIC)
    return _named(identity, header) if isinstance(header, FileHeader) else header


def load_snapshot(files: FileSystem, folder: str, identity: SnapshotId) -> bytes | Damage:
    """Return the state in a snapshot file whose header was found good, or what is wrong with it. Raises OSError."""
    found = parse_snapshot(files.read(place(folder, identity.name)))
    if isinstance(found, Damage):
        return found
    if isinstance(found, UnknownVersion):
        return Damage(f"a snapshot of format {found.major}.{found.minor}.")
    header, state = found
    named = _named(identity, header)
    return named if isinstance(named, Damage) else state


def _named(identity: SnapshotId, header: FileHeader) -> FileHeader | Damage:
    inside = SnapshotId(sequence=header.number, epoch=header.epoch)
    if inside != identity:
        return Damage(f"it contains {inside.name}: the file was renamed or copied.")
    return header
