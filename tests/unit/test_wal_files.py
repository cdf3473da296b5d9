"""One contract for the operating system's files and for those in memory, and self-tests of the fault tool."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from mapreduce.errors import StorageFailed
from mapreduce.wal.files import FileSystem, LocalFiles, storage_failures, write_fully
from tests.support.faultyfiles import Crash, Disk, FaultyFiles, failing_at


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest) -> FileSystem:
    return LocalFiles() if request.param == "local" else FaultyFiles(Disk())


@pytest.fixture
def folder(files: FileSystem, tmp_path: Path) -> str:
    folder = f"{tmp_path}/a/b"
    files.make_folder(folder)
    return folder


def write(files: FileSystem, path: str, data: bytes) -> None:
    file = files.create(path)
    write_fully(file, data)
    file.sync()
    file.close()


def test_what_was_written_is_read(files: FileSystem, folder: str) -> None:
    write(files, f"{folder}/x", b"hello")
    assert files.read(f"{folder}/x") == b"hello"
    assert files.read(f"{folder}/x", 2) == b"he"
    assert files.size(f"{folder}/x") == 5


def test_writes_append(files: FileSystem, folder: str) -> None:
    file = files.create(f"{folder}/x")
    assert file.write(b"one") == 3
    assert file.write(memoryview(b"two")) == 3
    assert files.read(f"{folder}/x") == b"onetwo"
    file.close()


def test_creating_is_exclusive(files: FileSystem, folder: str) -> None:
    write(files, f"{folder}/x", b"")
    with pytest.raises(FileExistsError):
        files.create(f"{folder}/x")


def test_a_folder_lists_its_files_by_name(files: FileSystem, folder: str) -> None:
    for name in ("b", "a"):
        write(files, f"{folder}/{name}", b"")
    assert sorted(files.list_folder(folder)) == ["a", "b"]


def test_making_a_folder_again_is_fine(files: FileSystem, folder: str) -> None:
    write(files, f"{folder}/x", b"1")
    files.make_folder(folder)
    assert files.list_folder(folder) == ["x"]


def test_renaming_replaces_the_target(files: FileSystem, folder: str) -> None:
    write(files, f"{folder}/x", b"new")
    write(files, f"{folder}/y", b"old")
    files.rename(f"{folder}/x", f"{folder}/y")
    files.sync_folder(folder)
    assert files.list_folder(folder) == ["y"]
    assert files.read(f"{folder}/y") == b"new"


def test_a_removed_file_is_gone(files: FileSystem, folder: str) -> None:
    write(files, f"{folder}/x", b"")
    files.remove(f"{folder}/x")
    assert files.list_folder(folder) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda files, path: files.read(path),
        lambda files, path: files.size(path),
        lambda files, path: files.remove(path),
        lambda files, path: files.rename(path, path + "2"),
        lambda files, path: files.list_folder(path),
    ],
    ids=["read", "size", "remove", "rename", "list"],
)
def test_what_does_not_exist_is_not_found(
    files: FileSystem, folder: str, call: Callable[[FileSystem, str], object]
) -> None:
    with pytest.raises(FileNotFoundError):
        call(files, f"{folder}/missing")


def test_there_is_free_space(files: FileSystem, folder: str) -> None:
    assert files.free_bytes(folder) > 0


def test_a_file_that_takes_nothing_is_an_error_and_no_endless_loop() -> None:
    files = FaultyFiles(Disk(folders={"/f"}), write_limit=0)
    with pytest.raises(OSError, match="no more bytes"):
        write_fully(files.create("/f/x"), b"abc")


def test_short_writes_are_continued() -> None:
    files = FaultyFiles(Disk(folders={"/f"}), write_limit=2)
    write_fully(files.create("/f/x"), b"abcde")
    assert files.read("/f/x") == b"abcde"


def test_a_full_disk_is_told_with_what_to_do() -> None:
    with pytest.raises(StorageFailed, match="Make room"), storage_failures("writing"):
        raise OSError(errno.ENOSPC, "no space left")


class TestTheFaultToolItself:
    def test_synced_data_under_a_synced_name_survive_every_crash(self) -> None:
        disk = Disk(folders={"/f"})
        write(FaultyFiles(disk), "/f/x", b"data" * 100)
        FaultyFiles(disk).sync_folder("/f")
        assert all(disk.crash(seed).image() == {"/f/x": b"data" * 100} for seed in range(50))

    def test_synced_data_under_an_unsynced_name_may_be_gone(self) -> None:
        disk = Disk(folders={"/f"})
        write(FaultyFiles(disk), "/f/x", b"data")
        assert {tuple(disk.crash(seed).names()) for seed in range(50)} == {(), ("x",)}

    def test_unsynced_data_may_be_gone_torn_or_there(self) -> None:
        disk = Disk(folders={"/f"})
        files = FaultyFiles(disk)
        file = files.create("/f/x")
        file.write(b"0123456789abcdefFEDCBA9876543210")
        files.sync_folder("/f")
        found = {disk.crash(seed).image()["/f/x"] for seed in range(200)}
        assert {b"", b"0123456789abcdef", b"0123456789abcdefFEDCBA9876543210"} <= found
        assert any(data.startswith(bytes(16)) for data in found), "a later sector may survive without an earlier one"

    def test_renames_and_removals_that_were_not_synced_may_be_undone(self) -> None:
        disk = Disk.of_image({"/f/x": b"1", "/f/y": b"2"})
        files = FaultyFiles(disk)
        files.rename("/f/x", "/f/z")
        files.remove("/f/y")
        found = {tuple(disk.crash(seed).names()) for seed in range(100)}
        assert found == {("x", "y"), ("x",), ("y", "z"), ("z",)}

    def test_after_a_failed_sync_the_data_are_seen_but_never_reach_the_disk(self) -> None:
        disk = Disk(folders={"/f"})
        files = FaultyFiles(disk, failing_at(2, lambda: OSError(errno.EIO, "broken")))
        file = files.create("/f/x")
        file.write(b"lost")
        with pytest.raises(OSError, match="broken"):
            file.sync()
        file.sync()
        files.sync_folder("/f")
        assert files.read("/f/x") == b"lost"
        assert disk.crash(0, "nothing").image() == {"/f/x": b""}

    def test_a_crash_passes_through_handlers_of_ordinary_errors(self) -> None:
        files = FaultyFiles(Disk(folders={"/f"}), failing_at(0, Crash))
        with pytest.raises(Crash):
            files.list_folder("/f")
