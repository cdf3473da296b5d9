"""One kept-alive HTTP connection with a deadline on every request, on the standard library's `http.client`.

Bytes and status codes only; which calls exist is `protocol.client`. Not aiohttp: a worker's process must start in a few
hundredths of a second, and it has no more than three calls open at once. A connection belongs to one thread.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, Protocol

import msgspec

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable
from mapreduce.protocol.endpoint import Endpoint, Target
from mapreduce.protocol.messages import ErrorReply
from mapreduce.typed import from_json

DEADLINE_S: Final = 30.0
#: Where nothing answers at all the address is tried anew: a pod that went leaves one that swallows every packet for a
#: while, and the kernel keeps to the address that it began with. Long enough for two packets lost.
CONNECT_S: Final = 5.0
#: A peer that vanished without a word is found out after about twelve seconds, whatever the call's own deadline.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 12_000}
_CHUNK_BYTES: Final = 1 << 18
#: Bytes of an error's body that are looked at.
_MAX_ERROR_BYTES: Final = 1 << 16

_NETWORK_ERRORS: Final = (OSError, http.client.HTTPException)
#: What a proxy before a coordinator may have against a call: who sends it, or its size.
_SAID_BY_PROXIES: Final = frozenset({401, 403, 413})
#: How a connection fails that the server has closed: in the clear, or under TLS, where it is another kind of `OSError`.
_CLOSED: Final = (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError)


class Refusal(MapReduceError):
    """The coordinator answered, and the answer is no; `code` is stable, for programs."""

    exit_code = 2

    def __init__(self, status: int, code: str, message: str, epoch: int = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.epoch = status, code, message, epoch


class Request(msgspec.Struct, frozen=True):
    """What to send. `may_repeat` is False for the few calls that act twice when they arrive twice."""

    method: str
    path: str
    token: str = ""
    body: bytes | None = None
    content_type: str = "application/json"
    may_repeat: bool = True
    extra_headers: tuple[tuple[str, str], ...] = ()

    def headers(self) -> dict[str, str]:
        """Headers beyond those that `http.client` sets itself."""
        headers = {"Accept": "*/*", **dict(self.extra_headers)}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.body is not None:
            headers["Content-Type"] = self.content_type
        return headers


class Answer(msgspec.Struct, frozen=True):
    """What came back for a request that was carried out."""

    body: bytes
    headers: Mapping[str, str] | http.client.HTTPMessage


class Transport(Protocol):
    """A way to a coordinator: a connection of its own, or one through something that stands before it."""

    def call(self, request: Request, *, deadline_s: float = DEADLINE_S) -> Answer:
        """Send the request and return the whole answer."""
        ...

    def download(self, request: Request, into: BinaryIO, *, deadline_s: float = DEADLINE_S) -> int:
        """Send the request and write the answer's body to a file; returns its length. The deadline is per block."""
        ...

    def lines(self, request: Request, *, silence_s: float) -> Iterator[bytes]:
        """Lines of an answer that has no end. Raises `Unreachable` at its end, or after `silence_s` without a byte."""
        ...

    def close(self) -> None:
        """Drop what is open; the next call opens it again."""
        ...


