"""Inputs from afar: what is fetched of a split is all that its reader looks at, and no more than a little beyond."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.dataplane.readers import read_split
from mapreduce.errors import TaskFailed
from mapreduce.model import Input
from mapreduce.protocol.messages import FileRange, Split
from mapreduce_worker.agent.inputs import _Document, fetch_range
from tests.support.documentserver import DocumentServer, serving_a_document


class Bytes:
    """A file elsewhere, whose connection breaks off after so many bytes, again and again."""

    def __init__(self, content: bytes, *, breaks_after: int = 1 << 30) -> None:
        self.content, self.breaks_after, self.read_bytes = content, breaks_after, 0

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        piece = self.content[start : min(end, start + self.breaks_after)]
        self.read_bytes += len(piece)
        yield piece
        if len(piece) < end - start:
            raise ConnectionError("broke off")


def records(part: FileRange, source: Input, path: str) -> list[object]:
    split = Split(input=0, files=(part,))
    return [record for block in read_split(split, source, paths=(path,)) for record in block.records]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=12), st.data())
def test_the_reader_finds_in_a_fetched_range_what_it_finds_in_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ranges")
    content = b"\n".join(lines)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    part = FileRange(path="given", start=start, end=end, size=len(content))
    (folder / "whole").write_bytes(content)
    source = Input(uri="x", encoding="bytes")
    fetch_range(Bytes(content, breaks_after=data.draw(st.integers(5, 100))), part, folder / "fetched")
    expected = records(part, source, str(folder / "whole"))
    assert records(part, source, str(folder / "fetched")) == expected


def test_only_the_range_and_the_end_of_its_last_line_are_fetched(tmp_path: Path) -> None:
    content = b"a line of text\n" * 1_000_000
    remote = Bytes(content)
    part = FileRange(path="given", start=5_000_000, end=5_100_000, size=len(content))
    fetch_range(remote, part, tmp_path / "fetched")
    assert remote.read_bytes < 200_000
    assert (tmp_path / "fetched").stat().st_size == len(content)
    assert (tmp_path / "fetched").stat().st_blocks * 512 < 400_000


def test_records_are_called_by_the_name_of_their_file_and_not_of_its_copy(tmp_path: Path) -> None:
    (tmp_path / "0.input").write_text("x")
    part = FileRange(path="https://host/given.txt", start=0, end=1, size=1)
    source = Input(uri="x", format="files")
    (block,) = read_split(Split(input=0, files=(part,)), source, paths=(str(tmp_path / "0.input"),))
    assert list(block.keys()) == ["https://host/given.txt"]


# ----------------------------------------------------------------------------------------------------------------- URLs


def document(server: DocumentServer, headers: dict[str, str] | None = None) -> Callable[[Path], None]:
    """Fetches a range of the server's document, planned when it was version "one"."""
    part = FileRange(path=server.url, start=100, end=300, size=len(server.content), validator='"one"')

    def fetch(target: Path) -> None:
        fetch_range(_Document(part, headers or {}), part, target, patience_s=0.3)

    return fetch


@pytest.fixture
def server() -> Iterator[DocumentServer]:
    with serving_a_document() as made:
        yield made


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_range_behind_a_url_is_fetched_with_its_headers(
    server: DocumentServer, tmp_path: Path, has_ranges: bool
) -> None:
    server.has_ranges = has_ranges
    document(server, {"X-Key": "hush"})(tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes()[99:300] == server.content[99:300]
    assert server.seen[0]["x-key"] == "hush"
    assert server.seen[0]["if-range"] == '"one"'


def test_a_server_that_cannot_now_is_asked_again(server: DocumentServer, tmp_path: Path) -> None:
    server.answers = [503, 429, 500]
    document(server)(tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes()[99:300] == server.content[99:300]


def test_a_refusal_fails_the_attempt_at_once_for_its_input(server: DocumentServer, tmp_path: Path) -> None:
    server.answers = [403]
    with pytest.raises(TaskFailed, match="403") as caught:
        document(server, {"Authorization": "hush"})(tmp_path / "fetched")
    assert caught.value.failure_class == "input"
    assert "/a/data.txt" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert len(server.seen) == 1


def test_a_server_that_stays_away_is_the_systems_failure(server: DocumentServer, tmp_path: Path) -> None:
    server.answers = [503] * 1_000
    with pytest.raises(TaskFailed, match="503") as caught:
        document(server)(tmp_path / "fetched")
    assert caught.value.failure_class == "system"
    assert "hush" not in str(caught.value)


def test_a_document_that_has_changed_since_it_was_planned_is_not_read(server: DocumentServer, tmp_path: Path) -> None:
    server.etag = '"two"'
    with pytest.raises(TaskFailed, match="has changed") as caught:
        document(server)(tmp_path / "fetched")
    assert caught.value.failure_class == "input"


def test_headers_of_a_secret_do_not_follow_a_redirect_to_another_server(server: DocumentServer, tmp_path: Path) -> None:
    with serving_a_document() as other:
        server.redirect = other.url
        document(server, {"Authorization": "hush"})(tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes()[99:300] == other.content[99:300]
        assert "authorization" not in other.seen[0]
        assert other.seen[0]["range"].startswith("bytes=99-")
        assert other.seen[0]["if-range"] == '"one"'
