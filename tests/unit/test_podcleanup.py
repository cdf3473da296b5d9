"""What a deleted job leaves on claims that stay: all of its own goes, a result stays, and nothing of others goes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce import podcleanup
from mapreduce.coordinator.outputs import Claimant, claim_output, note_end, read_owner
from mapreduce.coordinator.statefiles import FolderLock
from tests.support.outputfolders import Killed, claimant, finished, kill_at, owner, spec_for, state_names

PODS = "mr-count-0a1b2c3d-"


def _clean_up(output: Path, owner: str = "ab", folders: tuple[Path, ...] = ()) -> int:
    given = [argument for folder in folders for argument in ("--folder", str(folder))]
    return podcleanup.main([*given, "--output", str(output), "--owner", owner, "--pods", PODS])


def _unfinished(folder: Path, taker: Claimant | None = None) -> Path:
    """A folder as a job leaves it that is deleted while it works."""
    claim_output(spec_for(folder), taker or claimant())
    attempt = folder / "_mapreduce" / "attempts" / "1" / "reduce-0.e1.a1.out"
    attempt.parent.mkdir(parents=True)
    attempt.write_text("a\t1\n")
    (folder / "_mapreduce" / "work" / f"{PODS}workers-x7k2p").mkdir(parents=True)
    return folder


def test_nothing_of_an_unfinished_job_stays_and_the_next_one_may_have_the_folder(tmp_path: Path) -> None:
    assert _clean_up(_unfinished(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
    claim_output(spec_for(tmp_path), claimant(store="cd"))


@pytest.mark.parametrize("end", ["Failed", "Cancelled"])
def test_nothing_of_a_job_that_ended_without_a_result_stays(tmp_path: Path, end: Any) -> None:
    _unfinished(tmp_path)
    note_end(spec_for(tmp_path), claimant(), end)
    assert _clean_up(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_parts_that_were_named_before_there_was_a_result_go_and_files_of_the_user_stay(tmp_path: Path) -> None:
    _unfinished(tmp_path)
    for name in ("part-00000", "part-00012", "._SUCCESS.7-1.tmp", "part-1", "notes-00001.txt"):
        (tmp_path / name).write_text("")
    assert _clean_up(tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes-00001.txt", "part-1"]


def test_a_finished_result_stays_with_its_record(tmp_path: Path) -> None:
    finished(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert _clean_up(tmp_path) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert state_names(tmp_path) == ["owner.json"]


def test_a_result_whose_end_was_not_noted_yet_is_one(tmp_path: Path) -> None:
    _unfinished(tmp_path)
    (tmp_path / "part-00000").write_text("a\t1\n")
    (tmp_path / "_SUCCESS").write_bytes(msgspec.json.encode({"parts": {"part-00000": {}}}))
    assert _clean_up(tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_SUCCESS", "_mapreduce", "part-00000"]
    record = read_owner(tmp_path / "_mapreduce" / "owner.json")
    assert record is not None
    assert record.end == "Complete"


def test_of_a_folder_of_another_job_only_work_folders_of_its_own_pods_go(tmp_path: Path) -> None:
    _unfinished(tmp_path, claimant(store="cd"))
    (tmp_path / "_mapreduce" / "work" / "mr-other-11112222-workers-x").mkdir()
    (tmp_path / "part-00000").write_text("")
    assert _clean_up(tmp_path) == 0
    assert owner(tmp_path) == 1
    assert state_names(tmp_path) == ["attempts", "owner.json", "work"]
    assert [path.name for path in (tmp_path / "_mapreduce" / "work").iterdir()] == ["mr-other-11112222-workers-x"]
    assert (tmp_path / "part-00000").exists()


def test_a_folder_that_is_being_taken_over_is_left_alone(tmp_path: Path) -> None:
    _unfinished(tmp_path)
    note_end(spec_for(tmp_path), claimant(), "Cancelled")
    lock = FolderLock.try_acquire(tmp_path / "_mapreduce" / "lock")
    assert lock is not None
    try:
        assert _clean_up(tmp_path) == 0
        assert owner(tmp_path) == 1
    finally:
        lock.release()


def test_a_folder_that_was_never_made_or_never_claimed_is_no_trouble(tmp_path: Path) -> None:
    assert _clean_up(tmp_path / "nowhere") == 0
    (tmp_path / "thesis.txt").write_text("years")
    assert _clean_up(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_killed_at_any_step_it_is_done_by_the_next_try_and_blocks_nobody_meanwhile(tmp_path: Path) -> None:
    for position in range(100):
        folder, is_killed = tmp_path / str(position), True
        _unfinished(folder)
        with pytest.MonkeyPatch.context() as monkeypatch, contextlib.suppress(Killed):
            kill_at(monkeypatch, position)
            _clean_up(folder)
            is_killed = False
        record = read_owner(folder / "_mapreduce" / "owner.json")
        if position > 10 and record is not None:
            assert record.end == "Cancelled"
        assert _clean_up(folder) == 0
        assert list(folder.iterdir()) == []
        if not is_killed:
            return
    raise AssertionError("no end of steps")


def test_what_cannot_be_removed_is_said_and_the_rest_goes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _unfinished(tmp_path / "out")
    (tmp_path / "out" / "part-00000").mkdir()  # no file of ours has that name
    (tmp_path / "runs").mkdir()
    assert _clean_up(tmp_path / "out", folders=(tmp_path / "runs",)) == 1
    assert "part-00000" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()
    record = read_owner(tmp_path / "out" / "_mapreduce" / "owner.json")
    assert record is not None
    assert record.end == "Cancelled"


def test_given_folders_go_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "job" / "runs").mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    folders = ("--folder", str(tmp_path / "job"), "--folder", str(tmp_path / "link"), "--folder", str(tmp_path / "no"))
    assert podcleanup.main(folders) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "precious"]
