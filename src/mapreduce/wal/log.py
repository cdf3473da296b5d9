"""The log of one incarnation of the coordinator: claim, read, seal, serve; enqueue and flush; snapshot and compaction.

Order is everything here; what bytes mean is `codec` and `scanning`, what a folder means is `recovery`, what may be
deleted is `retention`. Sharing one flush between many callers is `groupcommit`. After any failed call the object
never writes again: a second fsync on the same descriptor may succeed although the data of the first is lost
(fsyncgate; Rebello et al., ATC'20).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from typing import Self

import msgspec

from mapreduce.errors import Fenced, MapReduceError, StorageFailed
from mapreduce.wal.claims import check_claim, claim_epoch, is_overtaken
from mapreduce.wal.codec import SALT_BYTES, STORE_ID_BYTES, Seal
from mapreduce.wal.files import FileSystem, storage_failure, storage_failures
from mapreduce.wal.housekeeping import dispose, keep_loose_end, remove_temporaries
from mapreduce.wal.measures import LogLimits, LogStats
from mapreduce.wal.names import SegmentId, SnapshotId, list_log
from mapreduce.wal.recovery import LogImage, Records, read_log
from mapreduce.wal.retention import Kept, decide_disposal, decide_kept
from mapreduce.wal.segments import SegmentWriter
from mapreduce.wal.snapshots import write_snapshot
from mapreduce.wal.survey import survey_log

__all__ = ["Log", "LogLimits", "LogStats", "Recovery"]


class Recovery(msgspec.Struct, frozen=True):
    """What opening the log found.

    `records` are (sequence, payload) after the snapshot, decoded while they are iterated. With `rot` they are the
    trusted prefix: the service rebuilds from verified outputs and then takes a snapshot; until it has, every opening
    tells the rot again. `cut` says why a tail was dropped ("" if none was), `notes` are worth a line of output each.
    """

    epoch: int
    store_id: bytes
    snapshot: bytes | None
    snapshot_sequence: int
    records: Records
    torn_bytes: int
    cut: str
    rot: str | None
    notes: tuple[str, ...]


class Log:
    """One incarnation's log. `enqueue` may run in one thread while one other runs flush, mark, snapshot or close."""

    epoch: int
    store_id: bytes
    #: Every record up to this sequence is on the disk and was acknowledged before any successor could read.
    durable_sequence: int
    stats: LogStats

    def __init__(
        self, files: FileSystem, folder: str, epoch: int, limits: LogLimits, entropy: Callable[[int], bytes]
    ) -> None:
        """Claimed, not yet open; use `Log.open`."""
        self.epoch, self.stats = epoch, LogStats()
        self._files, self._folder, self._limits, self._entropy = files, folder, limits, entropy
        self._lock = Lock()
        self._queue: list[bytes] = []
        self._failure: MapReduceError | None = None
        self._is_closed = False
        self._is_rotten = False
        self._sequence = self._synced = self._marked = self.durable_sequence = 0
        self._kept = Kept(chain=(), snapshots=())
        self._notes: list[str] = []

    @classmethod
    def open(
        cls,
        files: FileSystem,
        folder: str,
        *,
        store_id: bytes | None = None,
        limits: LogLimits | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> tuple[Self, Recovery]:
        """Claim the next epoch, then read the log, seal it, and open an own segment.

        `store_id` None takes the folder's own, or a new random one in an empty folder. Raises WALForeign (nothing was
        claimed then), StorageFailed, Fenced. Rot does not raise: `Recovery.rot` tells it.
        """
        with storage_failures(f"opening the log {folder}"):
            files.make_folder(folder)
            # A look before the claim, so that a wrong folder does not end another store's coordinator. Nothing is used.
            survey_log(files, folder, store_id)
            epoch = claim_epoch(files, folder)
            image = read_log(files, folder, store_id)
            log = cls(files, folder, epoch, limits or LogLimits(), entropy)
            log._take_over(image, store_id or image.survey.store_id or entropy(STORE_ID_BYTES))
        return log, Recovery(
            epoch=epoch,
            store_id=log.store_id,
            snapshot=image.state,
            snapshot_sequence=image.snapshot.sequence if image.snapshot else 0,
            records=image.records,
            torn_bytes=image.torn_bytes,
            cut=image.cut,
            rot=image.rot,
            notes=(*image.notes, *log._notes),
        )

    @property
    def sequence(self) -> int:
        """Sequence of the last enqueued record; it may not be durable yet."""
        return self._sequence

    def enqueue(self, payload: bytes) -> int:
        """Take a record into the next flush and return its sequence. No I/O. Raises what a flush raised before."""
        if len(payload) > self._limits.record_bytes_max:
            raise ValueError(f"a record of {len(payload)} bytes; {self._limits.record_bytes_max} are allowed")
        with self._lock:
            self._check_usable()
            self._queue.append(payload)
            self._sequence += 1
            return self._sequence

    def flush(self) -> int:
        """Write all enqueued records, sync, check the claim; return the durable sequence.

        Raises StorageFailed, or Fenced when a newer incarnation has claimed the log; then nothing of this flush counts.
        With nothing enqueued it checks the claim only.
        """
        with self._io("writing the log"):
            self._flush()
        return self.durable_sequence

    def mark(self) -> None:
        """Write a bare durable mark, unless the last one says as much already: after a moment without records."""
        with self._io("writing a mark into the log"):
            self._mark()

    def snapshot(self, state: bytes, sequence: int) -> None:
        """Make `state`, the state after the record with `sequence`, the newest generation, and drop the oldest.

        Flushes first. Raises StorageFailed, Fenced. A crash at any step leaves a log that opens to the same state.
        """
        self.check_snapshot_sequence(sequence)
        with self._io("writing a snapshot"):
            self._flush()
            identity = SnapshotId(sequence=sequence, epoch=self.epoch)
            if identity not in self._kept.snapshots:
                self.stats.bytes += write_snapshot(
                    self._files, self._folder, identity, state, store_id=self.store_id, salt=self._entropy(SALT_BYTES)
                )
            self._rotate()
            # Whoever claimed the log meanwhile may be reading what we would delete.
            self._check_claim()
            self._is_rotten = False
            self._kept = decide_kept(self._kept.chain, (*self._kept.snapshots, identity))
            self._dispose()
            self.stats.bytes_since_snapshot = 0

    def check_snapshot_sequence(self, sequence: int) -> None:
        """Raise ValueError unless `sequence` lies between the newest snapshot and the last enqueued record."""
        newest = self._kept.snapshots[-1].sequence if self._kept.snapshots else 0
        if not newest <= sequence <= self._sequence:
            raise ValueError(f"a snapshot of sequence {sequence}: the log has {newest} to {self._sequence}")

    def is_fenced(self) -> bool:
        """Return whether a newer incarnation has claimed the log. Raises StorageFailed."""
        if isinstance(self._failure, Fenced):
            return True
        with storage_failures("looking for a newer claim"):
            return is_overtaken(self._files, self._folder, self.epoch)

    def close(self) -> None:
        """Flush, mark and close. After a failure it only lets go of the file."""
        if self._is_closed:
            return
        is_sound = self._failure is None
        try:
            if is_sound:
                with self._io("writing the end of the log"):
                    self._flush()
                    self._mark()
        finally:
            self._is_closed = True
            try:
                self._writer.close()
            except OSError as error:
                failure = storage_failure(f"closing the log {self._folder}", error)
                if self._failure is None:
                    self._failure = failure
                    raise failure from error
                self._failure.add_note(str(failure))

    # -- opening ------------------------------------------------------------------------------------------------------

    def _take_over(self, image: LogImage, store_id: bytes) -> None:
        """Seal what was read with an own segment; only then clean up."""
        self.store_id = store_id
        self._is_rotten = image.rot is not None
        self.stats.torn_bytes = image.torn_bytes
        self.stats.bytes_since_snapshot = sum(len(scan.data) for _, scan in image.scans)
        # First of all make room: crashes in a row, or a full disk, must not let unfinished files pile up.
        remove_temporaries(self._files, self._folder, self.epoch, image.survey.listing)
        attachment = image.attachment
        self._open_segment(attachment.number, attachment.seal, attachment.sequence, attachment.carried)
        # A successor that claimed before our segment had its name may not have seen it.
        check_claim(self._files, self._folder, self.epoch)
        self._sequence = self._synced = self._marked = self.durable_sequence = attachment.last_sequence
        chain = (*image.chain, (self._writer.identity, attachment.sequence))
        self._kept = decide_kept(chain, image.snapshots)
        if image.loose_end is not None:
            self._notes += keep_loose_end(self._files, self._folder, image.loose_end, self._limits)
        self._dispose(damaged=image.damaged)

    def _open_segment(self, number: int, seal: Seal, sequence: int, carried: tuple[bytes, ...]) -> None:
        started = perf_counter()
        self._writer = SegmentWriter.create(
            self._files,
            self._folder,
            SegmentId(epoch=self.epoch, number=number),
            store_id=self.store_id,
            salt=self._entropy(SALT_BYTES),
            seal=seal,
            sequence=sequence,
            carried=carried,
        )
        self.stats.add_fsync(perf_counter() - started)
        self.stats.bytes += self._writer.length

    # -- serving ------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        with self._lock:
            batch, self._queue = self._queue, []
        if batch:
            written = self._writer.append(batch, sequence=self._synced, mark=self._synced)
            self.stats.bytes += written
            self.stats.bytes_since_snapshot += written
            self._marked = self._synced
            self._sync()
            self._synced += len(batch)
            self.stats.records += len(batch)
        self._check_claim()
        # Only now: what another thread reads here it may tell the world.
        self.durable_sequence = self._synced

    def _mark(self) -> None:
        if self._marked < self._synced:
            self.stats.bytes += self._writer.append_mark(self._synced)
            self._sync()
            self._marked = self._synced
        self._check_claim()

    def _sync(self) -> None:
        started = perf_counter()
        self._writer.sync()
        self.stats.add_fsync(perf_counter() - started)

    def _check_claim(self) -> None:
        check_claim(self._files, self._folder, self.epoch)

    # -- snapshot and compaction --------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Go on in a new segment, so that the old one can go one day. All of it is synced: all of it is sealed."""
        old = self._writer
        old.close()
        seal = Seal(
            predecessor_number=old.identity.number,
            predecessor_epoch=old.identity.epoch,
            valid_bytes=old.length,
            sequence=self._synced,
            checksum=old.checksum,
        )
        self._open_segment(old.identity.number + 1, seal, self._synced, ())
        self._marked = self._synced
        self._kept = Kept((*self._kept.chain, (self._writer.identity, self._synced)), self._kept.snapshots)

    def _dispose(self, damaged: frozenset[str] = frozenset()) -> None:
        listing = list_log(self._files, self._folder)
        disposal = decide_disposal(
            listing,
            self._kept,
            self.epoch,
            is_rotten=self._is_rotten,
            damaged=damaged,
            broken_kept_count=self._limits.broken_kept_count,
        )
        dispose(self._files, self._folder, disposal)

    # -- failing ------------------------------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise StorageFailed("the log is closed; no record can be written any more.")

    def _fenced(self) -> Fenced | None:
        """Return Fenced if that is why a call failed: a successor removes the unfinished files of the older ones."""
        try:
            self._check_claim()
        except Fenced as fenced:
            return fenced
        except OSError:
            pass  # the first error is the one to tell
        return None

    @contextmanager
    def _io(self, action: str) -> Iterator[None]:
        """Let nothing through after a failure, and make every failure final."""
        self._check_usable()
        try:
            yield
        except OSError as error:
            self._failure = self._fenced() or storage_failure(f"{action} {self._folder}", error)
            raise self._failure from error
        except MapReduceError as error:
            self._failure = error
            raise
        except BaseException as error:
            # Whatever it was, nobody can tell what reached the disk.
            self._failure = StorageFailed(f"{action} {self._folder} was interrupted: {error!r}. Start again.")
            raise
