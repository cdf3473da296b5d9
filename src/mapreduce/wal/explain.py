"""A log explained to a person, offline and without writing: its records line by line, and a verdict with its reasons.

What the lines are printed with is the command line's; what a payload means is the caller's (`render`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

import msgspec

from mapreduce.errors import WALForeign
from mapreduce.wal.codec import (
    DATA,
    MARK,
    RECORD_BYTES,
    SKIPPABLE,
    START_BYTES,
    Damage,
    UnknownVersion,
    padded_bytes,
    unpack_record_from,
)
from mapreduce.wal.files import FileSystem, storage_failures
from mapreduce.wal.names import SegmentId, list_log, place
from mapreduce.wal.recovery import LogImage, read_log
from mapreduce.wal.scanning import Finding, Scan, Start, parse_start, scan_open, scan_sealed
from mapreduce.wal.snapshots import load_snapshot, peek_snapshot


class Verdict(Enum):
    """What opening the log would do."""

    EMPTY = "empty"
    """There is nothing; a coordinator would start from the beginning."""
    SOUND = "sound"
    """Opens; nothing is lost."""
    CUT = "cut"
    """Opens; a tail that a crash left and that was never acknowledged is dropped."""
    SPARE_DAMAGED = "spare damaged"
    """Opens; but what is kept in reserve (the older generation, files outside the log) is damaged."""
    ROT = "rot"
    """Opens with the trusted prefix only; the coordinator rebuilds the rest from verified outputs."""
    FOREIGN = "foreign"
    """Is refused: another store's, or a newer release's."""


class Report(msgspec.Struct, frozen=True):
    """The verdict, one sentence of why, and what was found in each file."""

    verdict: Verdict
    summary: str
    details: tuple[str, ...]
    sequence: int = 0
    snapshot_sequence: int = 0
    record_count: int = 0
    torn_bytes: int = 0


def verify(files: FileSystem, folder: str, store_id: bytes | None = None) -> Report:
    """Read every file of a log, the reserve too, and judge. Raises StorageFailed if a file cannot be read."""
    with storage_failures(f"reading the log {folder}"):
        try:
            image = read_log(files, folder, store_id)
        except WALForeign as error:
            return Report(Verdict.FOREIGN, str(error), ())
        spare = _spare_damage(files, folder, image)
    return Report(
        verdict=(verdict := _judge(image, bool(spare))),
        summary=_summary(verdict, image),
        details=(*_details(image), *spare, *image.notes),
        sequence=image.attachment.seal.sequence if image.rot else image.attachment.last_sequence,
        snapshot_sequence=image.snapshot.sequence if image.snapshot else 0,
        record_count=len(image.records),
        torn_bytes=image.torn_bytes,
    )


def dump(files: FileSystem, folder: str, render: Callable[[bytes], str]) -> Iterator[str]:
    """Yield a log line by line: snapshots, segments, records, and why a segment's records end. Raises StorageFailed."""
    with storage_failures(f"reading the log {folder}"):
        listing = list_log(files, folder)
        for epoch in listing.claims:
            yield f"claim of epoch {epoch}"
        for snapshot in listing.snapshots:
            header = peek_snapshot(files, folder, snapshot)
            state = load_snapshot(files, folder, snapshot)
            if isinstance(header, UnknownVersion):
                yield f"{snapshot.name}: format version {header.major}.{header.minor}"
            elif isinstance(state, Damage):
                yield f"{snapshot.name}: {state.problem}"
            else:
                yield f"{snapshot.name}: state of {len(state)} bytes after sequence {snapshot.sequence}"
        starts = _starts(files, folder, listing.segments)
        for segment in sorted(listing.segments, key=lambda it: (it.number, it.epoch)):
            start = starts[segment]
            if isinstance(start, Start):
                yield from _dump_segment(segment, start, files.read(place(folder, segment.name)), starts, render)
            elif isinstance(start, UnknownVersion):
                yield f"{segment.name}: format version {start.major}.{start.minor}"
            else:
                yield f"{segment.name}: {start.problem}"
        for name in (*listing.temporary, *listing.broken, *listing.other):
            yield f"{name}: not part of the log"


_Starts = dict[SegmentId, Start | UnknownVersion | Damage]


def _starts(files: FileSystem, folder: str, segments: tuple[SegmentId, ...]) -> _Starts:
    return {it: parse_start(files.read(place(folder, it.name), START_BYTES)) for it in segments}


