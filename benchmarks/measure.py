"""Runs one command and accounts for its whole tree of processes (Linux only).

wall   monotonic clock, from the start to the end of the first process
cpu    user and system seconds of every descendant, daemons included: this process makes itself their reaper, ends what
       is left over and waits for it; where the kernel's sum is less than the sampled one, the sampled one
PSS    proportional set size, sampled from /proc/PID/smaps_rollup: a page that n processes share counts 1/n in each, so
       that sums over processes are real memory. `peak_pss_bytes` is the largest sum over the tree; `groups` the largest
       sum of each group of processes that the caller distinguishes
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
MIN_SAMPLE_S = 0.2
SAMPLING_SHARE = 0.02
"""Part of one core that sampling may take: the kernel walks all pages of a process, 17 ms a GiB, for each sample."""
GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """One descendant at the moment of a sample."""

    pid: int
    parent: int
    command: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a command took."""

    wall_s: float
    cpu_s: float
    peak_pss_bytes: int
    end: str
    """`ok`, `exit N` or `timeout`."""
    started_at_s: float
    """Monotonic clock at the start, the same clock for all processes of the machine."""
    groups: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether the command ended by itself with exit code 0."""
        return self.end == "ok"


Grouping = Callable[[Mapping[int, Process]], Mapping[int, str]]
"""From the living descendants to the group of each, those in no group left out."""


def run_measured(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    timeout_s: float,
    grouping: Grouping | None = None,
) -> Measured:
    """Runs `command` in `folder` to its end, its stdout and stderr going to `log`; leaves no process behind."""
    others = frozenset(_children(os.getpid()))
    _set_reaper(True)
    try:
        return _run(command, folder, environment, log, timeout_s, _Sampler(grouping, others))
    finally:
        _end_left_overs(others)
        _set_reaper(False)


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, timeout_s: float, sampler: _Sampler
) -> Measured:
    os.sync()  # what an earlier run left to be written is not this one's burden
    cpu_before_s, started_at_s = _reaped_cpu_s(), time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = _watch(process, sampler, started_at_s + timeout_s)
    wall_s = time.monotonic() - started_at_s
    _end_left_overs(sampler.others)
    # A daemon that ignores SIGCHLD (Spark's Python workers have one) hides its children from getrusage.
    cpu_s = max(_reaped_cpu_s() - cpu_before_s, sampler.cpu_s)
    return Measured(wall_s, cpu_s, sampler.peak_bytes, end, started_at_s, dict(sampler.groups))


def _watch(process: subprocess.Popen[bytes], sampler: _Sampler, deadline_s: float) -> str:
    gone = select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        gone.register(descriptor, select.POLLIN)
        pause_s = MIN_SAMPLE_S
        while not gone.poll(pause_s * 1000):
            before_s = time.monotonic()
            sampler.sample()
            pause_s = max(MIN_SAMPLE_S, (time.monotonic() - before_s) / SAMPLING_SHARE)
            if time.monotonic() > deadline_s:
                for pid in _descendants(sampler.others):
                    _signal(pid, signal.SIGKILL)
                process.wait()
                return "timeout"
    finally:
        os.close(descriptor)
    code = process.wait()
    return "ok" if code == 0 else f"exit {code}"


class _Sampler:
    """Sums and peaks over samples."""

    def __init__(self, grouping: Grouping | None, others: frozenset[int]) -> None:
        self._grouping = grouping
        self.others = others
        self._ticks: dict[tuple[int, str], int] = {}
        self.peak_bytes = 0
        self.groups: dict[str, int] = {}

    @property
    def cpu_s(self) -> float:
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def sample(self) -> None:
        living = _descendants(self.others)
        sizes = {pid: _pss_bytes(pid) for pid in living}
        self.peak_bytes = max(self.peak_bytes, sum(sizes.values()))
        for pid in living:
            born, ticks = _ticks(pid)
            if born:
                self._ticks[pid, born] = ticks
        if self._grouping is None:
            return
        sums: dict[str, int] = {}
        for pid, group in self._grouping(living).items():
            sums[group] = sums.get(group, 0) + sizes[pid]
        for group, size in sums.items():
            self.groups[group] = max(self.groups.get(group, 0), size)


def _descendants(others: frozenset[int]) -> dict[int, Process]:
    """Living and unreaped descendants of this process, without those below `others`, which are not of this run."""
    found: dict[int, Process] = {}
    todo = [(os.getpid(), child) for child in _children(os.getpid()) if child not in others]
    while todo:
        parent, pid = todo.pop()
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found[pid] = Process(pid, parent, command)
        todo += [(pid, child) for child in _children(pid)]
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return children


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _ticks(pid: int) -> tuple[str, int]:
    """Start time and clock ticks used by this process alone; the start time tells a reused pid."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return "", 0
    return fields[19], int(fields[11]) + int(fields[12])


def _reaped_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _set_reaper(is_reaper: bool) -> None:
    """Whether orphaned descendants become children of this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_reaper), 0, 0, 0)


def _end_left_overs(others: frozenset[int]) -> None:
    deadline_s = time.monotonic() + GRACE_S
    while living := _descendants(others):
        for pid, process in living.items():
            _signal(pid, signal.SIGTERM if time.monotonic() < deadline_s else signal.SIGKILL)
            if process.parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        if _descendants(others):
            time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
