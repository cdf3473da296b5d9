"""W4, W6 and the refusals: damage below an acknowledgement is always noticed, never skipped, and the alarm lasts."""

from __future__ import annotations

from zlib import crc32

import pytest

from mapreduce.errors import WALForeign
from mapreduce.wal.codec import (
    HEADER_BYTES,
    SKIPPABLE,
    START_BYTES,
    pack_record,
    padded_bytes,
    unpack_record_from,
)
from mapreduce.wal.files import FileSystem
from mapreduce.wal.log import Recovery
from mapreduce.wal.names import SegmentId, SnapshotId, list_log, place
from mapreduce.wal.recovery import read_log
from mapreduce.wal.scanning import Start, parse_start
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.wallogs import FOLDER, Story, encode_state, history_of, open_files, open_log

Image = dict[str, bytes]


def segment_path(number: int, epoch: int) -> str:
    return place(FOLDER, SegmentId(epoch=epoch, number=number).name)


FIRST, SECOND, THIRD = (segment_path(number, number) for number in (1, 2, 3))


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


@pytest.fixture(scope="module")
def image(story: Story) -> Image:
    """Three incarnations that each logged four records; the last one's are marked too."""
    disk = Disk()
    for _ in range(3):
        log, recovery = open_log(disk)
        story.check(recovery)
        for _ in range(4):
            story.enqueue(log)
            story.flush(log)
        log.mark()
    return disk.image()


def reopen(image: Image) -> Recovery:
    return open_log(Disk.of_image(image))[1]


def assert_rot(recovery: Recovery, story: Story) -> None:
    assert recovery.rot is not None
    history = history_of(recovery)
    assert history == story.enqueued[: len(history)], "the trusted records are a prefix"


def record_end(data: bytes) -> int:
    """Offset of the bare mark that ends a segment's file."""
    return len(data) - 32


@pytest.mark.parametrize("path", [FIRST, SECOND, THIRD])
def test_one_flipped_bit_in_any_older_byte_is_rot(path: str, story: Story, image: Image) -> None:
    data = image[path]
    for offset in range(record_end(data)):
        damaged = bytearray(data)
        damaged[offset] ^= 1 << offset % 8
        recovery = reopen({**image, path: bytes(damaged)})
        assert_rot(recovery, story)
        assert path.rpartition("/")[2] in (recovery.rot or "")


