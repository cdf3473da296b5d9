"""The worker processes of a local run: started early, looked after while the job runs, ended before `mr run` returns.

They are children of this process in process groups of their own (so that Ctrl-C reaches only the parent, which ends
them in order), and each holds the read end of a pipe whose other end only the parent has: however the parent dies, they
see EOF and go. Which tasks they run is between them and the coordinator.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.errors import JobFailed

#: A worker that ends sooner than this after its start has not done anything; so many in a row and a start is hopeless.
SHORT_LIFE_S: Final = 5.0
MAX_SHORT_LIVES: Final = 4
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0

_SHOWN_LOG_BYTES: Final = 2_000


class WorkerSettings(msgspec.Struct, frozen=True):
    """How the worker processes of a run are started."""

    state: Path
    """State folder of the coordinator, where they find its endpoint and token."""
    count: int
    slots: int
    scratch: Path
    """Each worker gets a folder of its own in it."""
    logs: Path
    """Folder of what the workers themselves print."""


class Death(msgspec.Struct, frozen=True):
    """A worker's process that ended unasked."""

    worker: str
    """The name under which the coordinator knew it."""
    sentence: str


@dataclass(slots=True)
class _Place:
    """One of the `count` workers: its present process and how its earlier ones fared."""

    index: int
    process: subprocess.Popen[bytes] | None = None
    worker: str = ""
    """Name of that process at the coordinator."""
    started_s: float = 0.0
    short_lives: int = 0
    restart_at_s: float = 0.0
    has_finished: bool = False
    """It was told that no work is left, and ended by itself."""


@dataclass(slots=True)
class WorkerProcesses:
    """The workers of one run."""

    settings: WorkerSettings
    _places: list[_Place] = field(default_factory=list)
    _read_end: int = -1
    _write_end: int = -1
    deaths: deque[Death] = field(default_factory=deque)
    """Workers that ended unasked, latest last; for whoever looks after them to take away."""
    _is_ending: bool = False

    def start(self, at_once: int | None = None) -> None:
        """Start `at_once` workers, by default all; those that are left start when they are first looked after.

        Returns at once; they wait for the coordinator's endpoint.
        """
        self._read_end, self._write_end = os.pipe()
        self._places = [_Place(index) for index in range(self.settings.count)]
        for place in self._places[:at_once]:
            self._start_one(place)

    @property
    def running(self) -> int:
        """How many worker processes live now."""
        return sum(1 for place in self._places if place.process is not None and place.process.poll() is None)

    @property
    def names(self) -> frozenset[str]:
        """Names at the coordinator of the present processes."""
        return frozenset(place.worker for place in self._places)

    @property
    def pids(self) -> list[int]:
        """Process ids of those that live now."""
        return [
            place.process.pid for place in self._places if place.process is not None and place.process.poll() is None
        ]

    def look_after(self) -> None:
        """Replace workers that died, with growing pauses; called often. Raises JobFailed when no start succeeds."""
        for place in self._places if not self._is_ending else ():
            self._look_after(place)

    def terminate(self) -> None:
        """Ask all workers to end; they give back what they hold, and none is replaced."""
        self._is_ending = True
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                place.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all workers and what they started, at once."""
        self._is_ending = True
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(place.process.pid, signal.SIGKILL)
        for place in self._places:
            if place.process is not None:
                place.process.wait()
        self._close_pipe()

    def _start_one(self, place: _Place) -> None:
        settings = self.settings
        place.worker = f"worker-{place.index + 1}-{secrets.token_hex(4)}"
        command = [
            *(sys.executable, "-m", "mapreduce_worker", "--dir", str(settings.state)),
            *("--slots", str(settings.slots)),
            *("--scratch", str(settings.scratch / f"worker-{place.index}")),
            *("--parent-fd", str(self._read_end)),
            *("--name", place.worker),
        ]
        place.started_s = time.monotonic()
        log = self._open_log(place.index)
        try:
            place.process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._read_end,),
                process_group=0,
            )
        except OSError as error:
            raise JobFailed("WorkersFailed", f"no worker process can be started: {error.strerror}") from None
        finally:
            os.close(log)

    def _open_log(self, index: int) -> int:
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        path = self.settings.logs / f"worker-{index}.log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _look_after(self, place: _Place) -> None:
        now_s = time.monotonic()
        if place.process is None:
            if not place.has_finished and now_s >= place.restart_at_s:
                self._start_one(place)
            return
        code = place.process.poll()
        if code is None:
            if now_s - place.started_s >= SHORT_LIFE_S:
                place.short_lives = 0
            return
        place.process = None
        if code == 0:
            place.has_finished = True
            return
        self._note_death(place, code, now_s)

    def _note_death(self, place: _Place, code: int, now_s: float) -> None:
        life_s = now_s - place.started_s
        sentence = f"worker {place.index + 1} {describe_exit(code)} after {life_s:.1f} s; it is replaced"
        self.deaths.append(Death(place.worker, sentence))
        place.short_lives = place.short_lives + 1 if life_s < SHORT_LIFE_S else 0
        if place.short_lives >= MAX_SHORT_LIVES:
            said = self._last_words(place.index)
            raise JobFailed(
                "WorkersFailed",
                f"worker {place.index + 1} {describe_exit(code)} right after its start, "
                f"{place.short_lives} times in a row." + (f" It said:\n{said}" if said else " It said nothing."),
            )
        place.restart_at_s = now_s + min(FIRST_PAUSE_S * 2**place.short_lives, LONGEST_PAUSE_S)

    def _last_words(self, index: int) -> str:
        try:
            content = (self.settings.logs / f"worker-{index}.log").read_bytes()
        except OSError:
            return ""
        return content[-_SHOWN_LOG_BYTES:].decode("utf-8", "replace").strip()

    def _close_pipe(self) -> None:
        for descriptor in (self._read_end, self._write_end):
            if descriptor >= 0:
                os.close(descriptor)
        self._read_end = self._write_end = -1


def describe_exit(code: int) -> str:
    """How a process ended, in words: `ended with exit code 3`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
