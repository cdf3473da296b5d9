"""A link between workers and their coordinator that can be bad: slow, cut either way, losing or doubling messages.

A proxy on loopback, a thread for each connection. It knows as much HTTP as it takes to tell one message from the next,
so that whole requests and replies can be held, lost and sent again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was on the wire."""

    raw: bytes

    @property
    def path(self) -> str:
        return self.raw.split(b" ", 2)[1].decode()


@dataclass
class BadLink:
    """The proxy, and how it treats what passes. Its settings may be changed at any time."""

    upstream: tuple[str, int]
    towards: threading.Event = field(default_factory=threading.Event)
    """Set: requests pass. Cleared: they wait here, and nobody learns of it."""
    back: threading.Event = field(default_factory=threading.Event)
    """The same for replies."""
    delay_s: float = 0.0
    """Every message takes so long."""
    bytes_per_s: float = 0.0
    """How much passes; 0: at once."""
    loses_reply: Callable[[Request], bool] = lambda _: False
    """After such a request was carried out its connection breaks instead of the reply."""
    doubles: bool = False
    """Every request is sent a second time, on a connection of its own, and that answer is thrown away."""
    requests: list[Request] = field(default_factory=list)
    """All that came, whether it passed or waits."""
    _ends: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.towards.set()
        self.back.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections that there are."""
        while self._ends:
            _close(self._ends.pop())

    def close(self) -> None:
        _close(self._listener)
        self.towards.set()
        self.back.set()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                worker, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(worker,), daemon=True).start()

    def _serve(self, worker: socket.socket) -> None:
        coordinator = socket.socket()
        self._ends += (worker, coordinator)
        with contextlib.suppress(OSError), worker, coordinator:
            coordinator.connect(self.upstream)
            for message in _messages(worker):
                raw = message.replace(self._named(self._listener.getsockname()), self._named(self.upstream), 1)
                request = Request(raw)
                self.requests.append(request)
                self.towards.wait()
                self._pass(coordinator, raw)
                reply = next(_messages(coordinator), b"")
                if self.doubles:
                    ask(self.upstream, raw)
                if not reply or self.loses_reply(request):
                    return
                self.back.wait()
                self._pass(worker, reply)

    @staticmethod
    def _named(address: tuple[str, int]) -> bytes:
        """The header by which a server knows that it is meant."""
        return f"Host: {address[0]}:{address[1]}".encode()

    def _pass(self, to: socket.socket, message: bytes) -> None:
        time.sleep(self.delay_s)
        if not self.bytes_per_s:
            to.sendall(message)
            return
        step = max(1, int(self.bytes_per_s / 50))
        for start in range(0, len(message), step):
            to.sendall(message[start : start + step])
            time.sleep(step / self.bytes_per_s)


@contextlib.contextmanager
def bad_link(url: str) -> Iterator[BadLink]:
    """A link to the coordinator at `url`."""
    link = BadLink(address_of(url))
    try:
        yield link
    finally:
        link.close()


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def ask(address: tuple[str, int], raw: bytes) -> bytes:
    """Send bytes that were a request once, and return the whole reply; empty when there is none."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=30) as connection:
        connection.sendall(raw)
        return next(_messages(connection), b"")
    return b""


def _messages(connection: socket.socket) -> Iterator[bytes]:
    """Whole HTTP messages of one direction; ends with the connection."""
    data = b""
    while True:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if separator and len(rest) >= (length := _body_bytes(head)):
            size = len(head) + 4 + length
            yield data[:size]
            data = data[size:]
            continue
        try:
            received = connection.recv(65_536)
        except OSError:
            return
        if not received:
            return
        data += received


def _body_bytes(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
