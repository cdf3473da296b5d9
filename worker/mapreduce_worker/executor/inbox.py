"""What the agent asks for, received by a thread while user code runs: orders, take-backs, and the agent's end.

The thread blocks in `recv` and wakes only for messages, a batch of orders at a time. When the agent goes, it ends this
process and all that user code has started, at once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import deque

import msgspec

from mapreduce.typed import msgpack_decoder
from mapreduce_worker.executor.messages import Frames, Job, Order, Orders, ToExecutor, Withdraw, Withdrawn, frame

_RECV_BYTES = 1 << 18


class Inbox:
    """Orders in the order of their arrival, and the one door for messages to the agent."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._orders: deque[Order] = deque()
        self._job: Job | None = None
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._decoder: msgspec.msgpack.Decoder[ToExecutor] = msgpack_decoder(ToExecutor)

    def start(self) -> None:
        """Begin to listen, for the rest of the process's life."""
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def next_order(self) -> tuple[Job, Order]:
        """The next order and its job; waits for one."""
        with self._changed:
            while not self._orders or self._job is None:
                self._changed.wait()
            return self._job, self._orders.popleft()

    def send(self, data: bytes) -> None:
        """Send a whole frame. If the agent has gone, so does this process."""
        try:
            with self._sending:
                self._channel.sendall(data)
        except OSError:
            end_process_group()

    def forget(self) -> None:
        """In a forked child: the channel is the parent's, and nobody must speak or listen on it here."""
        self._channel.close()

    def _listen(self) -> None:
        frames = Frames()
        while data := self._receive():
            for body in frames.feed(data):
                self._accept(self._decoder.decode(body))
        end_process_group()

    def _receive(self) -> bytes:
        try:
            return self._channel.recv(_RECV_BYTES)
        except OSError:
            return b""

    def _accept(self, message: ToExecutor) -> None:
        match message:
            case Job():
                with self._changed:
                    self._job = message
            case Orders():
                with self._changed:
                    self._orders.extend(message.orders)
                    self._changed.notify()
            case Withdraw():
                with self._changed:
                    unwanted = set(message.numbers)
                    gone = tuple(order.number for order in self._orders if order.number in unwanted)
                    self._orders = deque(order for order in self._orders if order.number not in unwanted)
                self.send(frame(Withdrawn(numbers=gone)))


def end_process_group() -> None:
    """End this process and, if it leads its own group, everything that user code has started. Never returns."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
