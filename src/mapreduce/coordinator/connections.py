"""Connections: how many there may be, and what is said to one that does not speak HTTP.

Requests are `http`'s. The classes here extend aiohttp's server at its public methods, for it has no setting for either.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from mapreduce.coordinator.limits import HttpSettings
from mapreduce.coordinator.refusals import bad_request, internal, not_ready
from mapreduce.coordinator.replies import error_body, error_response

#: Files that the coordinator needs besides its connections: log, snapshots, parts being read.
_FILES_KEPT_FREE: Final = 128

_log = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """One connection; says in JSON what aiohttp would say in plain text."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are no HTTP request. The connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way, a second one cannot be sent")
        if status >= 500:
            _log.error("Answering a request failed.", exc_info=exc)
            refused = internal()
        else:
            refused = bad_request(f"This is no HTTP request that can be read: {_printable(message or 'malformed')}")
        response = error_response(refused, epoch=0)
        response.force_close()
        return response


class CappedServer(web.Server):
    """Makes connections, and turns away those beyond the caps with a short answer."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], settings: HttpSettings
    ) -> None:
        self._options: dict[str, Any] = {
            "keepalive_timeout": settings.keepalive_s,
            "lingering_time": settings.lingering_s,
            "access_log": None,
            "auto_decompress": False,
        }
        # Cancelling the handler of a vanished client ends its long poll, so that no task is leased to nobody.
        super().__init__(handler, handler_cancellation=True, **self._options)
        self._max_count: Final = min(settings.connection_count, max(1, _open_files_limit() - _FILES_KEPT_FREE))
        self._max_count_of_peer: Final = settings.peer_connection_count
        self._peers: Final[dict[web.RequestHandler, str]] = {}
        self._count_of_peer: Final[Counter[str]] = Counter()

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count the connection; end it when there are too many."""
        super().connection_made(handler, transport)
        name = transport.get_extra_info("peername")
        peer = str(name[0]) if isinstance(name, tuple) else ""
        self._peers[handler] = peer
        self._count_of_peer[peer] += 1
        if len(self._peers) > self._max_count:
            _turn_away(transport, "Too many connections. Try again later.")
        elif self._count_of_peer[peer] > self._max_count_of_peer:
            _turn_away(transport, "Too many connections from this address. Close some, or try again later.")

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget the connection."""
        super().connection_lost(handler, exc)
        peer = self._peers.pop(handler, None)
        if peer is not None:
            self._count_of_peer[peer] -= 1
            if not self._count_of_peer[peer]:
                del self._count_of_peer[peer]


def _turn_away(transport: asyncio.Transport, message: str) -> None:
    body = error_body(not_ready(message), epoch=0)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 5\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()


def _open_files_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30


def _printable(text: str) -> str:
    """The first line of what aiohttp says; the rest quotes what was sent."""
    first = text.strip().splitlines()[0] if text.strip() else ""
    return "".join(char if char.isprintable() else "?" for char in first)[:200]
