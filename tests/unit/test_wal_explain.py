"""What `mr wal dump` and `mr wal verify` tell of a log, sound or not."""

from __future__ import annotations

import pytest

from mapreduce.errors import StorageFailed
from mapreduce.wal.codec import START_BYTES
from mapreduce.wal.explain import Report, Verdict, dump, verify
from mapreduce.wal.names import SegmentId, SnapshotId, place
from tests.support.faultyfiles import Disk, FaultyFiles
from tests.support.wallogs import FOLDER, Story, open_log

Image = dict[str, bytes]
FIRST, SECOND = (place(FOLDER, SegmentId(epoch=epoch, number=epoch).name) for epoch in (1, 2))


@pytest.fixture
def image() -> Image:
    """Two incarnations of two records each; the second one's last record is not marked."""
    disk, story = Disk(), Story()
    for _ in range(2):
        log, _ = open_log(disk)
        for _ in range(2):
            story.enqueue(log)
            story.flush(log)
    return disk.image()


def judge(image: Image) -> Report:
    files = FaultyFiles(Disk.of_image(image))
    report = verify(files, FOLDER)
    assert not set(files.calls) - {"list_folder", "read", "size"}, "explaining only reads"
    return report


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def test_a_sound_log_is_sound(image: Image) -> None:
    report = judge(image)
    assert (report.verdict, report.sequence, report.record_count) == (Verdict.SOUND, 4, 4)
    assert "nothing is wrong" in report.summary


def test_an_empty_folder_is_empty() -> None:
    assert verify(FaultyFiles(Disk(folders={FOLDER})), FOLDER).verdict is Verdict.EMPTY


def test_a_missing_folder_cannot_be_read() -> None:
    with pytest.raises(StorageFailed, match="reading the log"):
        verify(FaultyFiles(Disk()), FOLDER)
    with pytest.raises(StorageFailed, match="reading the log"):
        list(dump(FaultyFiles(Disk()), FOLDER, repr))


def test_a_torn_tail_is_a_cut_and_the_reason_is_given(image: Image) -> None:
    report = judge({**image, SECOND: image[SECOND] + b"torn"})
    assert (report.verdict, report.torn_bytes, report.record_count) == (Verdict.CUT, 4, 4)
    assert "never acknowledged" in report.summary
    assert any("the highest mark is" in line for line in report.details)


def test_rot_is_rot_and_the_place_is_named(image: Image) -> None:
    report = judge({**image, FIRST: flipped(image[FIRST], START_BYTES + 33)})
    assert (report.verdict, report.sequence, report.record_count) == (Verdict.ROT, 0, 0)
    assert f"offset {START_BYTES}" in report.summary


def test_rot_below_a_mark_says_who_knew(image: Image) -> None:
    report = judge({**image, SECOND: flipped(image[SECOND], START_BYTES + 80)})
    assert report.verdict is Verdict.ROT
    assert any("were on the disk" in line for line in report.details)


def test_another_stores_log_is_foreign(image: Image) -> None:
    report = verify(FaultyFiles(Disk.of_image(image)), FOLDER, b"another store id")
    assert report.verdict is Verdict.FOREIGN
    assert "belongs to store" in report.summary


@pytest.mark.parametrize("target", ["snapshot", "segment"])
def test_damage_in_the_older_generation_is_told_although_the_log_opens(target: str) -> None:
    disk, story = Disk(), Story()
    log, _ = open_log(disk)
    for _ in range(2):
        story.enqueue(log, 2)
        story.snapshot(log)
    log.close()
    image = disk.image()
    assert judge(image).verdict is Verdict.SOUND
    path = place(
        FOLDER,
        SnapshotId(sequence=2, epoch=1).name if target == "snapshot" else SegmentId(epoch=1, number=2).name,
    )
    report = judge({**image, path: flipped(image[path], len(image[path]) - 20)})
    assert report.verdict is Verdict.SPARE_DAMAGED
    assert any("older generation" in line for line in report.details)
    assert report.record_count == 0
    assert report.snapshot_sequence == 4


def test_a_dump_shows_every_record_with_its_payload_rendered(image: Image) -> None:
    lines = list(dump(FaultyFiles(Disk.of_image(image)), FOLDER, lambda payload: payload.decode().upper()))
    text = "\n".join(lines)
    assert lines[0] == "claim of epoch 2"
    assert all(f"#{sequence}  mark" in text and f"RECORD-{sequence}-" in text for sequence in range(1, 5))
    assert "seals segment-0000000001-e0000000001.wal at" in text
    assert "carries" in text
    assert lines[-1].endswith("clean end")


def test_a_dump_shows_what_is_torn_sealed_off_damaged_or_not_ours(image: Image) -> None:
    lines = list(
        dump(
            FaultyFiles(
                Disk.of_image(
                    {
                        **image,
                        SECOND: image[SECOND] + b"torn",
                        place(FOLDER, SnapshotId(sequence=1, epoch=1).name): b"damaged",
                        place(FOLDER, SegmentId(epoch=3, number=3).name): b"damaged",
                        place(FOLDER, "notes.txt"): b"",
                    }
                )
            ),
            FOLDER,
            repr,
        )
    )
    text = "\n".join(lines)
    assert "torn tail: 4 bytes, too few for a record." in text
    assert "sealed here" in text
    assert "snapshot-0000000000000001-e0000000001.snap: the file header is cut" in text
    assert "segment-0000000003-e0000000003.wal: the file header is cut" in text
    assert "notes.txt: not part of the log" in text
