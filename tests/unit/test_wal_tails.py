"""W2, W3, W5: what stands at the end of a log and was never acknowledged is cut off; nothing before it is touched."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from mapreduce.wal.codec import DATA, RECORD_BYTES, SALT_BYTES, START_BYTES, pack_record, padded_bytes
from mapreduce.wal.log import Recovery
from mapreduce.wal.names import SegmentId, place
from tests.support.faultyfiles import Disk
from tests.support.wallogs import FOLDER, STORE, Story, history_of, open_log

SEGMENT = place(FOLDER, SegmentId(epoch=1, number=1).name)


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


@pytest.fixture(scope="module")
def image(story: Story) -> dict[str, bytes]:
    """A log of five records, each flushed alone; its process was killed before the mark for the last."""
    disk = Disk()
    log, _ = open_log(disk)
    for _ in range(5):
        story.enqueue(log)
        story.flush(log)
    return disk.image()


def reopen(image: dict[str, bytes], segment: bytes) -> tuple[Recovery, Disk]:
    disk = Disk.of_image({**image, SEGMENT: segment})
    _, recovery = open_log(disk)
    return recovery, disk


def boundaries(story: Story) -> list[int]:
    """Offsets behind the start and behind each record."""
    ends = [START_BYTES]
    for payload in story.enqueued:
        ends.append(ends[-1] + padded_bytes(len(payload)))
    return ends


def test_a_log_cut_at_any_byte_opens_with_exactly_the_whole_records_before_the_cut(
    story: Story, image: dict[str, bytes]
) -> None:
    segment, ends = image[SEGMENT], boundaries(story)
    assert ends[-1] == len(segment)
    for length in range(START_BYTES, len(segment) + 1):
        recovery, _ = reopen(image, segment[:length])
        whole = sum(end <= length for end in ends) - 1
        assert recovery.rot is None
        assert history_of(recovery) == story.enqueued[:whole]
        assert recovery.torn_bytes == length - ends[whole]
        assert bool(recovery.cut) == bool(recovery.torn_bytes)


def test_a_segment_cut_within_its_start_is_rot_because_it_got_its_name_only_when_it_was_on_the_disk(
    image: dict[str, bytes],
) -> None:
    for length in range(START_BYTES):
        recovery, _ = reopen(image, image[SEGMENT][:length])
        assert recovery.rot is not None
        assert history_of(recovery) == []


def test_any_flipped_bit_of_the_last_record_drops_that_record_alone(story: Story, image: dict[str, bytes]) -> None:
    segment, last = image[SEGMENT], boundaries(story)[-2]
    for bit in range(last * 8, len(segment) * 8):
        damaged = bytearray(segment)
        damaged[bit // 8] ^= 1 << bit % 8
        recovery, _ = reopen(image, bytes(damaged))
        assert recovery.rot is None
        assert history_of(recovery) == story.enqueued[:-1]
        assert recovery.torn_bytes == len(segment) - last
        assert "offset" in recovery.cut


Tail = Callable[[bytes, Story], bytes]


def _huge_length(segment: bytes, _story: Story) -> bytes:
    record, _ = pack_record(DATA, b"x" * 40, seed=0, previous=0, sequence=6, mark=5)
    return record[:4] + b"\xf0\xff\xff\xff" + record[8:]


def _old_salt(segment: bytes, story: Story) -> bytes:
    """A segment's records as another incarnation wrote them, at a place where they could follow."""
    disk = Disk()
    first, _ = open_log(disk)
    first.close()
    other, _ = open_log(disk)
    for payload in [*story.enqueued, b"old"]:
        other.enqueue(payload)
    other.flush()
    data = disk.image()[place(FOLDER, SegmentId(epoch=2, number=1).name)]
    return data[boundaries(story)[-1] :]


TAILS: dict[str, Tail] = {
    "one zero byte": lambda _segment, _story: b"\0",
    "a zero page": lambda _segment, _story: bytes(4096),
    "garbage": lambda _segment, _story: Random(1).randbytes(5000),
    "garbage full of tags": lambda _segment, _story: b"MR" * 3000,
    "a huge length": _huge_length,
    "old salt": _old_salt,
    "half a header": lambda segment, _story: segment[:RECORD_BYTES],
    "the file header again": lambda segment, _story: segment[:64],
    "ones": lambda _segment, _story: b"\xff" * 512,
}


@pytest.mark.parametrize("tail", TAILS, ids=str)
def test_a_defective_tail_is_cut_and_all_records_before_it_are_there(
    tail: str, story: Story, image: dict[str, bytes]
) -> None:
    segment = image[SEGMENT]
    extra = TAILS[tail](segment, story)
    recovery, disk = reopen(image, segment + extra)
    assert recovery.rot is None
    assert history_of(recovery) == story.enqueued
    assert recovery.torn_bytes == len(extra)
    _, again = open_log(disk)
    assert (history_of(again), again.torn_bytes, again.rot) == (story.enqueued, 0, None)


def test_what_was_cut_off_is_kept_as_a_copy(story: Story, image: dict[str, bytes]) -> None:
    recovery, disk = reopen(image, image[SEGMENT] + b"torn")
    assert disk.image()[SEGMENT + ".broken"] == b"torn"
    assert any("broken" in note for note in recovery.notes)


def test_copies_of_cut_tails_do_not_pile_up() -> None:
    disk, story = Disk(), Story()
    for _ in range(20):
        log, recovery = open_log(disk)
        story.resume(recovery)
        story.enqueue(log)
        story.flush(log)
        current = max(path for path in disk.entries if path.endswith(".wal"))
        disk.entries[current].seen += b"torn"
    assert len([name for name in disk.names() if name.endswith(".broken")]) == 8


def test_recovered_records_that_nobody_marked_are_made_durable_again_before_anything_is_served(
    story: Story, image: dict[str, bytes]
) -> None:
    """The dead incarnation's last write may be seen in the cache and never have reached the disk."""
    disk = Disk.of_image(image)
    log, recovery = open_log(disk)
    story.check(recovery)
    survivor = disk.crash(0, "everything")
    survivor.entries.pop(SEGMENT)
    unsynced = Disk.of_image({**survivor.image(), SEGMENT: image[SEGMENT][: boundaries(story)[-2]]})
    _, again = open_log(unsynced)
    assert again.rot is None
    assert history_of(again) == story.enqueued
    log.close()


def test_the_salt_of_every_file_is_its_own() -> None:
    disk = Disk()
    log, _ = open_log(disk)
    for sequence in (1, 2):
        log.enqueue(b"x")
        log.snapshot(b"state", sequence)
    headers = [data[:64] for path, data in disk.image().items() if path.endswith((".wal", ".snap"))]
    assert len({header[32 : 32 + SALT_BYTES] for header in headers}) == len(headers) == 4
    assert {header[16:32] for header in headers} == {STORE}
