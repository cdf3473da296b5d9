"""`python -m mapreduce_worker.executor.host --sockets DIR --slots N`: starts and ends executors for an agent elsewhere.

The first process of the executors' container. It knows neither token nor network: all it has is the folder of sockets
that it shares with the agent. It connects again for ever; when the agent goes, so do all executors. As process 1 it
reaps whatever is left to it, and SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mapreduce.userenvironment import container_environment
from mapreduce.version import __version__
from mapreduce_worker.executor.cgroup import killed_for_memory_count, memory_limit_bytes
from mapreduce_worker.executor.children import ABORT_S, Child, slot_folder_name
from mapreduce_worker.executor.control import (
    CONTROL_NAME,
    CONTROL_VERSION,
    End,
    Ended,
    HostHello,
    Link,
    LinkClosed,
    Measured,
    Start,
    ToHost,
)

EXIT_TERMINATED: Final = 143
#: What is made here, the agent (another user of the same group) may rename and remove.
UMASK: Final = 0o007
_RECONNECT_S: Final = 0.1
_MEASURE_S: Final = 0.5
_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(slots=True)
class _Running:
    """One executor of this host."""

    child: Child
    temporary: Path
    killed_before: int
    """Processes that the system had ended for want of memory when this one started."""
    end_at_s: float | None = None
    is_ended_by_us: bool = False


class Host:
    """Serves one agent after the other until it is told to end.

    Args:
        sockets: the folder shared with the agent.
        temporary: a folder of its own for the executors' temporary files.
        environment: what executors see of an environment, but for the folder of temporary files.
    """

    def __init__(self, sockets: Path, temporary: Path, environment: dict[str, str]) -> None:
        self._control, self._temporary, self._environment = sockets / CONTROL_NAME, temporary, environment
        self._running: dict[int, _Running] = {}
        self._link: Link[ToHost] | None = None
        self._is_ending = False
        self._measure_at_s = 0.0
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Serve; returns the exit code."""
        self._listen_to_signals()
        try:
            while not self._is_ending:
                self._turn()
        finally:
            self._end_all()
        return EXIT_TERMINATED

    def _turn(self) -> None:
        if self._link is None:
            self._connect()
        for key, _ in self._selector.select(self._pause_s()):
            key.data()
        self._reap()
        self._end_what_is_due()
        self._measure()

    def _pause_s(self) -> float:
        if self._link is None:
            return _RECONNECT_S
        due = [running.end_at_s for running in self._running.values() if running.end_at_s is not None]
        if self._running:
            due.append(self._measure_at_s)
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    # ------------------------------------------------------------------------------------------------------ the agent

    def _connect(self) -> None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.connect(str(self._control))
        except OSError:
            connected.close()
            return
        self._link = Link(connected, ToHost)
        self._selector.register(connected, selectors.EVENT_READ, self._receive)
        hello = HostHello(
            version=CONTROL_VERSION,
            release=__version__,
            memory_bytes=memory_limit_bytes(),
            temporary=str(self._temporary),
        )
        self._tell(hello)

    def _receive(self) -> None:
        link = self._link
        if link is None:
            return
        try:
            messages = link.receive()
        except LinkClosed:
            self._lose_agent()
            return
        for message in messages:
            match message:
                case Start():
                    self._start(message)
                case End():
                    self._ask_to_end(message)

    def _tell(self, message: HostHello | Ended | Measured) -> None:
        if self._link is None:
            return
        try:
            self._link.send(message)
        except LinkClosed:
            self._lose_agent()

    def _lose_agent(self) -> None:
        """Nobody is left who would take a result: end everything, then wait for the next agent."""
        if self._link is not None:
            self._selector.unregister(self._link.socket)
            self._link.close()
            self._link = None
        self._end_all()

    # -------------------------------------------------------------------------------------------------- the executors

    def _start(self, asked: Start) -> None:
        temporary = self._temporary / slot_folder_name(asked.slot)
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True, exist_ok=True)
            environment = self._environment | {"TMPDIR": str(temporary)}
            child = Child(asked.socket, environment, data_limit_bytes=asked.data_limit_bytes)
        except OSError as error:
            self._tell(Ended(number=asked.number, problem=f"could not be started ({error})"))
            return
        self._running[asked.number] = _Running(child, temporary, killed_for_memory_count())

    def _ask_to_end(self, asked: End) -> None:
        running = self._running.get(asked.number)
        if running is None:
            return
        after_s = asked.after_s
        if asked.is_abort:
            running.child.ask_for_last_words()
            running.is_ended_by_us = True
            after_s = max(after_s, ABORT_S)
        running.end_at_s = time.monotonic() + after_s

    def _end_what_is_due(self) -> None:
        now_s = time.monotonic()
        for number, running in list(self._running.items()):
            if running.end_at_s is not None and now_s >= running.end_at_s:
                running.is_ended_by_us = running.is_ended_by_us or not running.child.has_ended()
                self._end(number)

    def _end(self, number: int) -> None:
        running = self._running.pop(number, None)
        if running is None:
            return
        code = running.child.end()
        shutil.rmtree(running.temporary, ignore_errors=True)
        is_killed = code == -signal.SIGKILL and not running.is_ended_by_us
        is_out_of_memory = is_killed and killed_for_memory_count() > running.killed_before
        self._tell(Ended(number=number, code=code, is_out_of_memory=is_out_of_memory))

    def _end_all(self) -> None:
        for running in self._running.values():
            running.child.end()
            shutil.rmtree(running.temporary, ignore_errors=True)
        self._running.clear()
        self._end_strays()

    def _end_strays(self) -> None:
        """What has left its group and was left to this process: user code may have started a service of its own."""
        while strays := _children():
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _reap(self) -> None:
        """Take note of executors that have ended, and take orphans away."""
        by_pid = {running.child.pid: number for number, running in self._running.items()}
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                number = by_pid.pop(found.si_pid, None)
                if number is None:
                    os.waitpid(found.si_pid, 0)
                else:
                    self._end(number)

    def _measure(self) -> None:
        now_s = time.monotonic()
        if now_s < self._measure_at_s:
            return
        self._measure_at_s = now_s + _MEASURE_S
        for number, running in list(self._running.items()):
            self._tell(Measured(number=number, private_bytes=running.child.private_bytes()))

    # -------------------------------------------------------------------------------------------------------- signals

    def _listen_to_signals(self) -> None:
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._wake)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # process 1 gets no signal that it does not ask for
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ask_to_go())

    def _ask_to_go(self) -> None:
        self._is_ending = True

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4_096):
                pass


def _children() -> list[int]:
    """Process ids of this process's children."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def _adopt_orphans() -> None:
    """Be to orphans what process 1 is: whatever user code starts comes here when its parent ends."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def main(arguments: list[str] | None = None, *, adopt: Callable[[], None] = _adopt_orphans) -> int:
    """Run a host; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mapreduce_worker.executor.host", description="Starts and ends executors for an agent."
    )
    parser.add_argument("--sockets", type=Path, required=True, metavar="DIR", help="folder shared with the agent")
    parser.add_argument("--slots", type=int, default=1, metavar="N", help="executors to expect at once (default: 1)")
    given = parser.parse_args(arguments)
    if not 1 <= given.slots <= 1_024:
        parser.error(f"--slots {given.slots}: give a number from 1 to 1024.")
    if sys.platform != "linux":
        parser.error("containers are Linux; elsewhere `mr worker` starts its executors itself.")
    os.umask(UMASK)
    adopt()
    temporary = Path(tempfile.mkdtemp(prefix="mr-executors-"))
    try:
        return Host(given.sockets.absolute(), temporary, container_environment(os.environ)).run()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
