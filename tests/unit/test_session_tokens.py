from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.protocol.sessions import Session, is_peer, make_session, read_session

SECRET = "s" * 43
SESSION = Session(worker="host-1.example-4711-ab", epoch=3, expires_at=2_000)
TOKEN = make_session(SESSION, SECRET)


def test_the_format_is_the_documented_one() -> None:
    assert TOKEN.startswith("mrs1.host-1.example-4711-ab.3.2000.")
    assert len(TOKEN.rpartition(".")[2]) == 64


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True),
    st.integers(min_value=1, max_value=1 << 53),
    st.integers(min_value=0, max_value=1 << 53),
)
def test_what_was_made_is_read_back(worker: str, epoch: int, expires_at: int) -> None:
    session = Session(worker=worker, epoch=epoch, expires_at=expires_at)
    assert read_session(make_session(session, SECRET), SECRET) == session


@given(st.integers(min_value=0, max_value=len(TOKEN) - 1), st.characters())
def test_one_changed_character_makes_it_invalid(index: int, char: str) -> None:
    altered = TOKEN[:index] + char + TOKEN[index + 1 :]
    assert (read_session(altered, SECRET) is None) == (altered != TOKEN)


@given(st.text(st.characters(), max_size=400))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert read_session(text, SECRET) is None
    assert not is_peer(text, SECRET, 0)


def test_another_secret_did_not_make_it() -> None:
    assert read_session(TOKEN, "t" * 43) is None


@pytest.mark.parametrize(("now_at", "is_over"), [(1_999.9, False), (2_000, True), (2_001, True)])
def test_it_ends_at_its_time(now_at: float, is_over: bool) -> None:
    assert SESSION.is_expired(now_at) is is_over
    assert is_peer(TOKEN, SECRET, now_at) is not is_over


def test_the_secret_itself_is_of_a_peer() -> None:
    assert is_peer(SECRET, SECRET, 0)
    assert not is_peer("t" * 43, SECRET, 0)
