"""Who is calling: the three tokens, the sessions of workers, and the one place that tells them apart.

What each caller may do is the routes' table; how a session token is made is `protocol.sessions`. Tokens are never
logged, never shown in a repr, and compared in constant time.
"""

from __future__ import annotations

import hmac
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from mapreduce.coordinator.refusals import epoch_changed, unauthorized
from mapreduce.coordinator.statefiles import replace_file
from mapreduce.coordinator.tickets import is_page_token
from mapreduce.errors import UsageError
from mapreduce.protocol.sessions import Session, read_session
from mapreduce.typed import from_json

#: Another place for the token: a proxy of a Kubernetes API server keeps `Authorization` for itself.
TOKEN_HEADER: Final = "X-MapReduce-Token"  # noqa: S105 - a header's name

TOKEN_BYTES: Final = 32
_MIN_TOKEN_CHARS: Final = 32

CallerKind = Literal["admin", "worker", "read", "session"]
"""admin submits and cancels; worker may join; read may look; session is one registered worker."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets of one coordinator, one for each role, 256 bits each when made here."""

    admin: str = field(repr=False)
    worker: str = field(repr=False)
    read: str = field(repr=False)

    def __post_init__(self) -> None:
        tokens = (self.admin, self.worker, self.read)
        if any(len(token) < _MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable() for token in tokens):
            raise UsageError(f"A token must be {_MIN_TOKEN_CHARS} or more printable ASCII characters.")
        if len(set(tokens)) != len(tokens):
            raise UsageError("The admin, worker and read tokens must differ, or roles could not be told apart.")


class Caller(msgspec.Struct, frozen=True):
    """The bearer of a valid token."""

    kind: CallerKind
    worker: str = ""
    """The registered worker's name; sessions only."""


def make_tokens() -> Tokens:
    """Three fresh secrets."""
    return Tokens(
        admin=secrets.token_urlsafe(TOKEN_BYTES),
        worker=secrets.token_urlsafe(TOKEN_BYTES),
        read=secrets.token_urlsafe(TOKEN_BYTES),
    )


def load_or_create_tokens(path: Path) -> Tokens:
    """The tokens in `path`, made first if the file does not exist. Blocking.

    The file is only for its owner (0600), and appears whole or not at all. Raises UsageError for one that cannot be
    understood. Two processes must not call this for one path at once: the state folder's lock is held.
    """
    if not path.exists():
        tokens = make_tokens()
        content = {"admin": tokens.admin, "worker": tokens.worker, "read": tokens.read}
        replace_file(path, msgspec.json.encode(content) + b"\n", mode=0o600)
        return tokens
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
    try:
        return from_json(path.read_bytes(), Tokens)
    except (msgspec.DecodeError, UnicodeDecodeError, UsageError) as error:
        raise UsageError(f"token file {path}: {error} Remove it, and new tokens are made at the next start.") from None


def read_mounted_tokens(folder: Path) -> Tokens:
    """The tokens in a folder of files, as Secrets are mounted: `admin`, `worker`, and `read` if it is there.

    Raises UsageError for a folder without them.
    """
    try:
        admin, worker = ((folder / name).read_text("ascii").strip() for name in ("admin", "worker"))
        path = folder / "read"
        made = hmac.new(admin.encode(), b"read", "sha256").hexdigest()
        read = path.read_text("ascii").strip() if path.exists() else made
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"tokens {folder}: {error}. Mount the files admin and worker there.") from None
    return Tokens(admin=admin, worker=worker, read=read)


class Authenticator:
    """Tells callers by their `Authorization` header."""

    def __init__(self, tokens: Tokens) -> None:
        self._roles: Final[tuple[tuple[CallerKind, bytes], ...]] = (
            ("admin", tokens.admin.encode()),
            ("worker", tokens.worker.encode()),
            ("read", tokens.read.encode()),
        )
        self._worker_secret: Final = tokens.worker
        self._read_secret: Final = tokens.read

    def caller(self, authorization: str | None, *, epoch: int, now_at: float) -> Caller:
        """Who sent this header; raises Refused: `unauthorized`, or `epoch-changed` for a session of another epoch.

        All comparisons are made whatever the outcome of the first, so that time tells nothing.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        given = token.encode("utf-8", "backslashreplace")
        matches = [kind for kind, secret in self._roles if hmac.compare_digest(given, secret)]
        session = read_session(token, self._worker_secret)
        is_page = is_page_token(token, self._read_secret, now_at)
        if scheme.lower() != "bearer":
            raise unauthorized()
        if matches:
            return Caller(matches[0])
        if is_page:
            return Caller("read")
        if session is None:
            raise unauthorized()
        if session.is_expired(now_at):
            raise unauthorized("The session has expired. Register again with the attempts you hold.")
        if session.epoch != epoch:
            raise epoch_changed(epoch)
        return Caller("session", session.worker)

    @property
    def worker_secret(self) -> str:
        """The key of session tokens."""
        return self._worker_secret


def new_session(worker: str, *, epoch: int, now_at: float, lifetime_s: float) -> Session:
    """The session that a worker gets at `register`."""
    return Session(worker=worker, epoch=epoch, expires_at=int(now_at + lifetime_s))