def test_the_trusted_prefix_ends_right_before_the_damaged_record(story: Story, image: Image) -> None:
    data, offset = image[SECOND], START_BYTES
    for index in range(4):
        damaged = bytearray(data)
        damaged[offset + 40] ^= 1
        assert history_of(reopen({**image, SECOND: bytes(damaged)})) == story.enqueued[: 4 + index]
        offset += 32 + -(-unpack_record_from(data, offset)[1] // 8) * 8


@pytest.mark.parametrize("path", [FIRST, SECOND, THIRD])
def test_one_flipped_bit_in_the_start_of_any_segment_is_rot(path: str, story: Story, image: Image) -> None:
    for bit in range(START_BYTES * 8):
        damaged = bytearray(image[path])
        damaged[bit // 8] ^= 1 << bit % 8
        assert_rot(reopen({**image, path: bytes(damaged)}), story)


def test_a_segment_cut_below_its_seal_is_rot(story: Story, image: Image) -> None:
    # The bare mark behind the last record is outside the seal: nobody knew it to be on the disk.
    for length in range(record_end(image[SECOND])):
        assert_rot(reopen({**image, SECOND: image[SECOND][:length]}), story)


@pytest.mark.parametrize(("path", "trusted"), [(FIRST, 0), (SECOND, 4)])
def test_a_missing_segment_is_rot_and_named(path: str, trusted: int, story: Story, image: Image) -> None:
    recovery = reopen({name: data for name, data in image.items() if name != path})
    assert_rot(recovery, story)
    assert path.rpartition("/")[2] in (recovery.rot or "")
    assert "missing" in (recovery.rot or "")
    assert len(history_of(recovery)) == trusted


@pytest.mark.parametrize("target", [segment_path(9, 9), segment_path(9, 1), segment_path(1, 2), segment_path(4, 2)])
@pytest.mark.parametrize("is_copy", [True, False])
def test_a_renamed_or_duplicated_segment_is_rot_and_said_why(
    target: str, is_copy: bool, story: Story, image: Image
) -> None:
    changed = {**image, target: image[SECOND]}
    if not is_copy:
        del changed[SECOND]
    recovery = reopen(changed)
    assert_rot(recovery, story)
    assert "renamed or copied" in (recovery.rot or "")


def test_two_segments_with_exchanged_names_are_rot(story: Story, image: Image) -> None:
    assert_rot(reopen({**image, FIRST: image[SECOND], SECOND: image[FIRST]}), story)


def test_a_sealed_segment_with_other_records_than_were_sealed_is_rot(image: Image) -> None:
    """As valid in itself as can be: same store, epoch, salt, number and length."""
    disk = Disk()
    log, _ = open_log(disk)
    for index in range(1, 5):
        log.enqueue(b"RECORD-%d-" % index + b"x" * (index * 7 % 23))
        log.flush()
    log.mark()
    assert len(disk.image()[FIRST]) == len(image[FIRST])
    recovery = reopen({**image, FIRST: disk.image()[FIRST]})
    assert "not the one that the successor sealed" in (recovery.rot or "")


def test_a_record_twice_is_rot_even_at_the_tail(story: Story, image: Image) -> None:
    data = image[THIRD]
    last = data[record_end(data) - 40 :]
    start = data.rfind(b"record-12") - 32
    recovery = reopen({**image, THIRD: data[: record_end(data)] + data[start : record_end(data)] + last})
    assert_rot(recovery, story)
    assert "wrong place" in (recovery.rot or "")


def test_a_file_of_another_name_is_not_part_of_the_log(story: Story, image: Image) -> None:
    extra = {place(FOLDER, "segment-0000000002-e0000000002.wal.bak"): image[SECOND]}
    story.check(reopen({**image, **extra}))


class TestTheAlarmLasts:
    def damaged(self, image: Image) -> Disk:
        data = bytearray(image[SECOND])
        data[START_BYTES + 40] ^= 1
        return Disk.of_image({**image, SECOND: bytes(data)})

    def test_until_a_snapshot_finishes_the_rebuild(self, image: Image) -> None:
        disk = self.damaged(image)
        log, _ = open_log(disk)
        for _ in range(3):
            log, recovery = open_log(disk)
            assert recovery.rot is not None
            assert log.sequence >= 12, "no sequence is given twice"
        before = log.sequence
        log.snapshot(encode_state([b"rebuilt"] * before), before)
        log.enqueue(b"next")
        log.flush()
        _, recovery = open_log(disk)
        assert recovery.rot is None
        assert history_of(recovery) == [b"rebuilt"] * before + [b"next"]

    def test_and_what_is_logged_before_the_snapshot_is_not_lost(self, image: Image) -> None:
        disk = self.damaged(image)
        log, _ = open_log(disk)
        sequence = log.enqueue(b"rebuilding")
        log.flush()
        _, recovery = open_log(disk)
        assert recovery.rot is not None
        assert list(recovery.records)[-1] == (sequence, b"rebuilding")

    def test_and_the_damaged_files_are_set_aside_and_not_deleted(self, image: Image) -> None:
        disk = self.damaged(image)
        open_log(disk)
        broken = [name for name in disk.names() if name.endswith(".broken")]
        assert [name.split("-")[1] for name in broken] == ["0000000002", "0000000003"]

    def test_a_zombies_snapshot_of_what_was_cut_off_is_not_used(self, story: Story, image: Image) -> None:
        healthy = Disk.of_image(image)
        zombie, _ = open_log(healthy)
        zombie.snapshot(encode_state(story.enqueued), len(story.enqueued))
        late = place(FOLDER, SnapshotId(sequence=12, epoch=4).name)
        disk = self.damaged(image)
        disk.entries[place(FOLDER, "epoch-0000000004")] = disk.entries[place(FOLDER, "epoch-0000000003")]
        open_log(disk)
        disk.entries[late] = healthy.entries[late]
        _, recovery = open_log(disk)
        assert (recovery.snapshot, history_of(recovery)) == (None, story.enqueued[:4])


class TestSnapshots:
    @pytest.fixture
    def disk(self) -> Disk:
        disk, story = Disk(), self.story
        log, _ = open_log(disk)
        for _ in range(3):
            story.enqueue(log, 2)
            story.snapshot(log)
        story.enqueue(log)
        story.flush(log)
        return disk

    @pytest.fixture(autouse=True)
    def _fresh_story(self) -> None:
        self.story = Story()

    def test_of_three_generations_two_are_kept(self, disk: Disk) -> None:
        listing = list_log(FaultyFiles(disk), FOLDER)
        assert [snapshot.sequence for snapshot in listing.snapshots] == [4, 6]
        assert [segment.number for segment in listing.segments] == [3, 4]

    def test_the_older_generation_replaces_a_damaged_newest_one(self, disk: Disk) -> None:
        image = disk.image()
        newest = place(FOLDER, SnapshotId(sequence=6, epoch=1).name)
        for bit in range(len(image[newest]) * 8):
            damaged = bytearray(image[newest])
            damaged[bit // 8] ^= 1 << bit % 8
            changed = Disk.of_image({**image, newest: bytes(damaged)})
            _, recovery = open_log(changed)
            self.story.check(recovery)
            assert recovery.snapshot_sequence == 4
            assert any("older generation" in note for note in recovery.notes)
            assert newest + ".broken" in changed.image()

    def test_without_any_sound_generation_it_is_rot(self, disk: Disk) -> None:
        image = {path: data for path, data in disk.image().items() if not path.endswith(".snap")}
        recovery = reopen(image)
        assert recovery.rot is not None
        assert history_of(recovery) == []

    def test_without_any_segment_it_is_rot(self, disk: Disk) -> None:
        recovery = reopen({path: data for path, data in disk.image().items() if not path.endswith(".wal")})
        assert recovery.rot is not None
        assert history_of(recovery) == self.story.enqueued[:6]

    @pytest.mark.parametrize("is_all_missing", [False, True])
    def test_a_log_that_ends_before_what_its_snapshot_contains_is_rot(self, is_all_missing: bool) -> None:
        disk, story = Disk(), self.story
        log, _ = open_log(disk)
        story.enqueue(log, 2)
        story.flush(log)
        story.enqueue(log, 2)
        story.snapshot(log)
        image = disk.image()
        del image[segment_path(2, 1)]  # the first segment is the last now, and it is cut
        missing_bytes = padded_bytes(len(story.enqueued[-1])) if is_all_missing else 8
        image[FIRST] = image[FIRST][: len(image[FIRST]) - missing_bytes]
        recovery = reopen(image)
        assert recovery.rot is not None
        assert history_of(recovery) == story.enqueued


class TestRefusals:
    def test_another_stores_log_is_refused_and_nothing_is_claimed(self, image: Image) -> None:
        disk = Disk.of_image(image)
        with pytest.raises(WALForeign, match="belongs to store"):
            open_files(FaultyFiles(disk), b"another store id")
        assert disk.image() == image

    def test_a_segment_of_another_store_between_ours_is_refused(self, image: Image) -> None:
        stranger = Disk()
        open_files(FaultyFiles(stranger), b"another store id")
        theirs = stranger.image()[FIRST]
        files: FileSystem = FaultyFiles(Disk.of_image({**image, segment_path(7, 1): theirs}))
        with pytest.raises(WALForeign, match="belongs to store"):
            read_log(files, FOLDER)

    def test_an_unknown_major_version_is_refused_by_name(self, image: Image) -> None:
        future = bytearray(image[THIRD])
        future[8] = 2
        future[60:64] = crc32(bytes(future[:60])).to_bytes(4, "little")
        disk = Disk.of_image({**image, THIRD: bytes(future)})
        with pytest.raises(WALForeign, match=r"version 2\.0"):
            open_log(disk)
        assert not disk.changes, "nothing was claimed"

    def with_record_of_type(self, kind: int, image: Image) -> Disk:
        data = image[THIRD]
        start = parse_start(data)
        assert isinstance(start, Start)
        previous = unpack_record_from(data, len(data) - 32)[0]
        record, _ = pack_record(kind, b"new", seed=start.header.seed, previous=previous, sequence=12, mark=12)
        return Disk.of_image({**image, THIRD: data + record})

    def test_an_unknown_type_of_record_is_refused(self, image: Image) -> None:
        with pytest.raises(WALForeign, match="unknown type 9"):
            open_log(self.with_record_of_type(9, image))

    def test_an_unknown_type_that_may_be_skipped_is_stepped_over(self, story: Story, image: Image) -> None:
        _, recovery = open_log(self.with_record_of_type(9 | SKIPPABLE, image))
        story.check(recovery)
        assert recovery.torn_bytes == 0

    def test_without_a_given_store_id_the_folders_own_is_taken(self, image: Image) -> None:
        assert read_log(FaultyFiles(Disk.of_image(image)), FOLDER).survey.store_id == image[FIRST][16:32]
        assert HEADER_BYTES == 64
