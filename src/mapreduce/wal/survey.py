"""The first look at a log folder: the starts of all segments and the headers of all snapshots, nothing of their
content.

Refuses what is not ours. Which of the files form the log, and what their records mean, is `recovery`.
"""

from __future__ import annotations

import msgspec

from mapreduce.errors import WALForeign
from mapreduce.wal.codec import MAJOR, START_BYTES, Damage, FileHeader, UnknownVersion
from mapreduce.wal.files import FileSystem
from mapreduce.wal.names import Listing, SegmentId, SnapshotId, list_log, place
from mapreduce.wal.scanning import Start, parse_start
from mapreduce.wal.snapshots import peek_snapshot


class Survey(msgspec.Struct, frozen=True):
    """What the folder holds. `store_id` is None in a folder without any readable file."""

    listing: Listing
    store_id: bytes | None
    starts: dict[SegmentId, Start]
    damaged_segments: dict[SegmentId, Damage]
    renamed: tuple[str, ...]
    snapshots: tuple[SnapshotId, ...]
    damaged_snapshots: dict[SnapshotId, Damage]


def survey_log(files: FileSystem, folder: str, store_id: bytes | None) -> Survey:
    """Read the start of every file. Raises WALForeign for another store's files and unknown versions; OSError."""
    listing = list_log(files, folder)
    gate = _Gate(folder, store_id)
    starts: dict[SegmentId, Start] = {}
    damaged_segments: dict[SegmentId, Damage] = {}
    renamed: list[str] = []
    blanks: dict[SegmentId, Start] = {}
    for segment in listing.segments:
        try:
            data = files.read(place(folder, segment.name), START_BYTES + 1)
            found = parse_start(data[:START_BYTES])
        except FileNotFoundError:
            continue  # an older incarnation's compaction removed it after the listing: it was not needed any more
        if isinstance(found, Damage):
            damaged_segments[segment] = found
            continue
        if len(data) == START_BYTES and isinstance(found, Start) and _is_blank(segment, found):
            blanks[segment] = found
            continue
        gate.admit(segment.name, found if isinstance(found, UnknownVersion) else found.header)
        if isinstance(found, UnknownVersion):
            continue
        inside = SegmentId(epoch=found.header.epoch, number=found.header.number)
        if inside == segment:
            starts[segment] = found
        else:
            damaged_segments[segment] = Damage(f"it contains {inside.name}: the file was renamed or copied.")
            renamed.append(f"{segment.name}: {damaged_segments[segment].problem}")
    snapshots: list[SnapshotId] = []
    damaged_snapshots: dict[SnapshotId, Damage] = {}
    for snapshot in listing.snapshots:
        try:
            header = peek_snapshot(files, folder, snapshot)
        except FileNotFoundError:
            continue
        if isinstance(header, Damage):
            damaged_snapshots[snapshot] = header
            continue
        gate.admit(snapshot.name, header)
        snapshots.append(snapshot)
    for segment in sorted(blanks, reverse=True):
        # Two incarnations began at once in an empty folder, each with an id of its own; the earlier claim lost, and its
        # segment never got a record.
        start = blanks[segment]
        if gate.is_other_store(start.header):
            continue
        gate.admit(segment.name, start.header)
        starts[segment] = start
    return Survey(
        listing=listing,
        store_id=gate.store_id,
        starts=starts,
        damaged_segments=damaged_segments,
        renamed=tuple(renamed),
        snapshots=tuple(snapshots),
        damaged_snapshots=damaged_snapshots,
    )


def _is_blank(segment: SegmentId, start: Start) -> bool:
    """A first segment in which nothing was ever logged."""
    inside = SegmentId(epoch=start.header.epoch, number=start.header.number)
    return inside == segment and start.seal.predecessor_number == 0


class _Gate:
    """Lets only files of one store and of a known version pass; the first file decides when no store is given."""

    def __init__(self, folder: str, store_id: bytes | None) -> None:
        self.folder, self.store_id = folder, store_id
        self._witness, self._is_settled = "the caller", False

    def is_other_store(self, header: FileHeader) -> bool:
        """Whether another file of the folder has decided already, for another store."""
        return self._is_settled and header.store_id != self.store_id

    def admit(self, name: str, header: FileHeader | UnknownVersion) -> None:
        if isinstance(header, UnknownVersion):
            raise WALForeign(
                f"log {self.folder}: {name} has format version {header.major}.{header.minor}, this release reads "
                f"{MAJOR}.x. Use a release that reads version {header.major}."
            )
        if self.store_id is None:
            self.store_id, self._witness = header.store_id, name
        elif header.store_id != self.store_id:
            raise WALForeign(
                f"log {self.folder}: {name} belongs to store {header.store_id.hex()}, but {self._witness} says "
                f"{self.store_id.hex()}. Point the coordinator at its own folder, or move the foreign file away."
            )
        self._is_settled = True
