"""What an executor arranges around itself before it runs user code: its output, its end, and forks of user code.

Linux and macOS; what only one of them has is left out on the other. No tasks, no messages.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from typing import Final

_PIPE_BYTES: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1


def make_output_pipe() -> tuple[int, int]:
    """A pipe for what is printed: its read end, and a write end; no child process inherits either."""
    read_end, write_end = os.pipe()
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def redirect_output(write_end: int) -> None:
    """Point descriptors 1 and 2, and Python's streams over them, to the pipe."""
    flush_output()
    for descriptor in (1, 2):
        os.dup2(write_end, descriptor)
    # new streams, by line: what was printed before a crash is what explains it
    sys.stdout, sys.stderr = (
        open(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - for life
        for descriptor in (1, 2)
    )
    faulthandler.enable(file=2, all_threads=False)


def flush_output() -> None:
    """Pass on what is still in Python's buffers; user code may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def remove_socket(path: str) -> None:
    """Remove the socket of an agent that died before this executor called, and the folder made for it alone."""
    from pathlib import Path

    from mapreduce.privatefolders import PRIVATE_PREFIX

    socket = Path(path)
    with contextlib.suppress(OSError):
        socket.unlink()
        if socket.parent.name.startswith(PRIVATE_PREFIX):
            socket.parent.rmdir()


def settle(data_limit_bytes: int = 0) -> None:
    """Ctrl-C belongs to whoever started the job and reaches all of a terminal; crashes leave no core files.

    An allocation beyond `data_limit_bytes` (0: no limit) raises MemoryError where it is asked for, which says more than
    the end of the whole container would.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if data_limit_bytes:
        with contextlib.suppress(OSError, ValueError):  # a lower limit holds already
            resource.setrlimit(resource.RLIMIT_DATA, (data_limit_bytes, data_limit_bytes))


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel end this process when its parent goes, even while C code holds the interpreter's lock.

    Linux only; elsewhere, and for what user code has started, the inbox's thread does it. 0: not a child of the agent.
    """
    if not parent_pid or sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it went before the call
        os._exit(1)


def guard_forks(close_in_child: Callable[[], None]) -> None:
    """Make sure that a process forked by user code never acts as this executor.

    It loses the channel to the agent, and ends when it returns from user code into ours: two processes writing one run
    would corrupt it.
    """
    owner = os.getpid()

    def after_fork() -> None:
        close_in_child()
        outermost = _outermost_user_frame(sys._getframe(1))  # noqa: SLF001 - the only way to the caller's frame
        if os.getpid() != owner and outermost is not None:
            _end_at_return(outermost)

    os.register_at_fork(after_in_child=after_fork)


def _outermost_user_frame(frame: types.FrameType | None) -> types.FrameType | None:
    """The frame of user code that was called by ours, seen from the innermost frame."""
    user: types.FrameType | None = None
    while frame is not None:
        if _is_ours(frame):
            return user
        user, frame = frame, frame.f_back
    return None


def _is_ours(frame: types.FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return isinstance(name, str) and name.startswith(("mapreduce.dataplane.", "mapreduce_worker."))


def _end_at_return(frame: types.FrameType) -> None:
    """End this process when `frame` returns, yields or raises."""

    def local(_frame: types.FrameType, event: str, _argument: object) -> object:
        if event == "return":
            flush_output()
            os._exit(0)
        return local

    frame.f_trace_lines = False
    frame.f_trace = local
    sys.settrace(lambda *_: None)
