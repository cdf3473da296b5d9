"""A file that is on the disk can be found after a power cut only if every folder on the way to it is there too."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.outputs import Claimant, claim_output
from mapreduce.coordinator.plans import Plan
from mapreduce.coordinator.store import Store
from mapreduce.inline import run_inline
from mapreduce.inlineinputs import with_files
from mapreduce.local.claiming import OutputClaim
from mapreduce.local.paths import OutputPaths
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.protocol.messages import SubmitRequest
from mapreduce.sequential import run_sequential
from mapreduce.wal.files import make_folder
from tests.support.jobs import user_job

SPEC = JobSpec(code=Code(inline=""), inputs=(Input(inline="a b\n"),), output=Output(uri="o"), reducers=1)


def at_output(folder: Path) -> JobSpec:
    return msgspec.structs.replace(SPEC, output=Output(uri=str(folder)))


class Folders:
    """Folders that were made, until the folder they are in is synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unsynced: list[Path] = []
        self.made: list[Path] = []
        mkdir, fsync = os.mkdir, os.fsync

        def made(path: str | Path, *more: Any, **named: Any) -> None:
            mkdir(path, *more, **named)
            self.made.append(Path(path))
            self.unsynced.append(Path(path))

        def synced(descriptor: int) -> None:
            fsync(descriptor)
            here = os.fstat(descriptor)
            there = [path for path in self.unsynced if path.parent.exists()]
            self.unsynced = [path for path in there if not os.path.samestat(here, path.parent.stat())]

        monkeypatch.setattr(os, "mkdir", made)
        monkeypatch.setattr(os, "fsync", synced)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Folders:
    return Folders(monkeypatch)


def test_each_level_is_synced_before_the_next_is_made(tmp_path: Path, folders: Folders) -> None:
    made: list[Path] = []
    make_folder(tmp_path / "a" / "b" / "c", made)
    assert made == folders.made == [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert folders.unsynced == []


def test_a_folder_that_somebody_else_makes_at_the_same_time_is_synced_and_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: Folders
) -> None:
    mkdir = os.mkdir

    def second(path: str | Path, *more: Any, **named: Any) -> None:
        mkdir(path, *more, **named)
        raise FileExistsError(17, "File exists", str(path))

    monkeypatch.setattr(os, "mkdir", second)
    made: list[Path] = []
    make_folder(tmp_path / "a", made)
    assert (made, folders.unsynced) == ([], [])


def test_folders_that_were_made_before_a_failure_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def full(path: str | Path, *more: Any, **named: Any) -> None:
        if Path(path).name == "b":
            raise OSError(28, "No space left on device", str(path))
        mkdir(path, *more, **named)

    monkeypatch.setattr(os, "mkdir", full)
    made: list[Path] = []
    with pytest.raises(OSError, match="No space"):
        make_folder(tmp_path / "a" / "b", made)
    assert made == [tmp_path / "a"]


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "link" / "b")


@pytest.mark.parametrize(
    "put",
    [
        lambda store: store.put_plan(1, Plan()),
        lambda store: store.put_submission(1, SubmitRequest(name="wc", spec=SPEC, code="0" * 64)),
        lambda store: store.keep_code(b"code"),
        lambda store: with_files(SPEC, store.inline_folder(1)),
        lambda store: store.make_folders(1, at_output(store.folder.parent / "o")),
    ],
    ids=["plan", "submission", "code", "inputs", "runs"],
)
def test_what_is_kept_beside_the_log_has_a_durable_way_to_it(
    tmp_path: Path, folders: Folders, put: Callable[[Store], object]
) -> None:
    put(Store(tmp_path / "deep" / "state"))
    assert len(folders.made) >= 3
    assert folders.unsynced == []


def test_an_output_folder_that_is_claimed_has_a_durable_way_to_it(tmp_path: Path, folders: Folders) -> None:
    OutputClaim.acquire(OutputPaths(tmp_path / "a" / "b" / "out"), overwrite=False).release()
    assert len(folders.made) == 4
    assert folders.unsynced == []


def test_an_output_folder_that_a_coordinator_claims_has_a_durable_way_to_it(tmp_path: Path, folders: Folders) -> None:
    claim_output(at_output(tmp_path / "a" / "out"), Claimant("one", tmp_path / "state", 1, "wc", "code"))
    assert len(folders.made) == 3
    assert folders.unsynced == []


@pytest.mark.parametrize("run", [run_inline, run_sequential], ids=["engine", "oracle"])
def test_the_result_of_a_run_in_one_process_has_a_durable_way_to_it(tmp_path: Path, folders: Folders, run: Any) -> None:
    job = user_job(tmp_path, "def mapper(line):\n    yield line, 1\n")
    out = tmp_path / "a" / "out"
    run(SPEC, job, out)
    assert out in folders.made
    assert not {out, out.parent} & set(folders.unsynced)
