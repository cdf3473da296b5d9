"""What a log folder says: its snapshot, its trusted records, and why they end where they end. Reads only, so it works
on a full disk and for explaining a log offline. Claiming, sealing and deleting are `log`.

The last segment (highest epoch, then number) is followed backwards through the seals to the newest snapshot; then the
segments are scanned forwards. Segments outside this chain are what a fenced incarnation or an interrupted recovery or
compaction left behind: nothing in them was ever acknowledged, or a snapshot contains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mapreduce.errors import WALForeign
from mapreduce.wal.codec import MAJOR, RECORD_BYTES, Damage, Seal
from mapreduce.wal.files import FileSystem
from mapreduce.wal.names import SegmentId, SnapshotId, place
from mapreduce.wal.scanning import Finding, Scan, highest_sequence, scan_open, scan_sealed
from mapreduce.wal.snapshots import load_snapshot
from mapreduce.wal.survey import Survey, survey_log


class Records:
    """The replayed records, decoded while they are iterated; may be iterated again. `len` counts them."""

    def __init__(self, scans: Sequence[Scan], after: int, until: int) -> None:
        self._scans, self._after, self._until = tuple(scans), after, until

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for scan in self._scans:
            for sequence, body in scan.records(self._after):
                if sequence > self._until:
                    return
                yield sequence, body

    def __len__(self) -> int:
        return sum(
            max(0, min(scan.end.sequence, self._until) - max(scan.start.sequence, self._after)) for scan in self._scans
        )


class Attachment(msgspec.Struct, frozen=True):
    """Where the next incarnation goes on: its segment's number and seal, and the records to make durable again."""

    number: int
    seal: Seal
    sequence: int
    carried: tuple[bytes, ...]

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record when the new segment is durable."""
        return self.sequence + len(self.carried)


class LooseEnd(msgspec.Struct, frozen=True):
    """Bytes of a segment that are not part of the log: from `offset` on."""

    segment: SegmentId
    offset: int
    data: bytes


class LogImage(msgspec.Struct, frozen=True):
    """All that reading a log folder tells."""

    survey: Survey
    snapshot: SnapshotId | None
    state: bytes | None
    snapshots: tuple[SnapshotId, ...]
    chain: tuple[tuple[SegmentId, int], ...]
    scans: tuple[tuple[SegmentId, Scan], ...]
    records: Records
    attachment: Attachment
    loose_end: LooseEnd | None
    torn_bytes: int
    cut: str
    rot: str | None
    notes: tuple[str, ...]
    damaged: frozenset[str]


def read_log(files: FileSystem, folder: str, store_id: bytes | None = None) -> LogImage:
    """Read a log folder. Raises WALForeign and OSError; rot is told in the image."""
    return _Reader(files, folder, survey_log(files, folder, store_id)).read()


class _Reader:
    """One reading, in the order of its methods; each fills in what the next needs."""

    def __init__(self, files: FileSystem, folder: str, survey: Survey) -> None:
        self.files, self.folder, self.survey = files, folder, survey
        self.notes: list[str] = []
        self.rot: str | None = survey.renamed[0] if survey.renamed else None
        self.scans: list[tuple[SegmentId, Scan]] = []
        self.damaged = {segment.name for segment in survey.damaged_segments}
        self.damaged |= {snapshot.name for snapshot in survey.damaged_snapshots}

    def read(self) -> LogImage:
        snapshots, snapshot, state = self._choose_snapshot()
        floor = snapshot.sequence if snapshot else 0
        chain = self._trace(floor)
        needed = chain[self._first_needed(chain, floor) :]
        self._scan(needed, floor)
        pending = self._pending_rebuild(needed, floor)
        attachment = self._attach_after_rot(floor) if self.rot else self._attach()
        until = attachment.seal.sequence if self.rot else attachment.last_sequence
        scans = [scan for _, scan in self.scans]
        last = scans[-1] if scans else None
        is_cut = last is not None and last.finding in (Finding.TORN, Finding.HOLE)
        return LogImage(
            survey=self.survey,
            snapshot=snapshot,
            state=state,
            snapshots=snapshots,
            chain=tuple((segment, self.survey.starts[segment].sequence) for segment in self._kept(chain, attachment)),
            scans=tuple(self.scans),
            records=Records(scans, floor, until),
            attachment=attachment,
            loose_end=self._loose_end(),
            torn_bytes=len(last.data) - last.end.offset if last and is_cut else 0,
            cut=_explain_cut(*self.scans[-1]) if is_cut else "",
            rot=self.rot or pending,
            notes=tuple(self.notes),
            damaged=frozenset(self.damaged),
        )

    def _choose_snapshot(self) -> tuple[tuple[SnapshotId, ...], SnapshotId | None, bytes | None]:
        """Return the usable snapshots in ascending order, and the newest that loads, with its state."""
        rebuilds = [start for start in self.survey.starts.values() if start.seal.is_rebuild_pending]
        for name, damage in self.survey.damaged_snapshots.items():
            self.notes.append(f"{name.name}: {damage.problem} The older generation is used.")
        usable: list[SnapshotId] = []
        for snapshot in sorted(self.survey.snapshots):
            # A zombie may finish a snapshot of what came to be cut off as rotten: not this history's.
            if any(snapshot.epoch < it.header.epoch and snapshot.sequence > it.seal.sequence for it in rebuilds):
                self.notes.append(f"{snapshot.name}: from before a rebuild; not used.")
            else:
                usable.append(snapshot)
        while usable:
            state = load_snapshot(self.files, self.folder, usable[-1])
            if not isinstance(state, Damage):
                return tuple(usable), usable[-1], state
            damaged = usable.pop().name
            self.damaged.add(damaged)
            self.notes.append(f"{damaged}: {state.problem} The older generation is used.")
        return (), None, None

    def _trace(self, floor: int) -> list[SegmentId]:
        """Return the chain of segments, oldest first, that reaches down to `floor`; what breaks it is rot."""
        starts = self.survey.starts
        candidates = sorted({*starts, *self.survey.damaged_segments}, reverse=True)
        while candidates:
            head = candidates.pop(0)
            if head not in starts:
                # Above all readable ones. It has its name, so its start was once on the disk.
                self._found_rot(f"{head.name}: {self.survey.damaged_segments[head].problem}")
                continue
            chain = [head]
            while True:
                seal = starts[chain[-1]].seal
                before = SegmentId(epoch=seal.predecessor_epoch, number=seal.predecessor_number)
                if before not in starts:
                    break
                chain.append(before)
            bottom = starts[chain[-1]]
            if bottom.sequence <= floor or (seal.is_rebuild_pending and seal.predecessor_number == 0):
                return chain[::-1]
            damage = self.survey.damaged_segments.get(before)
            problem = damage.problem if damage else "the segment is missing."
            self._found_rot(f"{before.name}: {problem} {chain[-1].name} follows it.")
            candidates = [it for it in candidates if it < chain[-1] and it.number < chain[-1].number and it != before]
        if floor or self.survey.damaged_snapshots:
            self._found_rot(f"all segments after sequence {floor} are missing.")
        return []

    def _first_needed(self, chain: list[SegmentId], floor: int) -> int:
        below = [index for index, segment in enumerate(chain) if self.survey.starts[segment].sequence <= floor]
        return below[-1] if below else 0

    def _scan(self, needed: list[SegmentId], floor: int) -> None:
        """Scan the chain forwards until its end or rot."""
        starts = self.survey.starts
        for index, segment in enumerate(needed):
            data = self.files.read(place(self.folder, segment.name))
            follower = starts[needed[index + 1]] if index + 1 < len(needed) else None
            if follower is None:
                scan = scan_open(data, starts[segment], durable_sequence=floor)
            else:
                scan = scan_sealed(data, starts[segment], follower.seal.valid_bytes, follower.seal.checksum)
            self.scans.append((segment, scan))
            if scan.finding is Finding.UNKNOWN_TYPE:
                raise WALForeign(
                    f"log {self.folder}: {segment.name}, offset {scan.end.offset}: {scan.problem} It was written by a "
                    f"newer release (format version {MAJOR}.{scan.start.header.minor}). Use that release."
                )
            if scan.finding is Finding.ROT:
                self._found_rot(
                    f"{segment.name}, offset {scan.end.offset}, after sequence {scan.end.sequence}: {scan.problem}"
                )
                return
            if follower and not follower.seal.is_rebuild_pending and follower.sequence != scan.end.sequence:
                self._found_rot(f"{segment.name}: ends at sequence {scan.end.sequence}, not at {follower.sequence}.")
                return

    def _pending_rebuild(self, needed: list[SegmentId], floor: int) -> str | None:
        for segment in needed:
            start = self.survey.starts[segment]
            if start.seal.is_rebuild_pending and start.sequence > floor:
                return (
                    f"rot behind sequence {start.seal.sequence} was found by epoch {start.header.epoch}, and the "
                    f"rebuild was not finished by a snapshot."
                )
        return None

    def _attach(self) -> Attachment:
        """Go on behind the last segment. One whose incarnation logged nothing is replaced: restarts do not pile up."""
        if not self.scans:
            return Attachment(number=1, seal=Seal(), sequence=0, carried=())
        segment, scan = self.scans[-1]
        if not scan.has_own_records:
            carried = tuple(body for _, body in scan.records())
            return Attachment(segment.number, scan.start.seal, scan.start.sequence, carried)
        cut = scan.durable_end()
        carried = tuple(body for _, body in scan.records(cut.sequence))
        seal = Seal(segment.number, segment.epoch, cut.offset, cut.sequence, cut.checksum)
        return Attachment(segment.number + 1, seal, cut.sequence, carried)

    def _attach_after_rot(self, floor: int) -> Attachment:
        """Go on behind the last trusted record, with numbers above all that were ever used, and a flag that lasts."""
        highest = floor
        for segment in self.survey.listing.segments:
            start = self.survey.starts.get(segment)
            try:
                data = self.files.read(place(self.folder, segment.name))
            except FileNotFoundError:
                continue
            # Nothing in a segment without a readable start can be judged: count as many as could have been there.
            highest = max(highest, highest_sequence(data, start)) if start else highest + len(data) // RECORD_BYTES
        number = max((segment.number for segment in self.survey.listing.segments), default=0) + 1
        seal = Seal(sequence=floor, is_rebuild_pending=True)
        if self.scans:
            segment, scan = self.scans[-1]
            # Only what is known to have been on the disk: without its successor, a tail may be a zombie's.
            cut = scan.durable_end()
            seal = Seal(segment.number, segment.epoch, cut.offset, cut.sequence, cut.checksum, is_rebuild_pending=True)
        return Attachment(number, seal, max(highest, seal.sequence), ())

    def _kept(self, chain: list[SegmentId], attachment: Attachment) -> list[SegmentId]:
        """Return the part of the chain that stays below the new segment."""
        last = SegmentId(epoch=attachment.seal.predecessor_epoch, number=attachment.seal.predecessor_number)
        return chain[: chain.index(last) + 1] if last in chain else []

    def _loose_end(self) -> LooseEnd | None:
        """Return the bytes that are cut off, or that rotted, in the last scanned segment."""
        if not self.scans:
            return None
        segment, scan = self.scans[-1]
        if scan.finding is Finding.CLEAN:
            return None
        return LooseEnd(segment, scan.end.offset, scan.data[scan.end.offset :])

    def _found_rot(self, text: str) -> None:
        self.rot = self.rot or text


def _explain_cut(segment: SegmentId, scan: Scan) -> str:
    dropped = len(scan.data) - scan.end.offset
    meaning = (
        "a write that a crash tore; it was never acknowledged"
        if scan.finding is Finding.TORN
        else "writes that a crash reordered before they were synced; they were never acknowledged"
    )
    return (
        f"{segment.name}: cut at offset {scan.end.offset}, after sequence {scan.end.sequence}: {scan.problem} "
        f"{dropped} bytes dropped: {meaning}."
    )
