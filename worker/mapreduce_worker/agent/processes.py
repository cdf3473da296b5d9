"""Executors as children of this agent: started with a filtered environment, each with the socket on which it calls.

What they are told and what they answer is `slot`; the process itself is `executor.children`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

from mapreduce.privatefolders import LINK_NAME, make_private_folder
from mapreduce.userenvironment import user_environment
from mapreduce_worker.agent.executors import Ending, Watcher
from mapreduce_worker.executor.children import ABORT_S, Child, slot_folder_name

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


def listen_at(path: Path) -> socket.socket:
    """A socket that listens there, without blocking."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(1)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class LocalExecutors:
    """Executors beside the agent, as its children; each slot's temporary files lie in a folder below `scratch`."""

    is_ready: Final = True
    memory_bytes: Final = 0
    problem: Final = ""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._sockets = scratch, SocketFolder(scratch)

    def attach(self, watcher: Watcher) -> None:
        """Nothing concerns all of them."""

    def start(self, slot: int, *, data_limit_bytes: int = 0) -> LocalExecutor:
        """Start one for this slot. Raises `OSError`."""
        temporary = self._scratch / slot_folder_name(slot)
        temporary.mkdir(parents=True, exist_ok=True)
        return LocalExecutor(self._sockets, temporary, data_limit_bytes=data_limit_bytes)

    def close(self) -> None:
        """Nothing is left."""


class LocalExecutor:
    """A started executor and the listening socket on which it will call."""

    def __init__(self, sockets: SocketFolder, temporary: Path, *, data_limit_bytes: int = 0) -> None:
        self._sockets, self._path = sockets, sockets.next_path()
        self.temporary = str(temporary)
        self.listener = listen_at(self._path)
        try:
            environment = user_environment(os.environ, temporary=self.temporary)
            self._child = Child(str(self._path), environment, data_limit_bytes=data_limit_bytes)
        except OSError:
            self.stop_listening()
            raise

    def stop_listening(self) -> None:
        """The executor has called, or never will."""
        self.listener.close()
        self._sockets.give_back(self._path)

    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._child.has_ended()

    def end(self) -> Ending:
        """Kill it with all that it started. Ending it twice is the same."""
        return self.end_after(0.0)

    def end_after(self, seconds: float) -> Ending:
        """Give it this long to end by itself, then `end` it with all that it started."""
        code = self._child.end_after(seconds) if seconds else self._child.end()
        self.stop_listening()
        return Ending(code)

    def abort(self) -> Ending:
        """End it so that it first prints where each thread is."""
        self._child.ask_for_last_words()
        return self.end_after(ABORT_S)

    def private_bytes(self) -> int:
        """Memory that it has for itself (anonymous, resident); 0 where the system does not tell."""
        return self._child.private_bytes()
