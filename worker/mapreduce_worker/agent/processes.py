"""Executors as operating system processes: started with a filtered environment, measured, ended with their children.

What they are told and what they answer is `slot`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from mapreduce.privatefolders import LINK_NAME, make_private_folder
from mapreduce.userenvironment import user_environment

#: Longest path of a Unix socket on all systems we run on.
_MAX_SOCKET_PATH: Final = 100
_LONGEST_NAME: Final = 16


class SocketFolder:
    """Where the sockets between an agent and its executors lie: each for the moment until its executor has called."""

    def __init__(self, preferred: Path) -> None:
        self._preferred = preferred.absolute()
        self._folder: Path | None = None
        self._count = 0

    def next_path(self) -> Path:
        """A path that was not used before, in a folder that exists. In a private one, if the preferred is too long."""
        self._count += 1
        if self._folder is None or not self._folder.is_dir():  # somebody may have tidied up there
            self._folder = self._make_folder()
        return self._folder / f"x{self._count}.sock"

    def give_back(self, path: Path) -> None:
        """The path is no longer needed: remove the socket, and the private folder around it if it was the last."""
        path.unlink(missing_ok=True)
        if path.parent != self._preferred:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
                self._folder = None
                (self._preferred / LINK_NAME).unlink(missing_ok=True)

    def _make_folder(self) -> Path:
        if len(str(self._preferred)) + _LONGEST_NAME <= _MAX_SOCKET_PATH:
            self._preferred.mkdir(parents=True, exist_ok=True)
            return self._preferred
        import tempfile

        parent = tempfile.gettempdir()
        is_short = len(parent) <= _MAX_SOCKET_PATH - 2 * _LONGEST_NAME - 4
        return make_private_folder(self._preferred, Path(parent if is_short else "/tmp"))  # noqa: S108 - private


def start_executor(sockets: SocketFolder, temporary: Path) -> ExecutorProcess:
    """Start an executor whose temporary files go to a folder of its own. Raises `OSError`."""
    temporary.mkdir(parents=True, exist_ok=True)
    return ExecutorProcess(sockets, user_environment(os.environ, temporary=str(temporary)))


def slot_folder(scratch: Path, index: int) -> Path:
    """The folder of one slot's temporary files."""
    return scratch / f"slot-{index}"


class ExecutorProcess:
    """A started executor and the listening socket on which it will call."""

    def __init__(self, sockets: SocketFolder, environment: dict[str, str]) -> None:
        self._sockets, self._path = sockets, sockets.next_path()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self._path))
        self.listener.listen(1)
        self.listener.setblocking(False)
        command = [sys.executable, "-P", "-m", "mapreduce_worker.executor", "--socket", str(self._path)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
                [*command, "--parent-pid", str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal does not reach it; its children end with it
            )
        except OSError:
            self.stop_listening()
            raise
        self.pid = self._process.pid

    def stop_listening(self) -> None:
        """The executor has called, or never will."""
        self.listener.close()
        self._sockets.give_back(self._path)

    def has_ended(self) -> bool:
        """Whether it is over. It stays to be reaped by `end`, where the system can look without reaping."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._process.poll() is not None

    def end(self) -> int:
        """Kill it with all that it started; returns how it ended. Ending it twice is the same."""
        if self._process.returncode is not None:
            return self._process.returncode
        # the group may outlive its leader; it is ended before the leader is reaped, which makes the id free again
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.stop_listening()
        return self._process.wait()

    def end_after(self, seconds: float) -> int:
        """Give it this long to end by itself, then `end` it with all that it started."""
        _await_exit(self.pid, timeout_s=seconds)
        return self.end()

    def abort(self) -> int:
        """End it so that it first prints where each thread is."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)
        return self.end_after(0.3)


def private_bytes(pid: int) -> int:
    """Memory that a process has for itself (anonymous, resident); 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0
    _, found, rest = status.partition(b"\nRssAnon:")
    if not found:
        return 0
    return int(rest.split(None, 1)[0]) * 1024


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = {
        signal.SIGSEGV: " (a crash in compiled code)",
        signal.SIGKILL: " (by the system, often for want of memory, or by hand)",
        signal.SIGABRT: " (compiled code gave up)",
    }.get(signal.Signals(-code) if name.startswith("SIG") else signal.SIGTERM, "")
    return f"was killed by {name}{meaning}"


def _await_exit(pid: int, *, timeout_s: float) -> None:
    """Wait until `pid` has ended, leaving it to be reaped."""
    import select

    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                select.select([descriptor], [], [], timeout_s)
            finally:
                os.close(descriptor)
