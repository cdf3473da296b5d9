"""A folder passes from a job that has ended to the next one: killed at any step, it is nobody's loss."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mapreduce.coordinator.outputs import claim_output, note_end, read_owner
from mapreduce.coordinator.statefiles import FolderLock
from mapreduce.errors import OutputRefused
from mapreduce.local.claiming import look_into
from mapreduce.local.ownership import decide_foreign
from mapreduce.local.paths import OutputPaths
from mapreduce.model import JobSpec
from tests.support.outputfolders import BEFORE, claimant, finished, killed_at_each_step, owner, spec_for, state_names


@pytest.mark.parametrize(
    ("before", "is_foreign_there"),
    [*((name, False) for name in BEFORE), ("finished", True), ("finished here", True)],
)
def test_a_claim_that_is_killed_at_any_step_is_made_by_the_next_try(
    tmp_path: Path, before: str, is_foreign_there: bool
) -> None:
    def prepare(folder: Path) -> None:
        BEFORE[before](folder)
        if is_foreign_there:
            (folder / "notes.txt").write_text("mine")

    def spec(folder: Path) -> JobSpec:
        return spec_for(folder, replace=before.startswith("finished"))

    for folder in killed_at_each_step(tmp_path, prepare, spec):
        claim_output(spec(folder), claimant(2))
        assert owner(folder) == 2
        assert sorted(path.name for path in folder.iterdir()) == ["_mapreduce", *["notes.txt"] * is_foreign_there]
        assert state_names(folder) == ["owner.json"]


@pytest.mark.parametrize("before", BEFORE)
def test_whenever_a_claim_is_killed_the_folder_is_one_that_a_run_here_knows_as_ours_and_does_not_resume(
    tmp_path: Path, before: str
) -> None:
    for folder in killed_at_each_step(tmp_path, BEFORE[before], lambda folder: spec_for(folder, replace=True)):
        view = look_into(OutputPaths(folder))
        decide_foreign(view)
        assert view.owner is None or view.is_complete or view.owner.end or view.owner.job == 2
        assert view.owner is not None or not view.entries


@pytest.mark.parametrize("before", ["finished", "failed here"])
def test_whenever_a_claim_is_killed_another_job_may_have_the_folder_unless_it_is_taken(
    tmp_path: Path, before: str
) -> None:
    for folder in killed_at_each_step(tmp_path, BEFORE[before], lambda folder: spec_for(folder, replace=True)):
        record = read_owner(folder / "_mapreduce" / "owner.json")
        assert record is not None
        if record.end:
            claim_output(spec_for(folder, replace=True), claimant(3))
            assert (owner(folder), state_names(folder)) == (3, ["owner.json"])
        else:
            with pytest.raises(OutputRefused, match="is not empty"):
                claim_output(spec_for(folder, replace=True), claimant(3))
            assert owner(folder) == 2


@pytest.mark.parametrize("replace", [False, True])
def test_an_interrupted_replacement_of_an_earlier_release_that_left_no_record_is_gone_on_with(
    tmp_path: Path, replace: bool
) -> None:
    (tmp_path / "_mapreduce").mkdir()
    (tmp_path / "_mapreduce" / "replaced.json").write_bytes(b'{"parts": {"part-00000": {}}}')
    (tmp_path / "notes.txt").write_text("mine")
    if replace:
        claim_output(spec_for(tmp_path, replace=True), claimant(2))
        assert (owner(tmp_path), state_names(tmp_path)) == (2, ["owner.json"])
    else:
        with pytest.raises(OutputRefused, match="is not empty"):
            claim_output(spec_for(tmp_path), claimant(2))
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("name", ["_SUCCESS", "_mapreduce/replaced.json"])
@pytest.mark.parametrize(
    "content", [b"", b'{"parts": {"part-0', b"[]", b"null", b'{"parts": 1}', b'{"parts": {"\xff": {}}}', b"\0" * 9]
)
def test_a_result_whose_list_cannot_be_read_is_refused_and_left_alone_until_it_is_deleted(
    tmp_path: Path, name: str, content: bytes
) -> None:
    finished(tmp_path)
    (tmp_path / "_SUCCESS").rename(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for _ in range(2):
        with pytest.raises(OutputRefused, match=rf"{name} cannot be read .* Delete that result by hand"):
            claim_output(spec_for(tmp_path, replace=True), claimant(2))
        assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    for path in tmp_path.glob("[!_]*"):
        path.unlink()
    (tmp_path / "_SUCCESS").unlink(missing_ok=True)
    claim_output(spec_for(tmp_path, replace=True), claimant(2))
    assert (owner(tmp_path), state_names(tmp_path)) == (2, ["owner.json"])


@pytest.mark.parametrize("before", ["finished here", "failed here"])
def test_a_run_that_has_ended_and_still_cleans_up_is_left_alone(tmp_path: Path, before: str) -> None:
    BEFORE[before](tmp_path)
    lock = FolderLock.try_acquire(tmp_path / "_mapreduce" / "lock")
    assert lock is not None
    names = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputRefused, match=f"another run is using it \\(process {os.getpid()}\\)"):
        claim_output(spec_for(tmp_path, replace=True), claimant(2))
    assert sorted(tmp_path.rglob("*")) == names
    lock.release()
    claim_output(spec_for(tmp_path, replace=True), claimant(2))
    assert (owner(tmp_path), state_names(tmp_path)) == (2, ["owner.json"])


def test_a_job_that_notes_its_end_while_its_result_is_being_replaced_does_not_keep_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_acquire = FolderLock.try_acquire

    def acquire_after_the_end(path: Path) -> FolderLock | None:
        note_end(spec_for(tmp_path), claimant(1), "Complete")
        return try_acquire(path)

    claim_output(spec_for(tmp_path), claimant(1))
    (tmp_path / "_SUCCESS").write_text('{"parts": {}}')
    monkeypatch.setattr(FolderLock, "try_acquire", acquire_after_the_end)
    claim_output(spec_for(tmp_path, replace=True), claimant(2))
    note_end(spec_for(tmp_path), claimant(1), "Complete")
    assert owner(tmp_path) == 2


def test_of_two_jobs_that_take_a_folder_over_where_nothing_can_be_locked_exactly_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(path: Path) -> FolderLock:
        raise OSError(95, "operation not supported")

    unlink = os.unlink
    rivals = [claimant(2)]

    def unlink_while_a_rival_claims(path: Any, **more: Any) -> None:
        unlink(path, **more)
        if rivals:
            claim_output(spec_for(tmp_path), rivals.pop())

    claim_output(spec_for(tmp_path), claimant(1))
    note_end(spec_for(tmp_path), claimant(1), "Failed")
    (tmp_path / "_mapreduce" / "log").write_text("")
    monkeypatch.setattr(FolderLock, "try_acquire", no_lock)
    monkeypatch.setattr(os, "unlink", unlink_while_a_rival_claims)
    with pytest.raises(OutputRefused, match="another job has just taken it"):
        claim_output(spec_for(tmp_path), claimant(3))
    assert owner(tmp_path) == 2
