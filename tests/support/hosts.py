"""A real host of executors as a process of a test, and executors' first words."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mapreduce_worker.agent.channel import Channel
from mapreduce_worker.agent.executors import Executor
from mapreduce_worker.executor.messages import Hello
from tests.support.forked import start_module

DEADLINE_S = 30.0


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths are not too long."""
    with tempfile.TemporaryDirectory(prefix="mrt-", dir="/tmp") as folder:
        yield Path(folder)


class HostProcess:
    """`python -m mapreduce_worker.executor.host`."""

    def __init__(
        self,
        sockets: Path,
        *,
        slots: int = 1,
        prefix: Sequence[str] = (),
        extra: dict[str, str] | None = None,
    ) -> None:
        self.process = start_module(
            "mapreduce_worker.executor.host",
            *("--sockets", sockets, "--slots", slots),
            prefix=prefix,
            env={**os.environ, **(extra or {})},
            stdin=subprocess.DEVNULL,
        )
        self.pid = self.process.pid

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Called:
    """An executor that has called: the channel to it, and what it said of itself."""

    def __init__(self, executor: Executor) -> None:
        ready, _, _ = select.select([executor.listener], [], [], DEADLINE_S)
        assert ready, "the executor does not call"
        connected, _ = executor.listener.accept()
        executor.stop_listening()
        self.channel = Channel(connected)
        self.pid = self._hello().pid
        assert self.channel.descriptor is not None
        self.output = self.channel.descriptor

    def printed(self) -> bytes:
        """All that it prints until nobody holds its pipe any more."""
        text = b""
        while data := os.read(self.output, 1 << 16):
            text += data
        return text

    def close(self) -> None:
        self.channel.close()

    def _hello(self) -> Hello:
        end_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < end_s:
            _wait_for(self.channel.socket)
            for message in self.channel.receive():
                assert isinstance(message, Hello)
                return message
        raise AssertionError("the executor says nothing")


def _wait_for(source: socket.socket) -> None:
    select.select([source], [], [], 1.0)
