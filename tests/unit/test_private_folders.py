"""The folder for sockets whose own has too long a path: nothing of it stays, whoever was killed."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.local.claiming import remove_scratch
from mapreduce.local.paths import OutputPaths
from mapreduce.privatefolders import LINK_NAME, make_private_folder, remove_private_folder
from mapreduce_worker.agent.processes import SocketFolder


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where private folders are made. Its own path is short: sockets would be put elsewhere if it were not."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setattr("tempfile.gettempdir", lambda: folder)
        yield Path(folder)


def bind(path: Path) -> None:
    """Leaves a socket, as a process does that is killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_a_private_folder_lives_only_as_long_as_a_socket_in_it(tmp_path: Path, temporary: Path) -> None:
    scratch = tmp_path / ("deep" * 20)
    sockets = SocketFolder(scratch)
    for _ in range(2):
        paths = [sockets.next_path() for _ in range(2)]
        assert {path.parent.parent for path in paths} == {temporary}
        assert paths[0].parent.stat().st_mode & 0o077 == 0
        for path in paths:
            bind(path)
        sockets.give_back(paths[0])
        assert [path.exists() for path in paths] == [False, True]
        sockets.give_back(paths[1])
        sockets.give_back(paths[1])
        assert not list(temporary.iterdir())
        assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["s", "deep" * 20])
def test_a_folder_that_somebody_tidied_away_is_made_again(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    del temporary
    monkeypatch.chdir(tmp_path)
    sockets = SocketFolder(Path(name))
    sockets.next_path().parent.rmdir()
    bind(sockets.next_path())


def test_a_run_removes_the_socket_folders_of_workers_that_were_killed(tmp_path: Path, temporary: Path) -> None:
    paths = OutputPaths(tmp_path / ("deep" * 20))
    for worker in ("worker-0/a", "worker-0/b", "worker-1/c"):
        bind(SocketFolder(paths.scratch / worker).next_path())
    assert len(list(temporary.iterdir())) == 3
    remove_scratch(paths)
    assert not list(temporary.iterdir())
    assert not paths.scratch.exists()


def test_a_link_that_leads_elsewhere_is_removed_and_nothing_behind_it(tmp_path: Path) -> None:
    thesis = tmp_path / "mr-thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years")
    for target in (thesis, tmp_path, Path("mr-thesis"), tmp_path / "gone"):
        (tmp_path / LINK_NAME).symlink_to(target)
        remove_private_folder(tmp_path)
        assert not (tmp_path / LINK_NAME).is_symlink()
    assert (thesis / "chapter.txt").exists()


def test_a_folder_that_was_never_made_and_one_that_has_gone_are_fine(tmp_path: Path) -> None:
    remove_private_folder(tmp_path)
    folder = make_private_folder(tmp_path / "owner", tmp_path)
    folder.rmdir()
    remove_private_folder(tmp_path / "owner")
    assert not list((tmp_path / "owner").iterdir())