class Connection:
    """A connection to the coordinator, opened when needed and kept open between calls.

    Every network error becomes `Unreachable`, after which the endpoint is looked up again, and so does an error that no
    coordinator sends; every answer of 401 or 403 becomes `Unauthorized`, every other one of 400 and above `Refusal`.
    Once any call to the endpoint has found nobody, a connection from before that is not used again: a machine that
    vanished has closed none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http: http.client.HTTPConnection | None = None
        self._target: Target | None = None
        self._lost_calls = 0

    def call(self, request: Request, *, deadline_s: float = DEADLINE_S) -> Answer:
        """Send the request and return the whole answer."""
        with self._answer(request, deadline_s) as (answer, end_s):
            return Answer(b"".join(self._chunks(answer, end_s)), answer.headers)

    def download(self, request: Request, into: BinaryIO, *, deadline_s: float = DEADLINE_S) -> int:
        """Send the request and write the answer's body to a file; returns its length. The deadline is per block."""
        with self._answer(request, deadline_s) as (answer, _):
            written = 0
            while chunk := self._read(answer, time.monotonic() + deadline_s):
                into.write(chunk)
                written += len(chunk)
            return written

    def lines(self, request: Request, *, silence_s: float) -> Iterator[bytes]:
        """Lines of an answer that has no end. Raises `Unreachable` at its end, or after `silence_s` without a byte."""
        with self._answer(request, silence_s) as (answer, _):
            while True:
                self._limit(time.monotonic() + silence_s)
                line = answer.readline(1 << 20)
                if not line:
                    raise http.client.HTTPException("the stream has ended")
                yield line.rstrip(b"\r\n")

    def interrupt(self) -> None:
        """From another thread: the call that waits for its answer fails now, or is sent anew on another connection."""
        found = self._http
        sock = None if found is None else found.sock
        if sock is not None:
            with suppress(OSError):
                # not the method of a TLS socket, which would take the session from under the thread that reads
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Drop the connection; the next call opens another one."""
        if self._http is not None:
            with suppress(OSError):
                self._http.close()
            self._http = None

    @contextmanager
    def _answer(self, request: Request, deadline_s: float) -> Iterator[tuple[http.client.HTTPResponse, float]]:
        """The answer, its status checked. Whatever interrupts the caller closes the connection: it is out of step."""
        end_s = time.monotonic() + deadline_s
        is_whole = False
        try:
            answer = self._send(request, end_s)
            if answer.status >= 400:
                raise self._refusal(answer)
            yield answer, end_s
            is_whole = answer.isclosed()
        except _NETWORK_ERRORS as error:
            self._endpoint.forget()
            raise Unreachable(
                f"The coordinator at {self._target} does not answer: {str(error) or type(error).__name__}."
            ) from error
        finally:
            if not is_whole:
                self.close()

    def _send(self, request: Request, end_s: float) -> http.client.HTTPResponse:
        target = self._endpoint.target()
        if target != self._target or self._endpoint.lost_calls != self._lost_calls:
            self.close()
            self._target, self._lost_calls = target, self._endpoint.lost_calls
        if self._http is not None:
            if request.may_repeat:
                with suppress(*_CLOSED):
                    return self._exchange(self._http, request, end_s)
            # the server closed a connection that was idle for long, which says nothing about the server: once more
            self.close()
        self._http = _unopened(target)
        return self._exchange(self._http, request, end_s)

    def _exchange(
        self, connection: http.client.HTTPConnection, request: Request, end_s: float
    ) -> http.client.HTTPResponse:
        target = self._target
        prefix = "" if target is None else target.prefix
        if connection.sock is None:
            _open(connection, min(_remaining(end_s), CONNECT_S))
        self._limit(end_s)
        connection.request(request.method, prefix + request.path, body=request.body, headers=request.headers())
        self._limit(end_s)
        return connection.getresponse()

    def _chunks(self, answer: http.client.HTTPResponse, end_s: float) -> Iterator[bytes]:
        while chunk := self._read(answer, end_s):
            yield chunk

    def _read(self, answer: http.client.HTTPResponse, end_s: float) -> bytes:
        if answer.isclosed():
            return b""
        self._limit(end_s)
        chunk = answer.read(_CHUNK_BYTES)
        if not chunk and answer.length:
            raise http.client.IncompleteRead(chunk, answer.length)
        return chunk

    def _limit(self, end_s: float) -> None:
        if self._http is not None and self._http.sock is not None:
            self._http.sock.settimeout(_remaining(end_s))

    def _refusal(self, answer: http.client.HTTPResponse) -> MapReduceError:
        body = answer.read(_MAX_ERROR_BYTES)
        shown = f"{answer.status} {answer.reason}"
        try:
            said = from_json(body, ErrorReply)
        except msgspec.DecodeError:
            if answer.status not in _SAID_BY_PROXIES:
                return no_coordinator(self._endpoint, self._target, shown)
            said = ErrorReply(code=f"http-{answer.status}", message=shown)
        if answer.status in {401, 403}:
            return Unauthorized(said.message)
        return Refusal(answer.status, said.code, said.message, said.epoch)


def no_coordinator(endpoint: Endpoint, address: object, said: object) -> Unreachable:
    """What to raise when something answers at `address`, but no coordinator of ours (or one too new): the same as none.

    Where no coordinator is just now, a gateway may answer, or whoever has the address.
    """
    endpoint.forget()
    return Unreachable(f"What answers at {address} is not a coordinator: {said}.")


def _unopened(target: Target) -> http.client.HTTPConnection:
    make = http.client.HTTPSConnection if target.is_tls else http.client.HTTPConnection
    return make(target.host, target.port)


def _open(connection: http.client.HTTPConnection, timeout_s: float) -> None:
    """Connects, and has the kernel ask now and then whether the other side is still there, where it can do so."""
    connection.timeout = timeout_s
    connection.connect()
    sock: socket.socket = connection.sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _remaining(end_s: float) -> float:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the deadline has passed")
    return left_s
