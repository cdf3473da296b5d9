"""The agent's end of the socket to one executor: frames in and out without ever blocking. No processes, no tasks."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Final

import msgspec

from mapreduce.typed import msgpack_decoder
from mapreduce_worker.executor.messages import Frames, ToAgent, ToExecutor, frame

_RECV_BYTES: Final = 1 << 18


class ChannelClosed(Exception):
    """The executor has gone, or speaks nonsense."""


class Channel:
    """A connected, non-blocking socket. What does not fit into it now waits in `backlog`."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.backlog = bytearray()
        self.descriptor: int | None = None
        """A descriptor that came with the first message; whoever takes it closes it."""
        self._frames = Frames()
        self._decoder: msgspec.msgpack.Decoder[ToAgent] = msgpack_decoder(ToAgent)
        self._is_first = True

    def send(self, message: ToExecutor) -> None:
        """Send, or keep for `flush`. A broken connection shows at the next `receive`."""
        self.backlog += frame(message)
        self.flush()

    def flush(self) -> None:
        """Send what fits now."""
        try:
            while self.backlog:
                sent = self.socket.send(self.backlog)
                del self.backlog[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.backlog.clear()

    def receive(self) -> Iterator[ToAgent]:
        """All messages that have come; raises `ChannelClosed` after the last one."""
        while True:
            try:
                data = self._read()
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                raise ChannelClosed
            try:
                for body in self._frames.feed(data):
                    yield self._decoder.decode(body)
            except (ValueError, msgspec.DecodeError) as error:
                raise ChannelClosed from error

    def close(self) -> None:
        """Close the socket, and the descriptor if nobody has taken it."""
        self.socket.close()
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _read(self) -> bytes:
        if not self._is_first:
            return self.socket.recv(_RECV_BYTES)
        data, descriptors, _, _ = socket.recv_fds(self.socket, _RECV_BYTES, 4)
        self._is_first = False
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if descriptors:
            self.descriptor = descriptors[0]
            for surplus in descriptors[1:]:
                os.close(surplus)
        return data
