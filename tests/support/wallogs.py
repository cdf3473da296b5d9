"""Logs in memory for tests: deterministic entropy, a story of what was enqueued and acknowledged, and its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from mapreduce.wal.files import FileSystem
from mapreduce.wal.log import Log, Recovery
from tests.support.faultyfiles import Disk, FaultyFiles, Hook

FOLDER = "/state/log"
STORE = b"store-of-a-test!"


def counted_entropy() -> Callable[[int], bytes]:
    """Return a source of salts that is the same in every run and never repeats within one."""
    drawn = 0

    def draw(length: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return sha256(drawn.to_bytes(8, "big")).digest()[:length]

    return draw


def open_log(disk: Disk, hook: Hook | None = None) -> tuple[Log, Recovery]:
    """Open the log on a disk as a new program would."""
    return open_files(FaultyFiles(disk, hook))


def open_files(files: FileSystem, store_id: bytes = STORE) -> tuple[Log, Recovery]:
    """Open the log in the usual folder of a file system."""
    return Log.open(files, FOLDER, store_id=store_id, entropy=counted_entropy())


def encode_state(history: list[bytes]) -> bytes:
    """Return a snapshot's state: here simply all records so far."""
    return b"\n".join(history)


def history_of(recovery: Recovery) -> list[bytes]:
    """Return all payloads since the beginning, from snapshot and records, whose sequences must be without a gap."""
    history = recovery.snapshot.split(b"\n") if recovery.snapshot else []
    assert len(history) == recovery.snapshot_sequence
    records = list(recovery.records)
    assert len(records) == len(recovery.records)
    assert [sequence for sequence, _ in records] == list(range(len(history) + 1, len(history) + 1 + len(records)))
    return history + [payload for _, payload in records]


@dataclass(slots=True)
class Story:
    """What one program did with its log: all that it enqueued, and how much of it was acknowledged."""

    enqueued: list[bytes] = field(default_factory=list)
    acknowledged_count: int = 0
    name: bytes = b"record"

    def enqueue(self, log: Log, count: int = 1) -> None:
        for _ in range(count):
            # Lengths differ, so that records start and end at all kinds of places.
            index = len(self.enqueued) + 1
            payload = b"%s-%d-" % (self.name, index) + b"x" * (index * 7 % 23)
            self.enqueued.append(payload)
            assert log.enqueue(payload) == index

    def flush(self, log: Log) -> None:
        self.acknowledged_count = log.flush()

    def snapshot(self, log: Log, behind: int = 0) -> None:
        sequence = len(self.enqueued) - behind
        log.snapshot(encode_state(self.enqueued[:sequence]), sequence)
        self.acknowledged_count = log.durable_sequence

    def check(self, recovery: Recovery) -> None:
        """Nothing acknowledged is lost, nothing is invented, and a crash is no rot."""
        assert recovery.rot is None
        history = history_of(recovery)
        assert history == self.enqueued[: len(history)]
        assert len(history) >= self.acknowledged_count

    def resume(self, recovery: Recovery) -> None:
        """Go on from what was recovered: what is lost was never said."""
        self.check(recovery)
        self.enqueued = history_of(recovery)
        self.acknowledged_count = len(self.enqueued)


def busy_life(log: Log, story: Story) -> None:
    """Do everything a log can do, several times."""
    story.enqueue(log, 3)
    story.flush(log)
    story.enqueue(log)
    story.flush(log)
    log.mark()
    story.enqueue(log, 2)
    story.snapshot(log, behind=1)
    story.enqueue(log, 2)
    story.flush(log)
    story.snapshot(log)
    story.enqueue(log)
    story.flush(log)
    story.enqueue(log)
    story.snapshot(log, behind=1)
    story.enqueue(log)
    story.flush(log)
    story.enqueue(log)
    log.close()
    story.acknowledged_count = log.durable_sequence
