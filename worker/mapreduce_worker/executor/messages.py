"""The protocol between agent and executor: types, framing and the marks in the log pipe. No sockets, no processes.

A stream of frames on a Unix socket: 4 bytes length, big-endian, then one message in msgpack. The executor connects and
sends `Hello` together with the read end of a pipe (SCM_RIGHTS); the pipe's write end is its descriptors 1 and 2. The
agent sends `Job` once, then `Orders`; the executor carries them out one after the other, answering each by a `Result`.

In the pipe, what user code prints is mixed with marks of 24 bytes, one before each order: the 16 bytes of `Hello.nonce`
and the order's number (8 bytes, big-endian). They say exactly which order runs and which bytes are its own, even after
the executor died, and cost one small write: no message goes back and forth between two tasks.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from mapreduce.protocol.messages import AttemptId, Failure, JobDefinition, Split, TaskOutput

NONCE_BYTES: Final = 16
MARK_BYTES: Final = NONCE_BYTES + 8
LENGTH: Final = struct.Struct(">I")
MAX_FRAME_BYTES: Final = 1 << 30
VERSION: Final = 1


class _Frame(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Common settings of all messages."""


class Hello(_Frame, frozen=True, kw_only=True):
    """Executor: here I am; the pipe comes along."""

    version: int
    pid: int
    nonce: bytes


class Job(_Frame, frozen=True, kw_only=True):
    """Agent: all orders that follow are of this job. An executor serves one job in its life."""

    definition: JobDefinition
    code_folder: str
    """Where the opened code bundle lies."""


class Source(_Frame, frozen=True, kw_only=True):
    """One run that a reduce task has to read, as a local file."""

    map: AttemptId
    path: str
    digest: int


class Order(_Frame, frozen=True, kw_only=True):
    """One attempt to run."""

    number: int
    """Rises by one with each order to this executor."""
    id: AttemptId
    target: str
    """File to write."""
    budget_bytes: int
    split: Split | None = None
    sources: tuple[Source, ...] = ()
    inputs: tuple[str, ...] = ()
    """Where the split's files lie, one for each; empty: at their paths."""
    scratch: str = ""
    """Folder for temporary files of a reduce task."""
    trace: str = ""
    """File to write each record's place to, if the attempt is traced."""


class Orders(_Frame, frozen=True, kw_only=True):
    """Agent: attempts to run, in this order, after those that were sent before."""

    orders: tuple[Order, ...]


class Withdraw(_Frame, frozen=True, kw_only=True):
    """Agent: do not begin these."""

    numbers: tuple[int, ...]


class Withdrawn(_Frame, frozen=True, kw_only=True):
    """Executor: those of a `Withdraw` that had not begun and never will."""

    numbers: tuple[int, ...]


class Result(_Frame, frozen=True, kw_only=True):
    """Executor: how an order ended; one of `output` and `failure` is set."""

    number: int
    output: TaskOutput | None = None
    failure: Failure | None = None
    run_s: float = 0.0


ToExecutor = Job | Orders | Withdraw
ToAgent = Hello | Withdrawn | Result

_ENCODER: Final = msgspec.msgpack.Encoder()


def frame(message: ToExecutor | ToAgent) -> bytes:
    """A message with its length in front."""
    body = _ENCODER.encode(message)
    return LENGTH.pack(len(body)) + body


def mark(nonce: bytes, number: int) -> bytes:
    """What goes into the pipe before order `number` begins."""
    return nonce + number.to_bytes(8, "big")


class Frames:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies completed by `data`; raises ValueError for a length that no message has."""
        pending = self._pending
        pending += data
        bodies: list[bytes] = []
        start = 0
        while len(pending) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(pending, start)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            end = start + LENGTH.size + length
            if len(pending) < end:
                break
            bodies.append(bytes(pending[start + LENGTH.size : end]))
            start = end
        if start:
            del pending[:start]
        return bodies
