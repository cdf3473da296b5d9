"""Processes of the product that begin with everything imported: a fifth of the price of new ones, and tests start many.

They are processes like any other: with an id, a command line, an environment, a folder and descriptors of their own,
killed and waited for by who started them. What differs is that nothing is imported anew: tests of imports, of start-up
and of what traces or limits a process from its start make a new one, see `mrruns.mr_command`.
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
from typing import Any, Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_ROOM: Final = " " * 8_192
_ROOT: Final = Path(__file__).parents[2]


class Zygote:
    """The process that others are forked from; one for this process, begun when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: socket.socket | None = None

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The id of a new child of this process; what it is to be is `zygote.Request`."""
        with self._lock:
            link = self._link or self._start()
            _take_orphans(True)
            try:
                socket.send_fds(link, [json.dumps(request).encode()], descriptors)
                return int(link.recv(32))
            finally:
                _take_orphans(False)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "SSL_CERT_FILE": os.devnull}
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.support.zygote", str(theirs.fileno()), _ROOM]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment, cwd=_ROOT)
        theirs.close()
        self._link = ours
        atexit.register(_end, ours, process)
        return ours


_ZYGOTE: Final = Zygote()


class Forked(subprocess.Popen[Any]):
    """`python -m MODULE ARGUMENTS`; `options` are those of `Popen` that tests need.

    A subclass for all that a `Popen` does for its user; only how the process is made differs.
    """

    def __init__(self, module: str, *arguments: object, **options: Any) -> None:
        self._module = module
        super().__init__([str(argument) for argument in arguments], **options)

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
        p2cread, _, _, c2pwrite, _, errwrite, _, _, _, _, _, start_new_session, *_ = rest
        del close_fds, startupinfo, creationflags
        assert not any((executable, preexec_fn, shell)), "only a new process can do that"
        numbers = [0, 1, 2, *pass_fds]
        given = [given if given >= 0 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "module": self._module,
            "arguments": args,
            "folder": str(Path(cwd or ".").absolute()),
            "environment": dict(os.environ if env is None else env),
            "numbers": numbers,
            "is_session": bool(start_new_session),
        }
        self.pid = _ZYGOTE.fork(request, [*given, *pass_fds])
        self._child_created = True
        self._close_pipe_fds(*rest[:6])  # type: ignore[attr-defined]


def start_module(
    module: str, *arguments: object, prefix: Sequence[str] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """`python -m MODULE ARGUMENTS`: a new process where `prefix` is how an interpreter is started there."""
    if not prefix:
        return Forked(module, *arguments, **options)
    return subprocess.Popen([*prefix, "-m", module, *(str(argument) for argument in arguments)], **options)


def _end(link: socket.socket, zygote: subprocess.Popen[bytes]) -> None:
    link.close()
    zygote.wait(10)


def _take_orphans(is_wanted: bool) -> None:
    """Whether processes below this one that lose their parent become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(is_wanted), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