def _dump_segment(
    segment: SegmentId, start: Start, data: bytes, starts: _Starts, render: Callable[[bytes], str]
) -> Iterator[str]:
    header, seal = start.header, start.seal
    yield f"{segment.name}: store {header.store_id.hex()}, epoch {header.epoch}, segment {header.number}"
    if seal.predecessor_number:
        before = SegmentId(epoch=seal.predecessor_epoch, number=seal.predecessor_number)
        yield f"  seals {before.name} at {seal.valid_bytes} bytes, sequence {seal.sequence}"
    if seal.is_rebuild_pending:
        yield f"  rot was found before this segment; numbering goes on after {start.sequence}"
    if seal.carried_bytes:
        yield f"  carries {seal.carried_bytes} bytes over"
    scan = scan_open(data, start)
    offset = START_BYTES
    while offset < scan.end.offset:
        checksum, length, kind, _, _, _, sequence, mark = unpack_record_from(data, offset)
        body = data[offset + RECORD_BYTES : offset + RECORD_BYTES + length]
        yield f"  {offset:>10}  #{sequence}  mark {mark}  {checksum:08x}  {_describe(kind, body, render)}"
        offset += padded_bytes(length)
    for sealed_at in sorted(_sealed_at(segment, starts)):
        if sealed_at < len(data):
            yield f"  {sealed_at:>10}  sealed here; {len(data) - sealed_at} bytes behind are not part of the log"
    if scan.finding is Finding.CLEAN:
        yield f"  {scan.end.offset:>10}  {scan.finding.value}"
    else:
        dropped = len(data) - scan.end.offset
        yield f"  {scan.end.offset:>10}  {scan.finding.value}: {scan.problem} {dropped} bytes follow"


def _describe(kind: int, body: bytes, render: Callable[[bytes], str]) -> str:
    if kind == DATA:
        return render(body)
    if kind == MARK:
        return "durable mark"
    return f"type {kind & ~SKIPPABLE} of a newer release, stepped over, {len(body)} bytes"


def _sealed_at(segment: SegmentId, starts: _Starts) -> set[int]:
    return {
        start.seal.valid_bytes
        for start in starts.values()
        if isinstance(start, Start)
        and (start.seal.predecessor_epoch, start.seal.predecessor_number) == (segment.epoch, segment.number)
    }


def _judge(image: LogImage, is_spare_damaged: bool) -> Verdict:
    if image.rot:
        return Verdict.ROT
    if image.cut:
        return Verdict.CUT
    if is_spare_damaged or image.damaged:
        return Verdict.SPARE_DAMAGED
    return Verdict.SOUND if image.scans or image.snapshot else Verdict.EMPTY


def _summary(verdict: Verdict, image: LogImage) -> str:
    content = f"{len(image.records)} records after snapshot {image.snapshot.sequence if image.snapshot else 0}"
    match verdict:
        case Verdict.ROT:
            return (
                f"{image.rot} What was there had been on the disk, so this is rot and no crash. {content} can be "
                f"trusted; the coordinator rebuilds the rest from outputs whose checksums verify."
            )
        case Verdict.CUT:
            return f"{image.cut} {content} can be trusted."
        case Verdict.SPARE_DAMAGED:
            return f"{content} can be trusted; what is kept in reserve is damaged."
        case Verdict.EMPTY:
            return "The folder holds no log."
        case _:
            return f"{content}, nothing is wrong."


def _details(image: LogImage) -> Iterator[str]:
    if image.snapshot:
        yield f"{image.snapshot.name}: loads, {len(image.state or b'')} bytes"
    for segment, scan in image.scans:
        yield _scan_line(segment, scan)
        if scan.finding in (Finding.TORN, Finding.HOLE):
            unmarked = scan.end.sequence + 1
            yield f"  nothing says that sequence {unmarked} was on the disk: the highest mark is {scan.mark}"
        elif scan.finding is Finding.ROT and scan.mark > scan.end.sequence:
            yield f"  another record or a snapshot says that sequences up to {scan.mark} were on the disk"


def _scan_line(segment: SegmentId, scan: Scan) -> str:
    own = scan.end.sequence - scan.start.sequence
    line = f"{segment.name}: {own} records up to sequence {scan.end.sequence}, {scan.finding.value}"
    skipped = f", {scan.skipped_count} records of a newer release stepped over" if scan.skipped_count else ""
    return line + (f" at offset {scan.end.offset}: {scan.problem}" if scan.problem else "") + skipped


def _spare_damage(files: FileSystem, folder: str, image: LogImage) -> list[str]:
    """Check what opening does not read: the older generation, and damaged files outside the log."""
    found: list[str] = []
    for snapshot in image.snapshots[:-1]:
        state = load_snapshot(files, folder, snapshot)
        if isinstance(state, Damage):
            found.append(f"{snapshot.name} (older generation): {state.problem}")
    scanned = {segment for segment, _ in image.scans}
    starts = image.survey.starts
    seals = [*(starts[segment].seal for segment, _ in image.chain[1:]), image.attachment.seal]
    for (segment, _), seal in zip(image.chain, seals, strict=False):
        if segment in scanned:
            continue
        scan = scan_sealed(files.read(place(folder, segment.name)), starts[segment], seal.valid_bytes, seal.checksum)
        if scan.finding is not Finding.CLEAN:
            found.append(f"{_scan_line(segment, scan)} (older generation)")
    found.extend(f"{it.name}: {damage.problem}" for it, damage in image.survey.damaged_segments.items())
    return found
