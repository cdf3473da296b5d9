"""Processes of one test's folder: starting `mr` in it, finding who is who, ending them by their ids.

A process belongs to a folder when it runs in it or names it in its command line; children that user code forks are
found so, too, and nobody else ever is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce.coordinator.statefiles import read_endpoint
from tests.support.mrruns import DEADLINE_S, is_alive, mr_command, start_mr, until
from tests.support.steppedjobs import SteppedJob


def commands_in(root: Path) -> dict[int, str]:
    """Command lines of all living processes of a folder, by process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            where = str((process / "cwd").readlink())
            is_there = where == str(root) or where.startswith(f"{root}/") or f"{root}/" in f"{command} "
            if is_there and int(process.name) != os.getpid() and is_alive(int(process.name)):
                found[int(process.name)] = command
    return found


def agents(root: Path) -> list[int]:
    return _pids(root, "-m mapreduce_worker --")


def executors(root: Path) -> list[int]:
    return _pids(root, "-m mapreduce_worker.executor --socket")


def coordinators(root: Path) -> list[int]:
    """`mr run` and `mr coordinator` themselves; not what traces them."""
    return [
        pid
        for pid, command in commands_in(root).items()
        if "-m mapreduce_cli run " in command or "-m mapreduce_cli coordinator " in command
        if "strace" not in command.split(" ")[0]
    ]


def executors_of(agent: int) -> list[int]:
    """The executors that one agent has started."""
    found = []
    for path in Path(f"/proc/{agent}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in path.read_text().split() if _is_executor(int(pid))]
    return found


def _is_executor(pid: int) -> bool:
    """Not the zygote of an agent, which is its child too."""
    with contextlib.suppress(OSError):
        return b"mapreduce_worker.executor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """A signal to processes, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL, and wait until they are gone."""
    pids = tuple(pids)
    send(pids, signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in pids), "the end of killed processes")


def kill_all(root: Path) -> None:
    """SIGKILL to everything in a folder, until nothing is left."""
    while found := commands_in(root):
        kill(found)


def until_quiet(root: Path) -> None:
    """Wait until all processes of a folder have ended by themselves."""
    until(lambda: not commands_in(root), "the end of all processes", lambda: commands_in(root))


@dataclass
class Program:
    """A started `mr`; its output goes to a file. `trace` is put before the command."""

    job: SteppedJob
    arguments: list[object]
    trace: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.job.logs / f"{len(list(self.job.logs.iterdir()))}-{self.arguments[0]}.log"
        with self.log.open("wb") as log:
            options: dict[str, Any] = {"cwd": self.job.root, "env": self.job.environment, "stdin": subprocess.DEVNULL}
            options |= {"stdout": log, "stderr": log}
            if self.trace:
                self.process = subprocess.Popen([*self.trace, *mr_command(*self.arguments)], **options)
            else:
                self.process = start_mr(*self.arguments, **options)
        self.job.started.append(self.process)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        send([self.process.pid], number)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end\n{commands_in(self.job.root)}\n{self.job.story()}") from None

    def finishes(self) -> str:
        """Wait for its success; what it said."""
        code = self.wait()
        assert code == 0, f"exit code {code}\n{self.job.story()}"
        return self.said

    def until_said(self, words: str) -> None:
        until(lambda: words in self.said or not self.is_running, f"{words!r}", self.job.story)
        assert words in self.said, self.job.story()


def start_run(job: SteppedJob, *options: object, trace: Iterable[str] = ()) -> Program:
    """The stepped job by `mr run` with two workers."""
    return Program(job, ["run", *job.arguments(), "--workers", 2, *options], list(trace))


def start_coordinator(job: SteppedJob, *, trace: Iterable[str] = ()) -> Program:
    """`mr coordinator` on the job's folder; serves when this returns."""
    before = read_endpoint(job.root / "state")
    program = Program(job, ["coordinator", "--dir", "state"], list(trace))

    def serves() -> bool:
        endpoint = read_endpoint(job.root / "state")
        return endpoint is not None and (before is None or endpoint.epoch > before.epoch)

    until(lambda: serves() or not program.is_running, "the coordinator", job.story)
    return program


def start_worker(job: SteppedJob, name: str, *options: object) -> Program:
    """`mr worker` that finds the coordinator by its folder."""
    return Program(job, ["worker", "--dir", "state", "--scratch", "scratch", "--name", name, *options])


def submit(job: SteppedJob, *options: object) -> None:
    """Hand the job to the coordinator."""
    assert Program(job, ["submit", *job.arguments(), *options, "--dir", "state"]).finishes().split()[0].isdecimal()


def _pids(root: Path, words: str) -> list[int]:
    return [pid for pid, command in commands_in(root).items() if words in command and "strace" not in command[:40]]
