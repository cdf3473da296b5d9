"""The protocol between an agent and the host of its executors: types and a connection. No processes.

Frames as in `executor.messages`, on the Unix socket `control.sock` that the agent listens on and the host connects to.
The host says `HostHello`, then what became of executors; the agent says which to start and to end. When the connection
ends, the host ends all executors.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final, Generic, TypeVar

import msgspec

from mapreduce.typed import msgpack_decoder
from mapreduce_worker.executor.messages import LENGTH, Frames

CONTROL_NAME: Final = "control.sock"
CONTROL_VERSION: Final = 1
_SEND_S: Final = 5.0
_RECV_BYTES: Final = 1 << 16


class _Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Common settings of all messages."""


class HostHello(_Message, frozen=True, kw_only=True):
    """Host: ready to start executors."""

    version: int
    release: str
    """Version of the distribution in the host's image, for messages."""
    memory_bytes: int = 0
    """Memory that the host's container may use; 0: as much as there is."""
    temporary: str = ""
    """Folder of the executors' temporary files, as they see it."""


class Start(_Message, frozen=True, kw_only=True):
    """Agent: start an executor."""

    number: int
    """Names this executor from now on; never used again."""
    slot: int
    socket: str
    """Where it calls."""
    data_limit_bytes: int = 0


class End(_Message, frozen=True, kw_only=True):
    """Agent: end an executor with all that it started, if it does not do so itself within `after_s`."""

    number: int
    after_s: float = 0.0
    is_abort: bool = False
    """It first prints where each of its threads is."""


class Ended(_Message, frozen=True, kw_only=True):
    """Host: an executor is over, for whatever reason; said once of each."""

    number: int
    code: int | None = None
    """As `subprocess` has it; None: it was never started."""
    is_out_of_memory: bool = False
    """The system ended it because its container had no memory left."""
    problem: str = ""


class Measured(_Message, frozen=True, kw_only=True):
    """Host: private memory of an executor in bytes; said of each twice a second."""

    number: int
    private_bytes: int


ToHost = Start | End
FromHost = HostHello | Ended | Measured

_ENCODER: Final = msgspec.msgpack.Encoder()

T = TypeVar("T", ToHost, FromHost)


class LinkClosed(Exception):
    """The other side has gone, or speaks nonsense."""


class Link(Generic[T]):
    """One connected control socket, either end: `T` is what comes in. Messages are few and small."""

    def __init__(self, connected: socket.socket, incoming: object) -> None:
        self.socket = connected
        self._frames = Frames()
        self._decoder: msgspec.msgpack.Decoder[T] = msgpack_decoder(incoming)

    def send(self, message: ToHost | FromHost) -> None:
        """Send it whole. Raises `LinkClosed`."""
        body = _ENCODER.encode(message)
        try:
            self.socket.settimeout(_SEND_S)
            self.socket.sendall(LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise LinkClosed from error

    def receive(self, *, wait_s: float = 0.0) -> list[T]:
        """What has come, waiting at most so long for something. Raises `LinkClosed`."""
        try:
            self.socket.settimeout(wait_s)
            data = self.socket.recv(_RECV_BYTES)
            if not data:
                raise LinkClosed
            return [self._decoder.decode(body) for body in self._frames.feed(data)]
        except (BlockingIOError, TimeoutError):
            return []
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise LinkClosed from error

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.socket.close()
