"""Tickets for the page: how a browser comes by a token without one ever standing in an address.

A ticket is bought by somebody who holds a token, travels in a URL's fragment, which browsers send to nobody, and is
good once and for a short time. What it buys is a page token: it may read, it ends by itself, and, being signed with the
read token, it stays good when the coordinator is started again and is void once that token is changed.

    mrp1.<expiry>.<mac>
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final

#: A person may take so long from the terminal to the browser.
TICKET_LIFETIME_S: Final = 900.0
#: A page that is left open for a long job keeps its token so long.
PAGE_TOKEN_LIFETIME_S: Final = 7 * 86_400.0
_MOST_TICKETS: Final = 1_000
_VERSION: Final = "mrp1"
_MAX_CHARS: Final = 128


class Tickets:
    """The tickets of one coordinator that were not used yet; in memory only."""

    def __init__(self, now_at: Callable[[], float]) -> None:
        self._now_at: Final = now_at
        self._expiry_of: Final[dict[str, float]] = {}

    def issue(self) -> str:
        """A fresh ticket of 256 bits. Of very many that nobody uses the oldest are void."""
        ticket = secrets.token_urlsafe(32)
        self._expiry_of[ticket] = self._now_at() + TICKET_LIFETIME_S
        while len(self._expiry_of) > _MOST_TICKETS:
            del self._expiry_of[next(iter(self._expiry_of))]
        return ticket

    def redeem(self, ticket: str) -> bool:
        """Whether the ticket was good; it is void afterwards."""
        # a look-up in a dictionary tells by its time at most that no such ticket exists: they are random and used once
        return self._expiry_of.pop(ticket, 0.0) > self._now_at()


def make_page_token(read_secret: str, now_at: float) -> str:
    """A token that may read until it expires."""
    signed = f"{_VERSION}.{int(now_at + PAGE_TOKEN_LIFETIME_S)}"
    return f"{signed}.{_mac(signed, read_secret)}"


def is_page_token(token: str, read_secret: str, now_at: float) -> bool:
    """Whether the token was made with this secret and has not expired."""
    if len(token) > _MAX_CHARS or not token.isascii():
        return False
    signed, _, mac = token.rpartition(".")
    if not hmac.compare_digest(mac, _mac(signed, read_secret)):
        return False
    version, _, expiry = signed.partition(".")
    return version == _VERSION and expiry.isdecimal() and now_at < int(expiry)


def _mac(signed: str, secret: str) -> str:
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()
