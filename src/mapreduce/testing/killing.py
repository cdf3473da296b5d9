"""`kill_anything`: a user's own job run here while its processes are killed, and the result compared.

Which process is killed after how much progress is drawn from a seed. Progress is what the write-ahead log has grown by,
so that kills fall between commits of slow and of quick jobs alike.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from mapreduce.errors import UsageError
from mapreduce.model import InputFormat, JobSpec
from mapreduce.testing import processes
from mapreduce.testing.asserting import assert_same_output
from mapreduce.testing.jobs import Asked, JobLike, Tested, spec_of, tested_job
from mapreduce.testing.outcomes import Outcome, read_outcome
from mapreduce.testing.recordfiles import Records
from mapreduce.testing.request import Request
from mapreduce.testing.running import run_tested
from mapreduce.userjob import Names

Victim = Literal["executor", "worker", "coordinator"]

_NO_ARGS: Mapping[str, object] = {}
_VICTIMS: Final[tuple[Victim, ...]] = ("executor", "worker", "coordinator")
_MARKS: Final[dict[Victim, str]] = {"executor": "mapreduce_worker.executor", "worker": "-m mapreduce_worker "}
_LOOK_EVERY_S: Final = 0.01
#: A kill comes after so many steps of the log at most.
_MOST_STEPS: Final = 7
#: A job that does not get on (a long task) is killed all the same after so long.
_STILL_S: Final = 2.0
#: A worker that dies right after its start too often makes a run give up, rightly; so do not kill more of them.
_WORKERS_PER_LIFE: Final = 2
#: Deaths that a test causes are not the job's own.
_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class KillReport:
    """What was killed, and what came of it: `outcome` equals that of the sequential reference."""

    seed: int
    outcome: Outcome
    kills: list[str] = field(default_factory=list)
    """In order, such as `worker 4711 after 3 steps`."""
    starts: int = 1
    """How often the run was started: once, and once after each death of the coordinator before all was published."""


def kill_anything(
    job: JobLike,
    records: Records,
    *,
    seed: int = 0,
    kills: int = 5,
    workers: int = 2,
    reducers: int | None = 2,
    splits: int = 8,
    args: Mapping[str, object] = _NO_ARGS,
    format: InputFormat | None = None,  # noqa: A002 - the option's name everywhere else
    mapper: str | None = None,
    reducer: str | None = None,
    combiner: str | None = None,
    deadline_s: float = 120.0,
    folder: Path | None = None,
) -> KillReport:
    """Run a job with real workers, kill its processes at points drawn from `seed`, and compare with the reference.

    The job must be written in a file, for workers import it. A run may end before all kills are done; more `splits` or
    records make it longer. Raises AssertionError when a record differs from the reference, when the job fails, or when
    it is not done by the deadline.
    """
    __tracebackhide__ = True
    tested = tested_job(job, Names(mapper, reducer, combiner))
    asked = Asked(
        args=args,
        format=format,
        output_format="jsonl",
        reducers=reducers if tested.description.reducer is not None else 0,
        splits=splits,
        max_attempts=_ATTEMPTS,
        max_lost_attempts=_ATTEMPTS,
    )
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="mapreduce-kill-") as temporary:
            return _run(tested, records, Path(temporary), asked, _Plan(seed, kills, workers, deadline_s))
    return _run(tested, records, folder, asked, _Plan(seed, kills, workers, deadline_s))


@dataclass(frozen=True, slots=True)
class _Plan:
    seed: int
    kills: int
    workers: int
    deadline_s: float


def _run(tested: Tested, records: Records, folder: Path, asked: Asked, plan: _Plan) -> KillReport:
    __tracebackhide__ = True
    folder = folder.resolve()
    spec = spec_of(tested, records, folder, asked)
    output = msgspec.structs.replace(spec.output, uri=str(folder / "reference"))
    reference = run_tested(tested, msgspec.structs.replace(spec, output=output), "oracle")
    harassed = _Harassed(tested, spec, folder, plan)
    harassed.run()
    if plan.kills and not harassed.kills:  # a quick job on a quick machine: again, and strike at its first sign of life
        shutil.rmtree(spec.output.uri)
        harassed = _Harassed(tested, spec, folder, plan, most_steps=1)
        harassed.run()
    if plan.kills and not harassed.kills:
        raise AssertionError("the job was done before anything could be killed; give it more records, or splits")
    outcome = read_outcome(Path(spec.output.uri))
    try:
        assert_same_output(outcome, reference)
    except AssertionError as error:
        raise AssertionError(
            f"{error}\n(the first is the run with kills, the second the reference)\n{harassed.story()}"
        ) from None
    return KillReport(plan.seed, outcome, harassed.kills, harassed.starts)


class _Harassed:
    """One job that is killed and started again until it is done."""

    def __init__(
        self, tested: Tested, spec: JobSpec, folder: Path, plan: _Plan, *, most_steps: int = _MOST_STEPS
    ) -> None:
        self._state = Path(spec.output.uri) / "_mapreduce"
        self._request, self._log = folder / "request.json", folder / "run.log"
        request = Request(name=tested.name, spec=spec, source=str(tested.source), workers=plan.workers)
        self._request.write_bytes(msgspec.json.encode(request))
        self._plan = plan
        self._most_steps = most_steps
        self._rng = random.Random(plan.seed)  # noqa: S311 - the same kills for the same seed
        self._until_s = time.monotonic() + plan.deadline_s
        self._workers_killed = 0
        self.kills: list[str] = []
        self.starts = 0

    def run(self) -> None:
        """Until the job is done. Raises AssertionError."""
        process = self._start()
        try:
            while len(self.kills) < self._plan.kills and self._waited(process):
                if self._kill_one(process) == "coordinator":
                    process.wait()
                    if self._is_done():
                        return
                    process = self._start()
            self._see_through(process)
        finally:
            if process.poll() is None:
                for child in [*processes.below(process.pid)]:
                    processes.kill(child.pid)
                process.kill()
                process.wait()

    def story(self) -> str:
        """What was done to it, for a test that fails."""
        said = self._log.read_text(errors="replace")[-2_000:].strip() if self._log.exists() else ""
        done = "; ".join(self.kills) or "nothing yet"
        return f"seed {self._plan.seed}, killed: {done}" + (f"\nit said:\n{said}" if said else "")

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        self._workers_killed = 0
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
                [sys.executable, "-m", "mapreduce.testing.hosted", str(self._request)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._request.parent,
            )

    def _waited(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the job has got on by some steps; whether it still runs."""
        steps, seen = self._rng.randint(1, self._most_steps), self._log_bytes()
        still_since_s = time.monotonic()
        self._steps = 0
        while process.poll() is None and self._steps < steps:
            self._check_deadline()
            time.sleep(_LOOK_EVERY_S)
            now = self._log_bytes()
            if now != seen:
                seen, still_since_s = now, time.monotonic()
                self._steps += 1
            elif seen and time.monotonic() - still_since_s > _STILL_S:
                break
        return process.poll() is None

    def _kill_one(self, process: subprocess.Popen[bytes]) -> Victim | None:
        victim = self._rng.choice(_VICTIMS)
        if victim == "coordinator" or (victim == "worker" and self._workers_killed >= _WORKERS_PER_LIFE):
            victim, pids = "coordinator", [process.pid]
        else:
            pids = sorted(it.pid for it in processes.below(process.pid) if _MARKS[victim] in it.command)
        if not pids:
            return None
        pid = self._rng.choice(pids)
        if not processes.kill(pid):
            return None
        self._workers_killed += victim == "worker"
        self.kills.append(f"{victim} {pid} after {self._steps} steps")
        return victim

    def _see_through(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(max(0.1, self._until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._check_deadline(is_over=True)
            raise
        if code == 2:
            raise UsageError(f"the job cannot be run: {self.story()}")
        if code:
            raise AssertionError(f"the job failed although only its processes were killed\n{self.story()}")

    def _check_deadline(self, *, is_over: bool = False) -> None:
        if is_over or time.monotonic() > self._until_s:
            raise AssertionError(f"the job is not done after {self._plan.deadline_s:.0f} s\n{self.story()}")

    def _is_done(self) -> bool:
        """Whether the result is published: killed after that, a run has nothing to go on with, and refuses to."""
        return (self._state.parent / "_SUCCESS").exists()

    def _log_bytes(self) -> int:
        """The size of the write-ahead log."""
        total = 0
        for path in self._state.glob("log/*.wal"):
            try:
                total += path.stat().st_size
            except OSError:
                continue
        return total
