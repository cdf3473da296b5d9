"""Formats, encodings, compression, and every way in which an input can turn out to be bad."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mapreduce.dataplane import decompression
from mapreduce.dataplane.readers import ReadLimits, read_split
from mapreduce.errors import TaskFailed
from mapreduce.model import Input
from mapreduce.protocol.messages import FileRange, Split
from tests.support.inputs import plan, read_all, values

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

SMALL = ReadLimits(block_bytes=8, record_bytes=32)


def _file(tmp_path: Path, data: bytes, name: str = "input.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def _failure(act: Callable[[], object]) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        act()
    assert caught.value.failure_class == "input"
    return caught.value


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    data = "one\u2028still one\x85and\x0b\x0c\x1c\ntwo\r\nthree\rthree\n".encode()
    assert values(read_all(_file(tmp_path, data))) == ["one\u2028still one\x85and\x0b\x0c\x1c", "two", "three\rthree"]


def test_undecodable_bytes_survive_as_surrogates(tmp_path: Path) -> None:
    data = b"caf\xe9\n\xff\xfe\n"
    lines = values(read_all(_file(tmp_path, data)))
    assert [line.encode("utf-8", "surrogateescape") for line in lines] == [b"caf\xe9", b"\xff\xfe"]


def test_bytes_are_given_as_they_are_including_a_byte_order_mark(tmp_path: Path) -> None:
    assert values(read_all(_file(tmp_path, b"\xef\xbb\xbfa\r\n\xff"), encoding="bytes")) == [b"\xef\xbb\xbfa", b"\xff"]


def test_a_place_names_path_byte_and_the_start_of_the_record(tmp_path: Path) -> None:
    path = _file(tmp_path, b"first\n" + b"x" * 200 + b"\n")
    source = Input(uri=str(path))
    (block,) = read_split(plan(source, 1 << 20)[0], source)
    assert block.place(0) == f"{path}, byte 0: 'first'"
    assert block.place(1) == f"{path}, byte 6: '{'x' * 80}...'"


def test_csv_rows_keep_quoted_newlines_and_start_where_they_start(tmp_path: Path) -> None:
    data = 'name,note\nann,"two\nlines"\n\n"bob","é"\r\n'.encode()
    expected = [(0, ["name", "note"]), (10, ["ann", "two\nlines"]), (27, ["bob", "é"])]
    for block in (1, 4, 1 << 20):
        read = read_all(_file(tmp_path, data), kind="csv", split_size_bytes=3, limits=ReadLimits(block_bytes=block))
        assert read == expected


def test_csv_fields_may_be_long_and_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = _file(tmp_path, b"\xef\xbb\xbf" + b"y" * 200_000 + b",2\n")
    assert values(read_all(path, kind="csv")) == [["y" * 200_000, "2"]]


def test_an_unclosed_quote_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = _file(tmp_path, b'a,b\n"' + b"never closed\n" * 50)
    failure = _failure(lambda: read_all(path, kind="csv", limits=SMALL))
    assert "byte 4" in str(failure)
    assert "longer than 32 bytes" in str(failure)


@pytest.mark.parametrize("data", [b'id,name\n1,"a\n', b'id,name\n1,"a\nb,c\n', b'id,name\n1,"'])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_a_quote_that_is_never_closed_is_named_where_its_row_starts(tmp_path: Path, data: bytes, block: int) -> None:
    path = _file(tmp_path, data)
    failure = _failure(lambda: read_all(path, kind="csv", limits=ReadLimits(block_bytes=block)))
    row = data.splitlines()[1].decode()
    assert str(failure).startswith(f"{path}, byte 8: {row!r} is not valid CSV: a quote in this row is never closed.")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_last_row_may_lack_its_newline_and_text_may_follow_a_closing_quote(tmp_path: Path, end: str) -> None:
    path = _file(tmp_path, b'a,"b"\n"c" d,5" disk,"e"' + end.encode())
    assert values(read_all(path, kind="csv")) == [["a", "b"], ["c d", '5" disk', "e"]]


def test_a_csv_place_shows_the_row(tmp_path: Path) -> None:
    path = _file(tmp_path, b"\xef\xbb\xbfa,b\nc,d\n")
    source = Input(uri=str(path), format="csv")
    (block,) = read_split(plan(source, 100)[0], source)
    assert [block.place(index) for index in (0, 1)] == [f"{path}, byte 0: 'a,b'", f"{path}, byte 7: 'c,d'"]


def test_json_lines_take_what_pythons_json_writes(tmp_path: Path) -> None:
    path = _file(tmp_path, b'\xef\xbb\xbf{"a": NaN}\n\n"\\ud800"\n123456789012345678901234567890\n1e999\n')
    first, *rest = values(read_all(path, kind="jsonl"))
    assert first["a"] != first["a"]
    assert rest == ["\ud800", 123456789012345678901234567890, float("inf")]


@pytest.mark.parametrize("line", [b"{'a': 1}", b"1 2", b'{"a":', b"[" * 100_000])
def test_a_line_that_is_not_json_is_named(tmp_path: Path, line: bytes) -> None:
    path = _file(tmp_path, b'{"fine": 1}\n' + line + b"\n")
    failure = _failure(lambda: read_all(path, kind="jsonl"))
    assert f"{path}, byte 12:" in str(failure)
    assert "is not valid JSON" in str(failure)
    assert failure.record.startswith(f"{path}, byte 12:")


def test_two_documents_on_one_line_are_not_taken_for_two_records(tmp_path: Path) -> None:
    _failure(lambda: read_all(_file(tmp_path, b"1 2\n3\n"), kind="jsonl"))


def test_whole_files_come_with_their_path_and_empty_ones_count(tmp_path: Path) -> None:
    one, two = _file(tmp_path, b"\xef\xbb\xbfx\r\ny", "1"), _file(tmp_path, b"", "2")
    assert read_all(tmp_path, kind="files", split_size_bytes=1) == [(str(one), "x\r\ny"), (str(two), "")]
    assert values(read_all(one, kind="files", encoding="bytes")) == [b"\xef\xbb\xbfx\r\ny"]


def test_gzip_members_and_zstd_frames_follow_one_another(tmp_path: Path) -> None:
    joined = _file(tmp_path, gzip.compress(b"one\ntw") + gzip.compress(b"o\n") + b"\0" * 20, "a.gz")
    assert read_all(joined) == [(0, "one"), (4, "two")]
    frames = _file(tmp_path, zstd.compress(b"one\ntw") + zstd.compress(b"o\n"), "a.zst")
    assert read_all(frames, split_size_bytes=2, limits=ReadLimits(block_bytes=2)) == [(0, "one"), (4, "two")]


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_a_compressed_file_cut_at_any_byte_is_refused(tmp_path: Path, name: str) -> None:
    data = os.urandom(40) + b"\n"
    packed = (
        gzip.compress(data)
        if name == "a.gz"
        else zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    )
    for length in range(1, len(packed)):
        failure = _failure(lambda length=length: read_all(_file(tmp_path, packed[:length], name)))  # type: ignore[misc]
        assert "cut short" in str(failure) or "is not valid" in str(failure)


def test_corrupt_gzip_and_garbage_behind_it_are_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"some text\n" * 50))
    packed[-6] ^= 1
    assert "is not valid gzip" in str(_failure(lambda: read_all(_file(tmp_path, bytes(packed), "a.gz"))))
    garbage = gzip.compress(b"text\n") + b"garbage"
    assert "is not valid gzip" in str(_failure(lambda: read_all(_file(tmp_path, garbage, "b.gz"))))


def test_plain_text_named_gz_is_refused(tmp_path: Path) -> None:
    assert "is not valid gzip" in str(_failure(lambda: read_all(_file(tmp_path, b"plain\n", "a.gz"))))


def test_a_bomb_is_stopped_at_its_expansion_ratio() -> None:
    packed = gzip.compress(b"\n" * 2_000_000)
    pieces = decompression.decompressed([packed], "bomb.gz", len(packed), max_expansion=100, allowance_bytes=1_000)
    with pytest.raises(TaskFailed, match="looks like a bomb"):
        list(pieces)


def test_a_bomb_without_newlines_is_stopped_as_a_record_too_long(tmp_path: Path) -> None:
    path = _file(tmp_path, gzip.compress(b"0" * 1_000_000), "bomb.gz")
    assert "longer than 32 bytes" in str(_failure(lambda: read_all(path, limits=SMALL)))


def test_a_line_of_exactly_the_limit_is_read_and_one_byte_more_is_refused_by_name(tmp_path: Path) -> None:
    assert values(read_all(_file(tmp_path, b"ok\n" + b"x" * 32 + b"\n"), limits=SMALL)) == ["ok", "x" * 32]
    for end in (b"\n", b""):
        failure = _failure(lambda end=end: read_all(_file(tmp_path, b"ok\n" + b"x" * 33 + end), limits=SMALL))  # type: ignore[misc]
        assert "byte 3: 'xxxx" in str(failure)
        assert "longer than 32 bytes" in str(failure)


def test_a_range_read_at_once_gives_the_same_blocks_as_one_read_step_by_step(tmp_path: Path) -> None:
    for data in (b"one\n\n\ntwo\r\nthree", b"\n", b"x", b"ab\nc" + b"d" * 5_000 + b"\nlast\n"):
        path = _file(tmp_path, data)
        ends = sorted({*range(min(len(data), 24)), len(data) - 1, len(data)})
        for start in ends:
            for end in [end for end in ends if end > start]:
                part = FileRange(path=str(path), start=start, end=end, size=len(data))
                split, source = Split(input=0, files=(part,)), Input(uri=str(path))
                # a block limit below the first look's size takes the way of large ranges
                blocks, stepwise = (
                    [(block.keys(), block.records) for block in read_split(split, source, limits)]
                    for limits in (ReadLimits(), ReadLimits(block_bytes=4_095))
                )
                if len(data) < 4_095:
                    assert blocks == stepwise
                assert [line for _, lines in blocks for line in lines] == [
                    line for _, lines in stepwise for line in lines
                ]


def test_a_file_longer_than_the_limit_is_refused_as_one_record(tmp_path: Path) -> None:
    path = _file(tmp_path, b"z" * 33)
    assert "longer than 32 bytes" in str(_failure(lambda: read_all(path, kind="files", limits=SMALL)))


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "does not exist any more"),
        (lambda path: path.write_bytes(b"shorter"), "had 26 bytes and has 7 now"),
        (lambda path: path.write_bytes(b"x" * 40), "had 26 bytes and has 40 now"),
        (lambda path: os.utime(path, ns=(0, 0)), "its time has changed"),
        (lambda path: (path.unlink(), path.mkdir()), "is no regular file any more"),
        (lambda path: _replace_by_fifo(path), "is no regular file any more"),
    ],
)
def test_an_input_that_changed_since_planning_is_refused(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    path = _file(tmp_path, b"abcdefghijklmnopqrstuvwxyz")
    source = Input(uri=str(path))
    splits = plan(source, 1 << 20)
    change(path)
    failure = _failure(lambda: list(read_split(splits[0], source)))
    assert said in str(failure)
    assert str(path) in str(failure)


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = _file(tmp_path, b"line\n" * 100)
    source = Input(uri=str(path))
    blocks = read_split(plan(source, 1 << 20)[0], source, SMALL)
    next(blocks)
    with path.open("ab") as file:
        file.write(b"more\n")
    assert "has changed since the job was planned" in str(_failure(lambda: list(blocks)))
    os.truncate(path, 500)
    blocks = read_split(plan(source, 1 << 20)[0], source, SMALL)
    next(blocks)
    os.truncate(path, 40)
    assert "ends at byte" in str(_failure(lambda: list(blocks)))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts the entries of /proc/self/fd")
def test_a_reader_that_is_left_early_closes_its_file(tmp_path: Path) -> None:
    source = Input(uri=str(_file(tmp_path, b"line\n" * 100)))
    blocks = read_split(plan(source, 1 << 20)[0], source, SMALL)
    next(blocks)
    open_before = _open_files()
    blocks.close()  # type: ignore[attr-defined]
    assert _open_files() == open_before - 1


def test_borders_of_blocks_do_not_depend_on_how_much_a_read_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(b"line %d\n" % number for number in range(200))
    paths = [
        _file(tmp_path, data),
        _file(tmp_path, gzip.compress(data), "a.gz"),
        _file(tmp_path, zstd.compress(data), "a.zst"),
    ]
    limits = ReadLimits(block_bytes=64, record_bytes=64)

    def borders() -> list[list[int]]:
        sources = [Input(uri=str(path)) for path in paths]
        return [
            [block.offsets()[0] for block in read_split(plan(source, 1 << 20)[0], source, limits)] for source in sources
        ]

    whole = borders()
    assert whole[0] == whole[1] == whole[2]
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda handle, size, offset: pread(handle, min(size, 7), offset))
    assert borders() == whole
