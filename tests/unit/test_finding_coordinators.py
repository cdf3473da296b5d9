"""Which coordinator a command talks to, decided from options, notes and files alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.coordinator.runtimefile import Note, leave_note, notes_folder, read_notes
from mapreduce.coordinator.statefiles import Endpoint, write_endpoint
from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.connect import Address, find
from mapreduce_cli.jobnames import as_folder


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


def running(folder: Path, url: str, pid: int | None = None) -> Path:
    """A state folder that looks as if a coordinator served it."""
    folder.mkdir()
    pid = os.getpid() if pid is None else pid
    write_endpoint(folder, Endpoint(url=url, epoch=1, pid=pid))
    leave_note(Note(url=url, folder=str(folder), pid=pid))
    return folder


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_notes_lie_in_the_runtime_folder_and_only_their_owner_reads_them(runtime: Path, tmp_path: Path) -> None:
    running(tmp_path / "state", "http://127.0.0.1:1000")
    (note,) = (runtime / "mapreduce").iterdir()
    assert note.stat().st_mode & 0o777 == 0o600
    assert "token" not in note.read_text()


def test_without_a_runtime_folder_notes_lie_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert notes_folder() == tmp_path / "cache" / "mapreduce"


def test_the_one_coordinator_that_runs_is_found_without_any_option(tmp_path: Path) -> None:
    state = running(tmp_path / "state", "http://127.0.0.1:1000")
    assert find(Address()).folder == state


def test_a_note_of_a_process_that_has_gone_is_ignored_and_removed(tmp_path: Path) -> None:
    running(tmp_path / "state", "http://127.0.0.1:1000", dead_pid())
    with pytest.raises(Unreachable, match="no coordinator of yours runs here"):
        find(Address())
    assert read_notes() == []
    assert list(notes_folder().iterdir()) == []


def test_of_several_coordinators_one_must_be_chosen(tmp_path: Path) -> None:
    running(tmp_path / "one", "http://127.0.0.1:1000")
    two = running(tmp_path / "two", "http://127.0.0.1:2000")
    with pytest.raises(UsageError, match="choose one with --coordinator"):
        find(Address())
    assert find(Address(url="http://localhost:2000/")).folder == two


def test_a_url_with_a_token_file_needs_no_note(tmp_path: Path) -> None:
    found = find(Address(url="http://host:8080", token_file=tmp_path / "token"))
    assert (found.folder, found.url, found.token_file) == (None, "http://host:8080", tmp_path / "token")


def test_a_url_without_a_token_is_refused_with_the_ways_to_give_one() -> None:
    with pytest.raises(UsageError, match="--token-file or MR_TOKEN_FILE"):
        find(Address(url="http://host:8080"))


def test_a_folder_goes_before_everything_else(tmp_path: Path) -> None:
    running(tmp_path / "one", "http://127.0.0.1:1000")
    (tmp_path / "two").mkdir()
    assert find(Address(folder=tmp_path / "two", url="http://127.0.0.1:1000")).folder == tmp_path / "two"


def test_a_job_is_a_folder_when_it_is_written_like_one_or_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert as_folder("out") == Path("out")
    assert as_folder("gone/") == Path("gone")
    assert as_folder("wordcount") is None
    assert as_folder("3") is None
