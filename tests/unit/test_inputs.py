"""Listing: the order of files, what is skipped, and everything that cannot be an input."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.splits import InputFile, plan_inputs, plan_splits
from mapreduce.errors import InvalidInput
from mapreduce.model import Code, Input, InputFormat, JobSpec, Output


def _make(tmp_path: Path, *names: str) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def _names(tmp_path: Path, uri: str) -> list[str]:
    return [os.path.relpath(file.path, tmp_path) for file in list_input(Input(uri=uri))]


def _refusal(uri: str | Path, kind: InputFormat = "lines") -> str:
    with pytest.raises(InvalidInput) as caught:
        list_input(Input(uri=str(uri), format=kind))
    return str(caught.value)


def test_a_folder_is_listed_to_the_bottom_in_order_of_paths_without_hidden_names(tmp_path: Path) -> None:
    _make(tmp_path, "b", "a/2", "a/10", "a-b/1", "é", "_SUCCESS", ".hidden", "_tmp/x", ".git/y", "a/_z")
    assert _names(tmp_path, str(tmp_path)) == ["a-b/1", "a/10", "a/2", "b", "é"]


def test_a_glob_takes_files_and_what_lies_below_folders_each_once(tmp_path: Path) -> None:
    _make(tmp_path, "1.txt", "2.txt", "3.md", "sub/4.txt", "sub/deep/5.txt", "_6.txt")
    assert _names(tmp_path, f"{tmp_path}/*.txt") == ["1.txt", "2.txt"]
    assert _names(tmp_path, f"{tmp_path}/[12]*") == ["1.txt", "2.txt"]
    assert _names(tmp_path, f"{tmp_path}/s*") == ["sub/4.txt", "sub/deep/5.txt"]
    assert _names(tmp_path, f"{tmp_path}/**") == ["1.txt", "2.txt", "3.md", "sub/4.txt", "sub/deep/5.txt"]
    assert _names(tmp_path, f"{tmp_path}/**/*.txt") == ["1.txt", "2.txt", "sub/4.txt", "sub/deep/5.txt"]


def test_a_file_is_taken_by_its_own_name_whatever_the_name_looks_like(tmp_path: Path) -> None:
    _make(tmp_path, "_data", ".rc", "odd[1]*?.txt", "with space\nand newline")
    for name in ("_data", ".rc", "odd[1]*?.txt", "with space\nand newline"):
        assert _names(tmp_path, str(tmp_path / name)) == [name]


def test_sizes_times_and_compression_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 2_000_000_001))
    assert list_input(Input(uri=str(path))) == [InputFile(str(path), 5, 2_000_000_001, is_compressed=True)]
    assert not list_input(Input(uri=_touch(tmp_path / "plain")))[0].is_compressed


def _touch(path: Path) -> str:
    path.touch()
    return str(path)


def test_a_file_url_is_a_path_and_other_schemes_are_refused(tmp_path: Path) -> None:
    _make(tmp_path, "a b")
    assert _names(tmp_path, f"file://{tmp_path}/a%20b") == ["a b"]
    assert "s3:// cannot be read" in _refusal("s3://bucket/key")


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    _make(tmp_path, "books.txt")
    assert f"does not exist. Did you mean {tmp_path}/books.txt?" in _refusal(tmp_path / "bookss.txt")
    assert f"There is no folder {tmp_path}/nowhere either." in _refusal(tmp_path / "nowhere" / "x")
    assert "does not exist" in _refusal(tmp_path / "books.txt" / "inside")


def test_a_glob_without_matches_and_a_folder_without_files_are_refused(tmp_path: Path) -> None:
    _make(tmp_path, "_SUCCESS", ".x")
    assert "matches no files" in _refusal(f"{tmp_path}/*.txt")
    assert "holds no files" in _refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "holds no files" in _refusal(tmp_path / "empty")


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    _make(tmp_path, "real/1")
    (tmp_path / "link").symlink_to("real/1")
    (tmp_path / "folder").symlink_to("real")
    assert _names(tmp_path, str(tmp_path)) == ["folder/1", "link", "real/1"]


def _dangling(path: Path) -> None:
    path.symlink_to("gone")


def _looping(path: Path) -> None:
    path.symlink_to(path.name)


def _loop_to_above(path: Path) -> None:
    path.symlink_to("..")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_dangling, "is a link to gone, which does not exist"),
        (_looping, "is a link that leads back to itself"),
        (lambda path: os.mkfifo(path), "is a FIFO"),
        (_socket, "is a socket"),
        (lambda path: path.symlink_to("/dev/null"), "is a character device"),
    ],
)
def test_what_is_no_plain_file_is_refused_alone_and_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], said: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    _make(tmp_path, "in/fine")
    make(Path("in/odd"))
    for uri in ("in/odd", "in", "in/o*"):
        assert said in _refusal(uri)
        assert "input in/odd:" in _refusal(uri)


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    _make(tmp_path, "in/deep/fine")
    _loop_to_above(tmp_path / "in/deep/up")
    assert "is a link to a folder above itself" in _refusal(tmp_path / "in")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, "secret")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    assert "may not be read by this user" in _refusal(tmp_path / "secret")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    _make(tmp_path, "shut/x")
    (tmp_path / "shut").chmod(0)
    try:
        assert "may not be read by this user" in _refusal(tmp_path / "shut")
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_an_undecodable_name_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/bad\xff")).touch()
    assert r"bad\xff" in _refusal(tmp_path)
    assert "not valid UTF-8" in _refusal(tmp_path)


def test_a_name_with_nul_and_one_that_is_too_long_are_refused(tmp_path: Path) -> None:
    assert "NUL" in _refusal("a\0b")
    assert "cannot be read" in _refusal(tmp_path / ("x" * 300))


def test_other_compression_is_refused_unless_whole_files_are_wanted(tmp_path: Path) -> None:
    _make(tmp_path, "a.bz2")
    assert "packed in a way that is not read" in _refusal(tmp_path / "a.bz2")
    assert len(list_input(Input(uri=str(tmp_path / "a.bz2"), format="files"))) == 1


def _file(size: int, name: str = "f", *, is_compressed: bool = False) -> InputFile:
    return InputFile(name, size, 0, is_compressed)


def test_a_big_file_is_cut_into_pieces_of_nearly_the_same_size() -> None:
    splits = list(plan_splits([[_file(10)]], ["lines"], 4))
    assert [(part.start, part.end) for split in splits for part in split.files] == [(0, 3), (3, 6), (6, 10)]
    assert len(splits) == 3


def test_small_files_are_packed_up_to_the_split_size() -> None:
    files = [_file(size, str(index)) for index, size in enumerate([3, 3, 3, 9, 1])]
    splits = plan_splits([files], ["lines"], 7)
    assert [[(part.path, part.start) for part in split.files] for split in splits] == [
        [("0", 0), ("1", 0)],
        [("2", 0), ("3", 0)],
        [("3", 4), ("4", 0)],
    ]


def test_a_hundred_thousand_tiny_files_become_a_hundred_splits() -> None:
    files = [_file(1, str(index)) for index in range(100_000)]
    assert [len(split.files) for split in plan_splits([files], ["lines"], 1 << 26)] == [1_000] * 100


def test_one_huge_sparse_file_is_planned_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)
    splits = plan_splits([list_input(Input(uri=str(path)))], ["lines"], 1 << 30)
    assert sum(1 for _ in splits) == 1_024


def test_csv_whole_files_and_compressed_files_are_never_cut() -> None:
    for kind, is_compressed in (("csv", False), ("files", False), ("lines", True), ("jsonl", True)):
        splits = list(plan_splits([[_file(100, is_compressed=is_compressed)]], [kind], 10))  # type: ignore[list-item]
        assert [(part.start, part.end) for split in splits for part in split.files] == [(0, 100)]


def test_empty_files_are_left_out_unless_each_file_is_a_record() -> None:
    assert list(plan_splits([[_file(0)]], ["lines"], 10)) == []
    assert [len(split.files) for split in plan_splits([[_file(0), _file(0)]], ["files"], 10)] == [2]


def test_folders_nested_beyond_all_reason_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1_000):
        Path("d").mkdir()
        os.chdir("d")
    monkeypatch.chdir(tmp_path)
    try:
        said = _refusal("d")
    finally:
        os.removedirs("/".join(["d"] * 1_000))  # what cleans up after tests walks by recursion, too
    assert "nested too deeply" in said


def test_inputs_that_are_read_alike_are_packed_together_and_others_are_not() -> None:
    inputs = (Input(uri="a"), Input(uri="b"), Input(uri="c", format="jsonl"), Input(uri="d"))
    spec = JobSpec(code=Code(inline="x"), inputs=inputs, output=Output(uri="out"), split_size_bytes=100)
    splits = list(plan_inputs(spec, [[_file(10, name)] for name in "abcd"]))
    assert [(split.input, [part.path for part in split.files]) for split in splits] == [
        (0, ["a", "b"]),
        (2, ["c"]),
        (3, ["d"]),
    ]
