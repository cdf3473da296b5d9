from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mapreduce.coordinator.auth import Authenticator, Caller, Tokens, load_or_create_tokens, make_tokens, new_session
from mapreduce.coordinator.refusals import Refused
from mapreduce.errors import UsageError
from mapreduce.protocol.sessions import make_session

TOKENS = Tokens(admin="a" * 43, worker="w" * 43, read="r" * 43)
AUTHENTICATOR = Authenticator(TOKENS)


def _caller(header: str | None) -> Caller:
    return AUTHENTICATOR.caller(header, epoch=2, now_at=100.0)


def _session(*, epoch: int = 2, lifetime_s: float = 10) -> str:
    return make_session(new_session("worker-a", epoch=epoch, now_at=100.0, lifetime_s=lifetime_s), TOKENS.worker)


@pytest.mark.parametrize(("token", "kind"), [("a" * 43, "admin"), ("w" * 43, "worker"), ("r" * 43, "read")])
def test_each_token_has_its_role(token: str, kind: str) -> None:
    assert _caller(f"Bearer {token}").kind == kind
    assert _caller(f"bearer  {token} ").kind == kind


def test_a_session_tells_its_worker() -> None:
    assert _caller(f"Bearer {_session()}") == Caller("session", "worker-a")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "a" * 43,
        "Basic " + "a" * 43,
        "Bearer " + "a" * 42,
        "Bearer ä\udcff",
        "Bearer x y",
    ],
)
def test_all_else_is_unauthorized(header: str | None) -> None:
    with pytest.raises(Refused) as caught:
        _caller(header)
    assert (caught.value.code, caught.value.http_status) == ("unauthorized", 401)


def test_a_session_of_an_older_epoch_is_told_so() -> None:
    with pytest.raises(Refused) as caught:
        _caller(f"Bearer {_session(epoch=1)}")
    assert (caught.value.code, caught.value.http_status) == ("epoch-changed", 409)


def test_an_expired_session_is_unauthorized() -> None:
    with pytest.raises(Refused) as caught:
        _caller(f"Bearer {_session(lifetime_s=0)}")
    assert caught.value.code == "unauthorized"


def test_tokens_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = load_or_create_tokens(path)
    assert load_or_create_tokens(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


def test_a_token_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = load_or_create_tokens(path)
    path.chmod(0o644)
    assert load_or_create_tokens(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"admin":"short","worker":"short2","read":"short3"}'])
def test_a_token_file_that_cannot_be_understood_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"token file .*Remove it"):
        load_or_create_tokens(path)


def test_equal_tokens_are_refused_for_roles_could_not_be_told_apart() -> None:
    with pytest.raises(UsageError, match="must differ"):
        Tokens(admin="a" * 43, worker="a" * 43, read="r" * 43)


def test_tokens_are_256_bits_and_not_shown() -> None:
    tokens = make_tokens()
    assert len(tokens.admin) == 43
    assert repr(tokens) == "Tokens()"
