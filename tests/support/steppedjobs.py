"""A job that a test can hold at any step: its tasks tell where they are and wait at gates; all of it in one folder.

Gates are FIFOs, so that nobody sleeps: a task that comes to one waits in `open` until the test opens it. Starting and
killing processes is `killing`, judging what they leave behind is `aftermath`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from mapreduce.wal.explain import dump
from mapreduce.wal.files import LocalFiles
from mapreduce_cli.commands.wal import render
from tests.support.mrruns import mr, parts, until

MAPS: Final = 6
REDUCES: Final = 2
#: One of the inputs fits, two do not.
SPLIT_BYTES: Final = 500

#: Values are joined in the order in which they come: a value that is lost, doubled or out of place changes a part.
STEPPED: Final = """
import os

_begun = set()

def note(ctx, place):
    stem = f"{ctx.task_id}@{place}"
    with open(os.path.join(ctx.args["seen"], f"{stem}.a{ctx.attempt}.{os.getpid()}"), "x"):
        pass
    try:
        with open(os.path.join(ctx.args["gates"], stem)) as gate:
            gate.read()
    except FileNotFoundError:
        pass

def said(ctx):
    try:
        with open(os.path.join(ctx.args["gates"], f"say-{ctx.task_id}.a{ctx.attempt}")) as words:
            return words.read()
    except FileNotFoundError:
        return ""

def mapper(line, ctx):
    if line.startswith("@"):
        note(ctx, line[1:])
        line = said(ctx) if line == "@end" else ""
    for token in line.split():
        word, _, value = token.partition("=")
        yield word, value

def reducer(word, values, ctx):
    if (ctx.task_id, ctx.attempt) not in _begun:
        _begun.add((ctx.task_id, ctx.attempt))
        note(ctx, "begin")
    yield word, " ".join(values)
"""


def text_of(index: int) -> str:
    """The input of one map: it notes where it begins and ends, and says words in between."""
    lines = [
        " ".join(f"w{(index + line * place) % 17}={index}.{line}.{place}" for place in range(5)) for line in range(8)
    ]
    return "\n".join(["@begin", *lines, "@end", ""])


@dataclass(frozen=True)
class SteppedJob:
    """Six maps and two reduces. Short paths: a socket's may not be long."""

    root: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Everything that was started here, to be waited for at the end."""

    def __post_init__(self) -> None:
        for folder in (self.seen, self.gates, self.temporary, self.runtime, self.logs, self.inputs):
            folder.mkdir()
        (self.root / "stepped.py").write_text(STEPPED)
        for index in range(MAPS):
            (self.inputs / f"{index}.txt").write_text(text_of(index))

    @property
    def seen(self) -> Path:
        """Where tasks note that they came to a place."""
        return self.root / "seen"

    @property
    def gates(self) -> Path:
        return self.root / "gates"

    @property
    def inputs(self) -> Path:
        return self.root / "in"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def temporary(self) -> Path:
        """TMPDIR of every process: what is in it at the end was left behind."""
        return self.root / "t"

    @property
    def runtime(self) -> Path:
        return self.root / "r"

    @property
    def logs(self) -> Path:
        """What the processes print."""
        return self.root / "l"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self.temporary), "XDG_RUNTIME_DIR": str(self.runtime)}

    def arguments(self, output: str = "out") -> list[object]:
        """The job, as `mr run` and `mr submit` take it."""
        names = [f"in/{index}.txt" for index in range(MAPS)]
        args = ["--arg", f"seen={self.seen}", "--arg", f"gates={self.gates}"]
        return ["stepped.py", *names, "-o", output, "--reducers", REDUCES, "--split-size", SPLIT_BYTES, *args]

    def close_gate(self, task: str, place: str = "begin") -> None:
        """From now on every attempt of the task waits there."""
        os.mkfifo(self.gates / f"{task}@{place}")

    def open_gate(self, task: str, place: str = "begin") -> None:
        """Let pass who waits and who comes later. Nobody need wait there."""
        gate = self.gates / f"{task}@{place}"
        with contextlib.suppress(FileNotFoundError):
            # opened to read as well, so that this never waits; whoever waits sees an end of file at the close
            descriptor = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
            gate.unlink()
            os.close(descriptor)

    def open_gates(self) -> None:
        for gate in self.gates.glob("*@*"):
            self.open_gate(*gate.name.split("@"))

    def let_say(self, task: str, attempt: int, words: str) -> None:
        """Have one attempt of a map emit more than the others would."""
        (self.gates / f"say-{task}.a{attempt}").write_text(words)

    def visits(self, task: str, place: str = "begin", attempt: int | None = None) -> int:
        """How many attempts of a task came to a place."""
        return len(list(self.seen.glob(f"{task}@{place}.a{'*' if attempt is None else attempt}.*")))

    def begun(self) -> Counter[str]:
        """How often each task was begun."""
        return Counter(path.name.split("@")[0] for path in self.seen.glob("*@begin.*"))

    def until_at(self, task: str, place: str = "begin", *, attempt: int | None = None, but: int = 0) -> None:
        """Wait until an attempt has come to a place, `but` earlier visits apart."""
        until(lambda: self.visits(task, place, attempt) > but, f"{task} at {place}", self.story)

    def story(self) -> str:
        """All that the processes have printed, and what the log tells, for a test that fails."""
        paths = [*sorted(self.logs.iterdir()), *sorted(self.root.glob("*/_mapreduce/workers/*.log"))]
        pieces = [f"== {path.name}\n{path.read_text(errors='replace')}" for path in paths]
        for folder in (self.out / "_mapreduce", self.root / "state"):
            if (folder / "log").is_dir():
                pieces += dump(LocalFiles(), str(folder / "log"), lambda payload: render(payload, full=False))
        return "\n".join([*pieces, f"seen: {sorted(path.name for path in self.seen.iterdir())}"])


@contextlib.contextmanager
def stepped_job() -> Iterator[SteppedJob]:
    """A job in a folder of its own; afterwards no process of the folder is left, and it is gone."""
    from tests.support.killing import kill_all

    root = Path(tempfile.mkdtemp(prefix="mrf-"))
    job = SteppedJob(root)
    try:
        yield job
    finally:
        kill_all(root)
        for process in job.started:
            process.wait()
        shutil.rmtree(root, ignore_errors=True)


@cache
def oracle_parts() -> dict[str, bytes]:
    """The parts of the stepped job by the sequential reference."""
    with stepped_job() as job:
        mr("run", *job.arguments(), "--sequential", cwd=job.root)
        found = parts(job.out)
    assert sorted(found) == ["part-00000", "part-00001"]
    return found


def poll(condition: Callable[[], bool], *, while_true: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Look as often as possible until the condition holds (True) or something else no longer does (False)."""
    end_s = time.monotonic() + within_s
    while not condition():
        if not while_true():
            return condition()
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.001)
    return True
