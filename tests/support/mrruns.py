"""Real `mr` processes for integration tests: running them, watching them from outside, killing them with workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import CoordinatorClient, FolderEndpoint
from mapreduce.protocol.messages import JobStatus
from tests.support.forked import Forked

DEADLINE_S = 60.0

WORD_COUNT = """
def mapper(line):
    for word in line.split():
        yield word, 1

def reducer(word, counts):
    yield word, sum(counts)
"""

#: Notes each call in a file of its task, and waits at lines that begin with "gate" until the gate is open.
GATED = """
import os, time

def mapper(line, ctx):
    with open(os.path.join(ctx.args["ran"], ctx.task_id), "a") as file:
        file.write(f"{ctx.attempt}\\n")
    while line.startswith("gate") and not os.path.exists(ctx.args["gate"]):
        time.sleep(0.01)
    for word in line.split():
        yield word, 1

def reducer(word, counts):
    yield word, sum(counts)
"""


def mr_command(*arguments: object) -> list[str]:
    """`mr` with these arguments; should it die of a signal, it says where it was."""
    return [sys.executable, "-X", "faulthandler", "-m", "mapreduce_cli", *(str(argument) for argument in arguments)]


def start_mr(*arguments: object, **options: Any) -> subprocess.Popen[Any]:
    """The same, started, where it does not matter that its modules were imported before; `options` are of `Popen`."""
    return Forked(mr_command(*arguments), **options)


def mr(*arguments: object, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; `check` is the exit code it must have."""
    with start_mr(*arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE_S * 2)
        except BaseException:
            process.kill()
            raise
    code = process.returncode
    assert check is None or code == check, f"exit code {code}\n{out}\n{err}"
    return subprocess.CompletedProcess(process.args, code, out, err)


def until(condition: Callable[[], bool], what: str, story: Callable[[], object] = str) -> None:
    """Wait for something outside of this process; `story` says how things stand if it does not come."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited too long for {what}: {story()}"
        time.sleep(0.02)


def parts(folder: Path) -> dict[str, bytes]:
    """The output files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "_SUCCESS"}


def names_below(folder: Path) -> list[str]:
    """Everything in a folder, by relative path."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@dataclass
class GatedJob:
    """A job of eight inputs, one map each, the last of which waits at a gate."""

    folder: Path
    ran: Path = field(init=False)
    gate: Path = field(init=False)
    out: Path = field(init=False)
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ran, self.gate, self.out = self.folder / "ran", self.folder / "gate", self.folder / "out"
        self.ran.mkdir()
        (self.folder / "gated.py").write_text(GATED)
        for index in range(8):
            word = "gate" if index == 7 else "word"
            (self.folder / f"{index}.txt").write_text(f"{word} number {index} of the words\n")

    @property
    def arguments(self) -> list[object]:
        """What goes behind `mr run`."""
        inputs = [f"{index}.txt" for index in range(8)]
        args = ["--arg", f"ran={self.ran}", "--arg", f"gate={self.gate}"]
        sizes = ["--workers", "2", "--reducers", "2", "--split-size", "32"]  # one file fits, two do not
        return ["gated.py", *inputs, "-o", "out", *sizes, *args]

    def start(self, *more: object) -> Running:
        """Start `mr run`, with more options, and return at once."""
        running = Running(self.folder, self.out / "_mapreduce", [*self.arguments, *more])
        self.started.append(running)
        return running

    def end(self) -> None:
        """End what a test has left running."""
        for running in self.started:
            if running.process.poll() is None:
                running.kill_everything()

    def until_only_the_gated_is_left(self, running: Running) -> None:
        """Wait until seven maps are committed and the gated one runs."""
        has_begun = (self.ran / "map-7").exists
        until(lambda: running.committed_maps() == 7 and has_begun(), "seven committed maps", running.story)

    def open_gate(self) -> None:
        self.gate.write_text("open")

    def calls_of_committed(self) -> dict[int, int]:
        """How often the mapper of each of the seven was called."""
        return {index: (self.ran / f"map-{index}").read_text().count("\n") for index in range(7)}

    def reference(self) -> dict[str, bytes]:
        """The parts by the sequential oracle. The gate must be open."""
        scratch = self.folder / "reference-ran"
        scratch.mkdir(exist_ok=True)
        arguments = [str(argument) for argument in self.arguments]
        arguments[arguments.index("out")] = "reference"
        arguments[arguments.index(f"ran={self.ran}")] = f"ran={scratch}"
        mr("run", *arguments, "--sequential", cwd=self.folder)
        return parts(self.folder / "reference")


class Running:
    """A `mr run` that is under way."""

    def __init__(self, cwd: Path, state: Path, arguments: list[object]) -> None:
        self.state = state
        self.process: subprocess.Popen[str] = start_mr(
            "run", *arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def status(self) -> JobStatus | None:
        """The job, asked of its coordinator; None while there is none."""
        client = CoordinatorClient(FolderEndpoint(self.state), deadline_s=5)
        try:
            return client.status(1)[0]
        except MapReduceError:
            assert self.process.poll() is None, self.process.communicate()
            return None
        finally:
            client.close()

    def story(self) -> str:
        """What its log says, for a test that fails."""
        log = mr("wal", "dump", self.state.parent, cwd=self.state.parent, check=None)
        return f"{self.status()}\n{log.stdout}"

    def committed_maps(self) -> int:
        status = self.status()
        return 0 if status is None else status.maps.committed

    def workers(self) -> list[int]:
        """Process ids of its workers and their executors."""
        workers = [
            pid for pid, command in _commands().items() if str(self.state) in command and "--parent-fd" in command
        ]
        return [*workers, *(pid for pid in _commands() if _parent(pid) in workers)]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal and wait; exit code and stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err

    def kill_everything(self) -> None:
        """SIGKILL to the run, its workers and their executors."""
        workers = self.workers()
        self.process.kill()
        for pid in workers:
            _kill(pid)
        self.process.communicate()
        until(lambda: not any(is_alive(pid) for pid in workers), "the end of killed workers")


def is_alive(pid: int) -> bool:
    """It runs; it is no zombie that nobody waits for.

    A killed process is shown as a zombie while other threads of it still end, and hold its files and locks until then.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in {"Z", "X"} or int(fields[17]) > 1  # num_threads of proc_pid_stat(5)


def _commands() -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):  # not of what is in it: any of them may end meanwhile
        try:
            command = (process / "cmdline").read_bytes()
            found[int(process.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
