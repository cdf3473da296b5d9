"""The processes below one process: who they are, and ending one of them. Linux by /proc, else by `ps`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine."""

    pid: int
    parent: int
    command: str


def below(pid: int) -> list[Process]:
    """All descendants of a process."""
    children: dict[int, list[Process]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += [process.pid for process in mine]
    return found


def kill(pid: int) -> bool:
    """SIGKILL; whether the process was there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _all() -> list[Process]:
    return _from_proc() if (_PROC / "self" / "stat").exists() else _from_ps()


def _from_proc() -> list[Process]:
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found.append(Process(int(folder.name), int(parent), command))
    return found


def _from_ps() -> list[Process]:
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True)  # noqa: S607
    found = []
    for line in listed.stdout.splitlines():
        pid, parent, *command = line.split(None, 2)
        found.append(Process(int(pid), int(parent), " ".join(command)))
    return found
