"""Processes of the product that begin with everything imported: a fifth of the price of new ones, and tests start many.

They are processes like any other: with an id, a command line, an environment, a folder and descriptors of their own,
killed and waited for by who started them. The same goes for those of the product that they start themselves: workers of
`mr run`, executors of workers. What differs is that nothing is imported anew, and that strings have the same hashes in
all of them: tests of imports, of start-up, of memory and of what traces or limits a process from its start make a new
one, see `mrruns.mr_command`; so do documents, containers and clusters.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37
#: For longer command lines and environments than the zygote's own.
_ROOM: Final = " " * 8_192
_ROOT: Final = Path(__file__).parents[2]
#: Packages of which every module is imported before.
PRELOADED: Final = ("mapreduce", "mapreduce_cli", "mapreduce_worker")


class Zygote:
    """The process that others are forked from; one for this process, begun when it is needed."""

    def __init__(self, link: socket.socket | None = None) -> None:
        self._lock = threading.Lock()
        self._link = link

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The id of a new child of this process; what it is to be is `zygote.Request`."""
        with self._lock:
            link = self._link or self._start()
            took = _take_orphans(1)
            try:
                socket.send_fds(link, [json.dumps(request).encode()], descriptors)
                process = int(link.recv(32) or 0)
            finally:
                _take_orphans(took)
        if not process:
            raise ChildProcessError("it died before it was what was asked for")
        return process

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "SSL_CERT_FILE": os.devnull, "ROOM": _ROOM}
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.support.zygote", str(theirs.fileno()), _ROOM]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment, cwd=_ROOT)
        theirs.close()
        self._link = ours
        atexit.register(_end, ours, process)
        return ours


_zygote = Zygote()


class Forked(subprocess.Popen[Any]):
    """As `Popen`, for a command `python -P -m MODULE ARGUMENTS`, with or without the `-P`; others are its own business.

    A subclass for all that a `Popen` does for its user; only how the process is made differs.
    """

    packages: ClassVar[Sequence[str]] = PRELOADED
    """Whose modules are forked."""

    def _execute_child(
        self,
        args: list[str],
        executable: object,
        preexec_fn: object,
        close_fds: object,
        pass_fds: tuple[int, ...],
        cwd: str | os.PathLike[str] | None,
        env: dict[str, str] | None,
        startupinfo: object,
        creationflags: object,
        shell: object,
        *rest: Any,
    ) -> None:
        p2cread, _, _, c2pwrite, _, errwrite, _, gid, gids, uid, umask, start_new_session, process_group = rest
        if any((executable, preexec_fn, shell, gid, gids, uid, umask != -1)) or _package_of(args) not in self.packages:
            super()._execute_child(  # type: ignore[misc]
                *(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell), *rest
            )
            return
        numbers = [0, 1, 2, *pass_fds]
        given = [given if given >= 0 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "command": [os.fspath(word) for word in args],
            "folder": str(Path(cwd or ".").absolute()),
            "environment": dict(os.environ if env is None else env),
            "numbers": numbers,
            "is_session": bool(start_new_session),
            "group": process_group,
        }
        self.pid = _zygote.fork(request, [*given, *pass_fds])
        self._child_created = True
        self._close_pipe_fds(*rest[:6])  # type: ignore[attr-defined]


def start_module(
    module: str, *arguments: object, prefix: Sequence[str] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """`python -m MODULE ARGUMENTS`: a new process where `prefix` is how an interpreter is started there."""
    words = ["-m", module, *(str(argument) for argument in arguments)]
    if not prefix:
        return Forked([sys.executable, "-X", "faulthandler", *words], **options)
    return subprocess.Popen([*prefix, *words], **options)


def fork_from(link: socket.socket) -> None:
    """In a process that was forked: what it starts of the product is forked from who listens on `link`."""
    global _zygote
    _zygote = Zygote(link)
    subprocess.Popen = Forked  # type: ignore[misc]


def _package_of(command: Sequence[object]) -> str:
    """What `python -m` runs a module of; empty for other commands, and options that only a new interpreter can have."""
    words = [str(word) for word in command]
    place = words.index("-m") if "-m" in words else 0
    if not place or words[0] != sys.executable or not set(words[1:place]) <= {"-P", "-X", "faulthandler"}:
        return ""
    return words[place + 1].partition(".")[0]


def _end(link: socket.socket, zygote: subprocess.Popen[bytes]) -> None:
    link.close()
    zygote.wait(10)


def _take_orphans(is_wanted: int) -> int:
    """Whether processes below this one that lose their parent become its children; returns whether they did before."""
    libc, before = ctypes.CDLL(None, use_errno=True), ctypes.c_int()
    if libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, is_wanted, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    return before.value
