"""Files handed in piece by piece: what is appended, what is ignored, when a file gets its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.blocking import Blocking
from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.uploads import Uploads, part_path
from mapreduce.protocol.messages import UploadReply
from tests.support.running import runs

CONTENT = b"0123456789"


class Sender:
    """Hands in one file of ten bytes."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "map-00000.e1.a1.run"
        self.uploads = Uploads(Blocking.inline().run)
        self.checked: list[bytes] = []
        self.problem = ""

    async def send(self, offset: int, body: bytes, size: int = len(CONTENT)) -> UploadReply:
        return await self.uploads.take(self.target, offset=offset, size=size, body=body, check=self._check)

    def _check(self, path: Path) -> None:
        self.checked.append(path.read_bytes())
        if self.problem:
            raise ValueError(self.problem)


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


@runs
async def test_pieces_in_order_make_a_file_that_is_checked_before_it_has_its_name(sender: Sender) -> None:
    assert await sender.send(0, CONTENT[:4]) == UploadReply(received=4, is_complete=False)
    assert not sender.target.exists()
    assert sender.checked == []
    assert await sender.send(4, CONTENT[4:]) == UploadReply(received=10, is_complete=True)
    assert sender.checked == [CONTENT]
    assert sender.target.read_bytes() == CONTENT
    assert not part_path(sender.target).exists()


@runs
async def test_an_empty_body_asks_where_to_go_on(sender: Sender) -> None:
    assert await sender.send(0, b"") == UploadReply(received=0, is_complete=False)
    await sender.send(0, CONTENT[:7])
    assert await sender.send(0, b"") == UploadReply(received=7, is_complete=False)


@pytest.mark.parametrize("offset", [0, 2, 5, 9])
@runs
async def test_a_piece_that_is_not_the_next_one_is_ignored(sender: Sender, offset: int) -> None:
    await sender.send(0, CONTENT[:4])
    assert await sender.send(offset, b"x") == UploadReply(received=4, is_complete=False)
    await sender.send(4, CONTENT[4:])
    assert sender.target.read_bytes() == CONTENT


@runs
async def test_a_piece_that_is_sent_twice_counts_once(sender: Sender) -> None:
    for _ in range(2):
        await sender.send(0, CONTENT[:4])
    for _ in range(2):
        assert (await sender.send(4, CONTENT[4:])).is_complete
    assert sender.target.read_bytes() == CONTENT
    assert len(sender.checked) == 1


@runs
async def test_an_upload_goes_on_after_its_taker_was_made_anew(sender: Sender) -> None:
    await sender.send(0, CONTENT[:4])
    again = Sender(sender.target.parent)
    assert (await again.send(0, b"")).received == 4
    assert (await again.send(4, CONTENT[4:])).is_complete


@runs
async def test_a_file_that_is_whole_and_was_not_named_before_a_crash_is_completed_by_asking(sender: Sender) -> None:
    part_path(sender.target).write_bytes(CONTENT)
    assert (await sender.send(0, b"")).is_complete
    assert sender.checked == [CONTENT]


@runs
async def test_a_file_that_fails_its_check_is_refused_and_thrown_away(sender: Sender) -> None:
    sender.problem = "another content."
    with pytest.raises(Refused, match="another content") as caught:
        await sender.send(0, CONTENT)
    assert caught.value.code == "conflict"
    assert list(sender.target.parent.iterdir()) == []
    assert (await sender.send(0, b"")).received == 0


@runs
async def test_more_bytes_than_announced_are_refused_and_change_nothing(sender: Sender) -> None:
    await sender.send(0, CONTENT[:4])
    with pytest.raises(Refused, match="offset") as caught:
        await sender.send(4, CONTENT)
    assert caught.value.code == "bad-request"
    assert (await sender.send(0, b"")).received == 4


@runs
async def test_a_file_that_is_there_with_another_size_is_a_conflict(sender: Sender) -> None:
    await sender.send(0, CONTENT)
    with pytest.raises(Refused, match="10 bytes and not 11") as caught:
        await sender.send(0, b"", size=11)
    assert caught.value.code == "conflict"


@runs
async def test_an_upload_that_announced_another_size_before_begins_anew(sender: Sender) -> None:
    await sender.send(0, CONTENT[:8], size=20)
    assert await sender.send(0, b"", size=5) == UploadReply(received=0, is_complete=False)
    assert (await sender.send(0, b"abcde", size=5)).is_complete
