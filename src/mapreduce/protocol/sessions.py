"""Session tokens: what a worker shows after `register`, bound to its name and to the coordinator's epoch. Pure.

    mrs1.<worker>.<epoch>.<expiry>.<mac>

`epoch` and `expiry` (UTC, whole seconds since 1970) are decimal. `mac` is the lowercase hex HMAC-SHA256, keyed with the
worker-join secret, over everything before its dot. A worker's name may hold dots; the token is therefore read from its
end, which is unambiguous. `mrs1` is the format's version and separates these MACs from any other use of the secret.

The worker-join secret is known to the coordinator and to every agent, so agents verify each other without asking.
Here is no clock and no aiohttp: who verifies brings the time, and decides what another epoch means (the coordinator
answers 409, an agent that serves runs does not mind).
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

_VERSION: Final = "mrs1"
#: Longest token that is looked at: the longest worker name, two numbers and the MAC.
_MAX_CHARS: Final = 256
_MAX_DIGITS: Final = 17


class Session(msgspec.Struct, frozen=True):
    """What a session token with a valid MAC says."""

    worker: str
    epoch: int
    expires_at: int

    def is_expired(self, now_at: float) -> bool:
        """Whether its time was over at `now_at` (UTC, seconds)."""
        return now_at >= self.expires_at


def make_session(session: Session, worker_secret: str) -> str:
    """The token for a session."""
    signed = f"{_VERSION}.{session.worker}.{session.epoch}.{session.expires_at}"
    return f"{signed}.{_mac(signed, worker_secret)}"


def read_session(token: str, worker_secret: str) -> Session | None:
    """What the token says, or None when this secret did not make it. The caller looks at expiry and epoch."""
    if len(token) > _MAX_CHARS or not token.isascii():
        return None
    signed, _, mac = token.rpartition(".")
    if not hmac.compare_digest(mac, _mac(signed, worker_secret)):
        return None
    version, _, rest = signed.partition(".")
    parts = rest.rsplit(".", 2)
    if version != _VERSION or len(parts) != 3 or not all(_is_number(part) for part in parts[1:]):
        return None
    return Session(worker=parts[0], epoch=int(parts[1]), expires_at=int(parts[2]))


def is_peer(token: str, worker_secret: str, now_at: float) -> bool:
    """Whether the token is of the same coordinator: the worker-join secret itself, or an unexpired session.

    For an agent's run server. The comparisons take the same time whatever the token is.
    """
    is_secret = hmac.compare_digest(token.encode("utf-8", "backslashreplace"), worker_secret.encode())
    session = read_session(token, worker_secret)
    return is_secret or (session is not None and not session.is_expired(now_at))


def _mac(signed: str, secret: str) -> str:
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS
