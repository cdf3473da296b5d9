"""Uploads: every byte arrives once and in order, however often the coordinator goes, forgets, or says no."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.errors import TaskFailed, Unreachable
from mapreduce.protocol.client import Refusal
from mapreduce.protocol.messages import UploadReply
from mapreduce_worker.agent.uploads import upload


class Keeper:
    """The coordinator's side, with a trouble for each call as given."""

    def __init__(self, size: int, troubles: list[str]) -> None:
        self.size, self.troubles, self.content = size, troubles, b""

    def put(self, session: str, *, offset: int, piece: bytes) -> UploadReply:
        assert session == "token"
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "away":
            raise Unreachable("away")
        if trouble == "forgets":
            self.content = self.content[: len(self.content) // 2]
        if offset == len(self.content):
            self.content += piece
        if trouble == "answer lost":
            raise Unreachable("lost")
        if trouble == "starting":
            raise Refusal(503, "not-ready", "starting")
        return UploadReply(received=len(self.content), is_complete=len(self.content) == self.size)


TROUBLES = st.lists(st.sampled_from(["", "away", "forgets", "answer lost", "starting"]), max_size=12)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapreduce_worker.agent.uploads.time.sleep", lambda _: None)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=50), TROUBLES, st.integers(1, 20))
def test_whatever_happens_on_the_way_the_whole_file_arrives(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, troubles: list[str], piece_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "upload"
    path.write_bytes(content)
    keeper = Keeper(len(content), troubles)
    assert upload(keeper.put, lambda: "token", str(path), lambda: True, piece_bytes=piece_bytes)
    assert keeper.content == content


def test_what_is_not_wanted_any_more_is_not_uploaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    keeper = Keeper(7, ["away"] * 100)
    answers = iter([True, True, False])
    assert not upload(keeper.put, lambda: "token", str(tmp_path / "file"), lambda: next(answers))


def test_a_refusal_for_good_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")

    def put(session: str, *, offset: int, piece: bytes) -> UploadReply:
        raise Refusal(409, "conflict", "not needed")

    with pytest.raises(Refusal, match="not needed"):
        upload(put, lambda: "token", str(tmp_path / "file"), lambda: True)


def test_a_file_that_is_shorter_than_said_is_not_offered_for_ever(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with pytest.raises(TaskFailed, match="shorter"):
        upload(Keeper(1_000, []).put, lambda: "token", str(tmp_path / "file"), lambda: True)
