"""Executors in a container beside the agent's: asked for over a control socket, and gone when their container is.

The other end is `executor.host`. Nothing here waits longer than `_PATIENCE_S` beyond what it was told to; a host that
stays silent for so long counts as gone, and is told so by the end of the connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from pathlib import Path
from typing import Final

from mapreduce_worker.agent.executors import Ending, Watcher
from mapreduce_worker.agent.processes import listen_at
from mapreduce_worker.executor.children import ABORT_S, slot_folder_name
from mapreduce_worker.executor.control import (
    CONTROL_NAME,
    CONTROL_VERSION,
    End,
    Ended,
    FromHost,
    HostHello,
    Link,
    LinkClosed,
    Measured,
    Start,
)

_PATIENCE_S: Final = 5.0


class RemoteExecutors:
    """Listens for a host in `folder` and has it start executors; the next host takes the place of one that went."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.absolute()
        self._path = self._folder / CONTROL_NAME
        self._path.unlink(missing_ok=True)  # of an agent that was killed
        self._listener = listen_at(self._path)
        self._link: Link[FromHost] | None = None
        self._hello: HostHello | None = None
        self._watcher: Watcher | None = None
        self._live: dict[int, RemoteExecutor] = {}
        self._count = 0
        self.problem = ""

    @property
    def is_ready(self) -> bool:
        """Whether a host is there."""
        return self._hello is not None

    @property
    def memory_bytes(self) -> int:
        """Memory that the host's container may use; 0: it does not say."""
        return self._hello.memory_bytes if self._hello is not None else 0

    def attach(self, watcher: Watcher) -> None:
        """Have `watcher` wait for hosts, and for what the present one says."""
        self._watcher = watcher
        watcher.watch(self._listener, selectors.EVENT_READ, self._on_host)

    def start(self, slot: int, *, data_limit_bytes: int = 0) -> RemoteExecutor:
        """Ask for one for this slot; whether it comes up shows later. Raises `OSError` when no host is there."""
        if self._hello is None:
            raise ConnectionError("the container of the executors is away")
        self._count += 1
        path = self._folder / f"x{self._count}.sock"
        path.unlink(missing_ok=True)
        temporary = f"{self._hello.temporary}/{slot_folder_name(slot)}"
        executor = RemoteExecutor(self, self._count, path, temporary)
        self._live[self._count] = executor
        self._send(Start(number=self._count, slot=slot, socket=str(path), data_limit_bytes=data_limit_bytes))
        return executor

    def close(self) -> None:
        """Let the host go; it ends what is left."""
        self._lose_host()
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    # -------------------------------------------------------------------------------------------- for the executors

    def ask_to_end(self, executor: RemoteExecutor, after_s: float, *, is_abort: bool = False) -> None:
        """Returns when it is known how the executor has ended."""
        self._send(End(number=executor.number, after_s=after_s, is_abort=is_abort))
        end_s = time.monotonic() + after_s + _PATIENCE_S
        while executor.ending is None:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                self._lose_host()
            else:
                self.look(left_s)

    def look(self, wait_s: float = 0.0) -> None:
        """Take in what the host has said, waiting at most so long for something."""
        if self._link is None:
            return
        try:
            messages = self._link.receive(wait_s=wait_s)
        except LinkClosed:
            self._lose_host()
            return
        for message in messages:
            self._accept(message)

    # ---------------------------------------------------------------------------------------------------- the host

    def _on_host(self, _ready: int) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError:
            return
        self._lose_host()
        self._link = Link(connected, FromHost)
        if self._watcher is not None:
            self._watcher.watch(connected, selectors.EVENT_READ, lambda _: self.look())

    def _accept(self, message: FromHost) -> None:
        match message:
            case HostHello() if message.version != CONTROL_VERSION:
                self.problem = (
                    f"The executors' container has release {message.release} of mapreduce-operator, which this worker "
                    f"cannot work with. Build the job's image with the release that the operator runs."
                )
                self._lose_host()
            case HostHello():
                self._hello = message
            case Ended():
                executor = self._live.pop(message.number, None)
                if executor is not None:
                    executor.ending = Ending(message.code, message.is_out_of_memory, message.problem)
            case Measured():
                executor = self._live.get(message.number)
                if executor is not None:
                    executor.measured_bytes = message.private_bytes

    def _send(self, message: Start | End) -> None:
        if self._link is None:
            return
        try:
            self._link.send(message)
        except LinkClosed:
            self._lose_host()

    def _lose_host(self) -> None:
        """The host has gone, and with it all its executors."""
        if self._link is not None:
            if self._watcher is not None:
                self._watcher.unwatch(self._link.socket)
            self._link.close()
        self._link = self._hello = None
        for executor in self._live.values():
            executor.ending = Ending(None)
        self._live.clear()


class RemoteExecutor:
    """An executor in the other container, and the listening socket on which it will call."""

    def __init__(self, host: RemoteExecutors, number: int, path: Path, temporary: str) -> None:
        self._host, self.number, self._path, self.temporary = host, number, path, temporary
        self.listener: socket.socket = listen_at(path)
        self.ending: Ending | None = None
        """Set once it is known how it ended."""
        self.measured_bytes = 0

    def stop_listening(self) -> None:
        """The executor has called, or never will."""
        self.listener.close()
        self._path.unlink(missing_ok=True)

    def has_ended(self) -> bool:
        """Whether it is over."""
        if self.ending is None:
            self._host.look()
        return self.ending is not None

    def end(self) -> Ending:
        """Kill it with all that it started. Ending it twice is the same."""
        return self.end_after(0.0)

    def end_after(self, seconds: float) -> Ending:
        """Give it this long to end by itself, then `end` it with all that it started."""
        return self._end(seconds, is_abort=False)

    def abort(self) -> Ending:
        """End it so that it first prints where each thread is."""
        return self._end(ABORT_S, is_abort=True)

    def private_bytes(self) -> int:
        """Memory that it had for itself when the host looked last."""
        return self.measured_bytes

    def _end(self, after_s: float, *, is_abort: bool) -> Ending:
        if self.ending is None:
            self._host.ask_to_end(self, after_s, is_abort=is_abort)
        self.stop_listening()
        return self.ending or Ending(None)
