from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mapreduce.dataplane import runs
from mapreduce.dataplane.groups import Groups, make_groups
from mapreduce.dataplane.runreader import RunReader
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.runwriter import RunFacts, RunWriter
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec
from mapreduce.errors import CorruptRun, TaskFailed

CODEC = Codec()


def write(path: Path, parts: dict[int, list[Groups]], header: RunHeader = RunHeader(1, 2, 3, 4)) -> RunFacts:  # noqa: B008
    with RunWriter(path, header, 8, CODEC) as writer:
        for partition, batches in parts.items():
            for batch in batches:
                writer.write(partition, batch)
        return writer.close()


def read(path: Path, partition: int, digest: int | None = None) -> list[Groups]:
    with RunReader(path, "map-2", CODEC, digest) as reader:
        return list(reader.groups(partition))


def read_all(path: Path, digest: int) -> None:
    for partition in range(8):
        read(path, partition, digest)


SMALL = {
    1: [make_groups(["a", "b"], [[1], [2, 3]])],
    4: [Groups([1, 2.5], None, [("x", 1), None]), Groups(["\udcff"], None, [2**80])],
}


def test_what_was_written_is_read_back_by_partition(tmp_path: Path) -> None:
    facts = write(tmp_path / "run", SMALL)
    assert facts.size == (tmp_path / "run").stat().st_size
    assert read(tmp_path / "run", 1, facts.digest) == SMALL[1]
    assert read(tmp_path / "run", 4) == [Groups([1, 2.5, "\udcff"], None, [("x", 1), None, 2**80])]
    assert read(tmp_path / "run", 0) == []
    assert [(entry.partition, entry.groups, entry.values) for entry in facts.entries] == [(1, 2, 3), (4, 3, 3)]


def test_the_digest_knows_the_content_and_not_the_attempt(tmp_path: Path) -> None:
    first = write(tmp_path / "a", SMALL)
    again = write(tmp_path / "b", SMALL, RunHeader(1, 2, 9, 9))
    other = write(tmp_path / "c", {1: SMALL[1]})
    assert first.digest == again.digest != other.digest
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_run_of_another_content_than_committed_is_refused(tmp_path: Path) -> None:
    facts = write(tmp_path / "run", SMALL)
    with pytest.raises(CorruptRun, match=r"run map-2: its content is not what was committed\."):
        read(tmp_path / "run", 1, facts.digest ^ 1)


def test_a_run_without_groups_leaves_no_file(tmp_path: Path) -> None:
    assert write(tmp_path / "run", {3: [Groups([], None, [])]}) == RunFacts(0, 0, [])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_not_closed_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with RunWriter(tmp_path / "run", RunHeader(1, 2, 3, 4), 1, CODEC) as writer:
            writer.write(0, Groups([f"{number:06}" for number in range(40_000)], None, [os.urandom(99)] * 40_000))
            writer.write(0, Groups(["z"], None, [{1}]))
            writer.close()

    with pytest.raises(UnstorableValue):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_blocks_hold_at_most_16384_groups_and_about_a_mebibyte(tmp_path: Path) -> None:
    keys = [f"{number:07}" for number in range(40_000)]
    write(tmp_path / "run", {0: [Groups(keys[:100], None, [1] * 100), Groups(keys[100:], None, [1] * 39_900)]})
    blocks = read(tmp_path / "run", 0)
    assert max(len(block.keys) for block in blocks) <= runs.BLOCK_GROUPS
    assert [key for block in blocks for key in block.keys] == keys
    assert len(blocks) <= 4
    write(tmp_path / "large", {0: [Groups(keys[:50], None, ["x" * 300_000] * 50)]})
    assert max(len(block.keys) for block in read(tmp_path / "large", 0)) <= 6


def test_a_key_with_many_values_goes_on_in_further_blocks(tmp_path: Path) -> None:
    values = list(range(200_000))
    write(tmp_path / "run", {0: [make_groups(["a", "hot", "z"], [[1], values, [2]])]})
    blocks = read(tmp_path / "run", 0)
    hot = [
        value
        for block in blocks
        for key, some in zip(block.keys, block.value_lists(), strict=True)
        if key == "hot"
        for value in some
    ]
    assert hot == values
    assert sum(block.continues for block in blocks) >= 2
    assert not blocks[-1].continues


def test_a_value_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnstorableValue, match="larger than 64 MiB"):
        write(tmp_path / "run", {0: [Groups(["a", "b"], None, [1, bytes(65 << 20)])]})
    with pytest.raises(UnstorableValue, match=r"a key of type bytes .* larger than 64 MiB"):
        write(tmp_path / "run", {0: [Groups([bytes(65 << 20)], None, [1])]})


def test_every_flipped_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "run"
    facts = write(path, SMALL)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (1, 128):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
            with pytest.raises(CorruptRun, match="run map-2: "):
                read_all(path, facts.digest)


def test_every_truncation_and_extension_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write(path, SMALL)
    whole = path.read_bytes()
    for damaged in [*(whole[:length] for length in range(len(whole))), whole + b"\0", b"\0" + whole]:
        path.write_bytes(damaged)
        with pytest.raises(CorruptRun):
            read(path, 1)


def test_blocks_that_changed_places_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "run"
    keys = [f"{number:05}" for number in range(2 * runs.BLOCK_GROUPS)]
    facts = write(path, {0: [Groups(keys, None, keys)]})
    assert facts.entries[0].blocks > 1
    data = path.read_bytes()
    first = runs.HEADER_BYTES
    length = runs.BLOCK_HEADER_BYTES + runs.BLOCK.unpack_from(data, first)[0]
    section = data[first : first + facts.entries[0].bytes]
    path.write_bytes(data[:first] + section[length:] + section[:length] + data[first + len(section) :])
    with pytest.raises(CorruptRun, match="is altered"):
        read(path, 0)


def test_a_missing_run_is_a_corrupt_run(tmp_path: Path) -> None:
    with pytest.raises(CorruptRun, match="cannot be opened: No such file"):
        read(tmp_path / "none", 0)
    with pytest.raises(CorruptRun):
        read(tmp_path, 0)


@pytest.mark.parametrize("call", ["open", "pread"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.ESTALE])
def test_what_keeps_only_this_reader_from_a_run_is_no_corrupt_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    write(tmp_path / "run", SMALL)
    refuse(monkeypatch, call, number)
    with pytest.raises(TaskFailed, match=f"run map-2 .*{os.strerror(number)}") as failure:
        read(tmp_path / "run", 1)
    assert failure.value.failure_class == "system"


def test_a_run_that_its_disk_does_not_give_any_more_is_a_corrupt_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "run", SMALL)
    refuse(monkeypatch, "pread", errno.EIO)
    with pytest.raises(CorruptRun, match="cannot be read: Input/output error"):
        read(tmp_path / "run", 1)


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)


def test_reading_one_partition_needs_no_bytes_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "run"
    facts = write(path, SMALL)
    entry = facts.entries[0]
    data = bytearray(path.read_bytes())
    data[entry.offset : entry.offset + entry.bytes] = bytes(entry.bytes)
    path.write_bytes(data)
    assert len(read(path, 4, facts.digest)) == 1
    with pytest.raises(CorruptRun):
        read(path, 1, facts.digest)


def test_a_folder_that_is_not_there_is_a_failure_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="No such file") as failure:
        write(tmp_path / "none" / "run", SMALL)
    assert failure.value.failure_class == "system"
