"""Whose an output folder is: one job's, claimed whole or not at all, and nothing of anybody else's is ever removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.outputs import Claimant, claim_output, is_same_folder, note_end, owns_output, read_owner
from mapreduce.errors import OutputRefused
from tests.support.outputfolders import claimant, finished, owner, spec_for


def test_a_new_or_empty_folder_is_claimed_and_the_claim_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "deep" / "new", tmp_path / "empty"):
        for _ in range(2):
            claim_output(spec_for(folder), claimant())
        assert owner(folder) == 1
        assert [path.name for path in (folder / "_mapreduce").iterdir()] == ["owner.json"]


def anew(store: str = "ab") -> Claimant:
    """Job 1, with a log that knows nothing yet."""
    return msgspec.structs.replace(claimant(store=store), is_new=True)


@pytest.mark.parametrize("end", ["", "Failed"])
def test_a_job_that_begins_anew_goes_on_with_its_own_folder_without_a_result(tmp_path: Path, end: Any) -> None:
    claim_output(spec_for(tmp_path), claimant())
    (tmp_path / "_mapreduce" / "attempts" / "1").mkdir(parents=True)
    (tmp_path / "_mapreduce" / "work" / "pod-a").mkdir(parents=True)
    if end:
        note_end(spec_for(tmp_path), claimant(), end)
    claim_output(spec_for(tmp_path), anew())
    assert sorted(path.name for path in (tmp_path / "_mapreduce").iterdir()) == ["owner.json", "work"]
    record = read_owner(tmp_path / "_mapreduce" / "owner.json")
    assert record is not None
    assert record.end == ""


def test_a_job_that_begins_anew_does_not_take_up_a_finished_result(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(OutputRefused):
        claim_output(spec_for(tmp_path), anew())
    claim_output(spec_for(tmp_path, replace=True), anew())
    assert [path.name for path in tmp_path.iterdir()] == ["_mapreduce"]


def test_folders_in_which_pods_write_may_be_there_before_the_claim_and_outlive_it(tmp_path: Path) -> None:
    work = tmp_path / "_mapreduce" / "work" / "pod-a"
    work.mkdir(parents=True)
    claim_output(spec_for(tmp_path), claimant())
    note_end(spec_for(tmp_path), claimant(), "Failed")
    claim_output(spec_for(tmp_path), claimant(2))
    assert owner(tmp_path) == 2
    assert work.is_dir()


@pytest.mark.parametrize("other", [claimant(2), claimant(1, "cd")])
def test_a_folder_that_another_job_is_using_is_refused(tmp_path: Path, other: Claimant) -> None:
    claim_output(spec_for(tmp_path), claimant())
    for replace in (False, True):
        with pytest.raises(OutputRefused, match="is not empty"):
            claim_output(spec_for(tmp_path, replace=replace), other)
    assert owner(tmp_path) == 1


def test_a_folder_with_files_of_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    for replace in (False, True):
        with pytest.raises(OutputRefused, match=r"thesis\.txt"):
            claim_output(spec_for(tmp_path, replace=replace), claimant())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputRefused, match="cannot be written"):
        claim_output(spec_for(tmp_path / "out"), claimant())


def test_the_coordinators_own_folder_is_accepted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "anything").write_text("")
    claim_output(spec_for(tmp_path), Claimant("ab", tmp_path / "_mapreduce", 1, "job", "0" * 64))


def test_a_folder_of_a_job_that_ended_without_a_result_is_taken_over(tmp_path: Path) -> None:
    claim_output(spec_for(tmp_path), claimant(1))
    note_end(spec_for(tmp_path), claimant(1), "Failed")
    claim_output(spec_for(tmp_path), claimant(2))
    assert owner(tmp_path) == 2


def test_only_its_own_job_notes_the_end(tmp_path: Path) -> None:
    claim_output(spec_for(tmp_path), claimant(1))
    note_end(spec_for(tmp_path), claimant(2), "Failed")
    record = read_owner(tmp_path / "_mapreduce" / "owner.json")
    assert record is not None
    assert record.end == ""


def test_a_finished_result_is_replaced_only_if_asked(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(OutputRefused, match="overwrite"):
        claim_output(spec_for(tmp_path), claimant(2))
    assert (tmp_path / "_SUCCESS").exists()
    claim_output(spec_for(tmp_path, replace=True), claimant(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_mapreduce"]
    assert owner(tmp_path) == 2


def test_replacing_removes_what_the_result_lists_and_nothing_else(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path.parent / "outside").write_text("")
    success: dict[str, dict[str, object]] = {"parts": {"part-00000": {}, "../outside": {}, "part-00009": {}}}
    (tmp_path / "_SUCCESS").write_bytes(msgspec.json.encode(success))
    claim_output(spec_for(tmp_path, replace=True), claimant(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_mapreduce", "notes.txt", "part-00001"]
    assert (tmp_path.parent / "outside").exists()


def test_of_two_claims_at_once_exactly_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync
    rivals = [claimant(2)]

    def fsync_while_a_rival_claims(descriptor: int) -> None:
        fsync(descriptor)
        if rivals:
            claim_output(spec_for(tmp_path), rivals.pop())

    monkeypatch.setattr(os, "fsync", fsync_while_a_rival_claims)
    with pytest.raises(OutputRefused, match="another job has just taken it"):
        claim_output(spec_for(tmp_path), claimant(1))
    assert owner(tmp_path) == 2


def test_a_folder_is_its_jobs_until_another_claims_it(tmp_path: Path) -> None:
    assert not owns_output(spec_for(tmp_path), claimant(1))
    claim_output(spec_for(tmp_path), claimant(1))
    assert owns_output(spec_for(tmp_path), claimant(1))
    assert not owns_output(spec_for(tmp_path), claimant(1, "cd"))
    note_end(spec_for(tmp_path), claimant(1), "Failed")
    assert owns_output(spec_for(tmp_path), claimant(1))
    claim_output(spec_for(tmp_path), claimant(1, "cd"))
    assert not owns_output(spec_for(tmp_path), claimant(1))


def test_one_folder_is_one_folder_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "real" / "out").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_same_folder(tmp_path / "link" / "out", str(tmp_path / "real" / "none" / ".." / "out"))
    assert not is_same_folder(tmp_path / "real" / "out", tmp_path / "out")
    own = Claimant("ab", tmp_path / "real" / "out" / "_mapreduce", 1, "job", "0" * 64)
    assert owns_output(spec_for(tmp_path / "link" / "out"), own)
