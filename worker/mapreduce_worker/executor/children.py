"""An executor as an operating system process: started, measured, ended with all that it started.

For whoever starts executors: an agent for those beside it, and the `host` in a container of its own. Which are wanted,
and what they are told, is others' business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: After an abort an executor gets so long to print where each thread is.
ABORT_S = 0.3


class Child:
    """A started executor, which calls at `socket`.

    Args:
        socket: Unix socket on which its agent listens.
        environment: all that it sees of one.
        data_limit_bytes: most private memory that it can ask the system for; 0: no limit.

    Raises `OSError` when it cannot be started.
    """

    def __init__(self, socket: str, environment: Mapping[str, str], *, data_limit_bytes: int = 0) -> None:
        command = [sys.executable, "-P", "-m", "mapreduce_worker.executor", "--socket", socket]
        command += ["--parent-pid", str(os.getpid())]
        if data_limit_bytes:
            command += ["--data-limit", str(data_limit_bytes)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal does not reach it; its children end with it
        )
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        """Whether it is over. It stays to be reaped by `end`, where the system can look without reaping."""
        if self._process.returncode is not None:
            return True
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
        return self._process.wait()

    def end_after(self, seconds: float) -> int:
        """Give it this long to end by itself, then `end` it with all that it started."""
        if self._process.returncode is None:
            _await_exit(self.pid, timeout_s=seconds)
        return self.end()

    def ask_for_last_words(self) -> None:
        """Have it print where each thread is, and end."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGABRT)

    def private_bytes(self) -> int:
        """Memory that it has for itself (anonymous, resident); 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_bytes()
        except OSError:
            return 0
        _, found, rest = status.partition(b"\nRssAnon:")
        if not found:
            return 0
        return int(rest.split(None, 1)[0]) * 1024


def slot_folder_name(slot: int) -> str:
    """Name of the folder of one slot's temporary files."""
    return f"slot-{slot}"


def _await_exit(pid: int, *, timeout_s: float) -> None:
    """Wait until `pid` has ended, leaving it to be reaped."""
    import select

    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            try:
                waiting = select.poll()  # not `select`, which takes no descriptor above 1023
                waiting.register(descriptor, select.POLLIN)
                waiting.poll(timeout_s * 1_000)
            finally:
                os.close(descriptor)
