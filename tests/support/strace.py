"""System calls of a real process made to fail, or to kill it, at their N-th time; by strace, where it is installed."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.mrruns import until

_PROBE: Final = "import os, threading; t = threading.Thread(target=lambda: os.getpid()); t.start(); t.join()"


@functools.cache
def why_unusable() -> str:
    """Why strace cannot be used here, or "": it is not installed, may not trace, or is older than 5.3."""
    if sys.platform != "linux":
        return "strace exists on Linux only"
    if shutil.which("strace") is None:
        return "strace is not installed (Debian: apt-get install strace)"
    options = ["-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync"]
    command = ["strace", *options, sys.executable, "-c", _PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return f"strace cannot trace here: {done.stderr.strip()[-200:]}" if done.returncode else ""


def need_strace() -> None:
    """Skip the test where strace cannot be used."""
    if why := why_unusable():
        pytest.skip(why)


def inject(log: Path, call: str, what: str, *, path: Path | None = None) -> list[str]:
    """The words before a command that do `what` to a system call: `error=EIO:when=3`, `signal=SIGKILL:when=3`.

    Calls are counted by thread; with `path` only those count that name this file first, or have it open. All processes
    and threads that the command starts are traced; only those that make this call are slowed down, and only by it.
    """
    where = [] if path is None else ["-P", str(path)]
    options = ["-f", "--seccomp-bpf", "-o", str(log), *where, "-e", f"trace={call}"]
    return ["strace", *options, "-e", f"inject={call}:{what}"]


@contextmanager
def injecting(pid: int, log: Path, call: str, what: str) -> Iterator[None]:
    """The same to a process that runs, with all its threads and without its children, until the block is left."""
    command = ["strace", "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{what}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        said = strace.stderr.readline()
        assert "attached" in said, said
        until(lambda: _traced_by(strace.pid, pid) >= threads, "strace")
        try:
            yield
        finally:
            strace.terminate()
            strace.stderr.read()


def _traced_by(tracer: int, pid: int) -> int:
    """How many threads of a process one tracer holds."""
    count = 0
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):
            count += f"\nTracerPid:\t{tracer}\n" in path.read_text()
    return count
