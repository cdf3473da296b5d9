"""Reading one segment: which of its records can be trusted, and what the first one that cannot means. Pure.

Several segments together are `recovery`. The rule that tells a crash from rot: every record says up to which sequence
the log was on the disk when it was written (the durable mark). What is bad above the highest mark found was never
acknowledged from behind an fsync that another record knows of, so a crash may have lost or reordered it; what is bad
at or below it was on the disk, so it rotted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final
from zlib import crc32

import msgspec

from mapreduce.wal.codec import (
    ALIGNMENT,
    DATA,
    HEADER_BYTES,
    MARK,
    RECORD_BYTES,
    SEAL,
    SEGMENT_MAGIC,
    SKIPPABLE,
    START_BYTES,
    TAG,
    TAG_OFFSET,
    Damage,
    FileHeader,
    Seal,
    UnknownVersion,
    header_checksum,
    padded_bytes,
    parse_header,
    parse_seal,
    unpack_record_from,
)

_TAG_BYTES: Final = TAG.to_bytes(2, "little")


class Finding(Enum):
    """What ends the trusted records of a segment; the value is the word that reports use."""

    CLEAN = "clean end"
    TORN = "torn tail"
    HOLE = "hole above the durable mark"
    ROT = "rot"
    UNKNOWN_TYPE = "record type of a newer release"


class Start(msgspec.Struct, frozen=True):
    """Header and seal of a segment: all that is needed to place it in the chain."""

    header: FileHeader
    seal: Seal
    sequence: int
    checksum: int

    @property
    def end(self) -> int:
        """Offset behind the carried records; everything before was on the disk before the segment had its name."""
        return START_BYTES + self.seal.carried_bytes


class Cut(msgspec.Struct, frozen=True):
    """A place behind a record: offset, sequence and checksum of what lies before it."""

    offset: int
    sequence: int
    checksum: int


@dataclass(slots=True)
class Scan:
    """The trusted records of a segment, why they end where they end, and what lies behind."""

    data: bytes
    start: Start
    offsets: array[int]
    end: Cut
    finding: Finding
    problem: str
    mark: int
    highest_sequence: int
    skipped_count: int
    sequence_after_start: int

    @property
    def has_own_records(self) -> bool:
        """Whether the segment's incarnation logged anything besides what it carried over."""
        return self.end.sequence > self.sequence_after_start

    def durable_end(self) -> Cut:
        """Return the place behind the last record that is known to have been on the disk: where a successor seals."""
        base = self.start.sequence
        count = max(0, min(self.mark, self.end.sequence) - base)
        if count == 0:
            return Cut(START_BYTES, base, self.start.checksum)
        offset = self.offsets[count - 1]
        checksum, length, *_ = unpack_record_from(self.data, offset)
        return Cut(offset + padded_bytes(length), base + count, checksum)

    def records(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, body) of the trusted DATA records with a sequence above `after`."""
        sequence = max(after, self.start.sequence)
        for offset in self.offsets[sequence - self.start.sequence :]:
            sequence += 1
            _, length, *_ = unpack_record_from(self.data, offset)
            body = offset + RECORD_BYTES
            yield sequence, self.data[body : body + length]


def parse_start(data: bytes) -> Start | UnknownVersion | Damage:
    """Parse header and SEAL from the first START_BYTES of a segment."""
    header = parse_header(data, SEGMENT_MAGIC)
    if not isinstance(header, FileHeader):
        return header
    if len(data) < START_BYTES:
        return Damage("the seal at the segment's start is cut.")
    checksum, length, kind, _, tag, previous, sequence, _ = unpack_record_from(data, HEADER_BYTES)
    if tag != TAG or HEADER_BYTES + padded_bytes(length) != START_BYTES:
        return Damage("the segment does not start with a seal.")
    if crc32(data[HEADER_BYTES + 4 : START_BYTES], header.seed) != checksum:
        return Damage("the checksum of the seal at the segment's start does not match.")
    if kind != SEAL or previous != header_checksum(header):
        return Damage("the first record is no seal of this segment.")
    seal = parse_seal(data[HEADER_BYTES + RECORD_BYTES : START_BYTES])
    if isinstance(seal, Damage):
        return seal
    return Start(header=header, seal=seal, sequence=sequence, checksum=checksum)


def scan_sealed(data: bytes, start: Start, valid_bytes: int, checksum: int) -> Scan:
    """Scan a segment up to where its successor sealed it; anything wrong before is rot, anything behind is ignored."""
    walk = _Walk(data, start, min(valid_bytes, len(data)))
    walk.run()
    found = walk.cut()
    if walk.problem == "":
        if found.offset < valid_bytes:
            walk.problem = f"the segment is cut: its successor sealed {valid_bytes} bytes."
        elif found.checksum != checksum:
            walk.problem = "the last record is not the one that the successor sealed."
    finding = Finding.CLEAN if walk.problem == "" else Finding.ROT
    if walk.is_unknown_type:
        finding = Finding.UNKNOWN_TYPE
    return walk.result(finding, mark=found.sequence)


def scan_open(data: bytes, start: Start, durable_sequence: int = 0) -> Scan:
    """Scan the last segment, which nobody sealed. `durable_sequence`: what a snapshot knows to be on the disk."""
    walk = _Walk(data, start, len(data))
    walk.run()
    found, mark = walk.cut(), max(walk.mark, durable_sequence)
    if walk.is_unknown_type:
        return walk.result(Finding.UNKNOWN_TYPE, mark=mark)
    is_followed = False
    if walk.problem and not walk.is_out_of_order:
        # The marks of records behind a hole count too: they may know that the hole was on the disk.
        is_followed = walk.resynchronise()
        mark = max(walk.mark, durable_sequence)
    if walk.problem == "" and found.offset >= start.end:
        finding = Finding.CLEAN if found.sequence >= mark else Finding.ROT
        if finding is Finding.ROT:
            walk.problem = f"the records up to {mark}, which a snapshot knows to have been on the disk, are gone."
    elif found.offset < start.end or walk.is_out_of_order or found.sequence < mark:
        finding = Finding.ROT
        walk.problem = walk.problem or "the segment is cut within the records that it carried over."
    else:
        finding = Finding.HOLE if is_followed else Finding.TORN
    return walk.result(finding, mark=max(mark, walk.sequence_at_start_end))


class _Walk:
    """One pass over a segment's records, in order, until something is not as it must be."""

    def __init__(self, data: bytes, start: Start, end: int) -> None:
        self.data, self.start, self._end = data, start, end
        self.view = memoryview(data)
        self.offsets: array[int] = array("Q")
        self.problem = ""
        self.is_out_of_order = False
        self.is_unknown_type = False
        self.mark = start.sequence
        self.skipped_count = 0
        self.sequence_at_start_end = start.sequence
        self.highest_sequence = start.sequence
        self._offset, self._sequence, self._checksum = START_BYTES, start.sequence, start.checksum

    def cut(self) -> Cut:
        return Cut(self._offset, self._sequence, self._checksum)

    def result(self, finding: Finding, mark: int) -> Scan:
        return Scan(
            data=self.data,
            start=self.start,
            offsets=self.offsets,
            end=self.cut(),
            finding=finding,
            problem=self.problem,
            mark=mark,
            highest_sequence=max(self.highest_sequence, self._sequence),
            skipped_count=self.skipped_count,
            sequence_after_start=self.sequence_at_start_end,
        )

    def run(self) -> None:
        """Walk from the seal on. One loop without calls to our own functions: a million records take about a second."""
        view, data, end, seed = self.view, self.data, self._end, self.start.header.seed
        offset, sequence, previous, mark = self._offset, self._sequence, self._checksum, self.mark
        start_end, add, unpack, checksum_of = self.start.end, self.offsets.append, unpack_record_from, crc32
        problem = ""
        while offset < end:
            if end - offset < RECORD_BYTES:
                problem = f"{end - offset} bytes, too few for a record."
                break
            checksum, length, kind, _, tag, link, own_sequence, own_mark = unpack(data, offset)
            behind = offset + RECORD_BYTES + length + (-length % ALIGNMENT)
            if tag != TAG or behind > end:
                problem = (
                    "no record starts here." if tag != TAG else f"a length of {length} bytes reaches past the end."
                )
                break
            if checksum_of(view[offset + 4 : behind], seed) != checksum:
                problem = "the record's checksum does not match."
                break
            if link != previous or own_sequence != sequence + (kind == DATA):
                problem = f"a valid record with sequence {own_sequence} in the wrong place (after {sequence})."
                self.is_out_of_order = True
                break
            if kind == DATA:
                sequence = own_sequence
                add(offset)
            elif kind & SKIPPABLE:
                self.skipped_count += 1
            elif kind != MARK:
                problem = f"a record of the unknown type {kind}."
                self.is_unknown_type = True
                break
            if own_mark > mark:
                mark = own_mark
            previous, offset = checksum, behind
            if offset == start_end:
                self.sequence_at_start_end = sequence
        self.problem, self.mark = problem, mark
        self._offset, self._sequence, self._checksum = offset, sequence, previous

    def resynchronise(self) -> bool:
        """Look for valid records behind the bad one, take their marks and sequences; return whether there is any."""
        data, end, at = self.data, self._end, self._offset
        sequence_limit = self._sequence + (end - at) // RECORD_BYTES + 1
        is_found = False
        at += ALIGNMENT
        while (tag_at := data.find(_TAG_BYTES, at + TAG_OFFSET, end)) >= 0:
            at = tag_at - TAG_OFFSET
            if at % ALIGNMENT or (behind := self._valid_end(at, sequence_limit)) == 0:
                at += 1
                continue
            is_found = True
            *_, sequence, mark = unpack_record_from(data, at)
            self.mark = max(self.mark, mark)
            self.highest_sequence = max(self.highest_sequence, sequence)
            at = behind
        return is_found

    def _valid_end(self, offset: int, sequence_limit: int) -> int:
        """Return where the record at `offset` ends, or 0 if there is none that could belong to this segment."""
        if self._end - offset < RECORD_BYTES:
            return 0
        checksum, length, _, _, _, _, sequence, mark = unpack_record_from(self.data, offset)
        behind: int = offset + padded_bytes(length)
        # The cheap tests come first: garbage with large lengths must not cost one checksum of the rest per place.
        if not self._sequence <= sequence <= sequence_limit or mark > sequence or behind > self._end:
            return 0
        return behind if crc32(self.view[offset + 4 : behind], self.start.header.seed) == checksum else 0


def highest_sequence(data: bytes, start: Start) -> int:
    """Return the highest sequence of any valid record in a segment, wherever it is. For numbering on after rot."""
    walk = _Walk(data, start, len(data))
    walk.run()
    if walk.problem:
        walk.resynchronise()
    return max(walk.highest_sequence, walk.cut().sequence)
