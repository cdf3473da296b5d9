"""The names of files in a log folder, and what a listing of the folder holds. No bytes, no file calls but the listing.

    epoch-0000000007                          claim of epoch 7 (empty; its existence is the claim)
    segment-0000000003-e0000000007.wal        segment 3, written by epoch 7
    snapshot-0000000000001200-e0000000007.snap  state after the record with sequence 1200, written by epoch 7
    *.tmp                                     being written; the epoch in the name owns it
    *.broken                                  kept copies of what was cut off, for people; never read

A segment's number says its place in the chain, its epoch makes the name unique: a successor never collides with a
zombie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from mapreduce.wal.files import FileSystem

TEMPORARY: Final = ".tmp"
BROKEN: Final = ".broken"

_CLAIM = re.compile(r"epoch-(\d{10,})\Z")
_SEGMENT = re.compile(r"segment-(\d{10,})-e(\d{10,})\.wal\Z")
_SNAPSHOT = re.compile(r"snapshot-(\d{16,})-e(\d{10,})\.snap\Z")
_OWNER = re.compile(r"-e(\d{10,})\.")


@dataclass(frozen=True, slots=True, order=True)
class SegmentId:
    """A segment's identity; ordered by epoch first, because what a later incarnation wrote decides."""

    epoch: int
    number: int

    @property
    def name(self) -> str:
        """The file name."""
        return f"segment-{self.number:010d}-e{self.epoch:010d}.wal"


@dataclass(frozen=True, slots=True, order=True)
class SnapshotId:
    """A snapshot's identity; ordered by the sequence of the last record in it."""

    sequence: int
    epoch: int

    @property
    def name(self) -> str:
        """The file name."""
        return f"snapshot-{self.sequence:016d}-e{self.epoch:010d}.snap"


def claim_name(epoch: int) -> str:
    """Return the name of an epoch's claim."""
    return f"epoch-{epoch:010d}"


def place(folder: str, name: str) -> str:
    """Return the path of a file in the log folder."""
    return f"{folder}/{name}"


class Listing(msgspec.Struct, frozen=True):
    """The names found in a log folder, by kind and sorted."""

    claims: tuple[int, ...]
    segments: tuple[SegmentId, ...]
    snapshots: tuple[SnapshotId, ...]
    temporary: tuple[str, ...]
    broken: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that any name speaks of; 0 in an empty folder."""
        owners = [int(match[1]) for name in self.temporary if (match := _OWNER.search(name))]
        segments = [segment.epoch for segment in self.segments]
        snapshots = [snapshot.epoch for snapshot in self.snapshots]
        return max((*self.claims, *segments, *snapshots, *owners), default=0)


def list_log(files: FileSystem, folder: str) -> Listing:
    """List a log folder. Raises OSError."""
    claims: list[int] = []
    segments: list[SegmentId] = []
    snapshots: list[SnapshotId] = []
    temporary: list[str] = []
    broken: list[str] = []
    other: list[str] = []
    for name in sorted(files.list_folder(folder)):
        if match := _CLAIM.match(name):
            claims.append(int(match[1]))
        elif match := _SEGMENT.match(name):
            segments.append(SegmentId(epoch=int(match[2]), number=int(match[1])))
        elif match := _SNAPSHOT.match(name):
            snapshots.append(SnapshotId(sequence=int(match[1]), epoch=int(match[2])))
        elif name.endswith(TEMPORARY):
            temporary.append(name)
        elif name.endswith(BROKEN):
            broken.append(name)
        else:
            other.append(name)
    return Listing(
        claims=tuple(sorted(claims)),
        segments=tuple(sorted(segments)),
        snapshots=tuple(sorted(snapshots)),
        temporary=tuple(temporary),
        broken=tuple(broken),
        other=tuple(other),
    )


def is_temporary_of_older_epoch(name: str, epoch: int) -> bool:
    """Return whether a temporary file of ours was left by an incarnation before `epoch`."""
    match = _OWNER.search(name)
    return match is not None and int(match[1]) < epoch
