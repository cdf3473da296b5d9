"""Who takes part: command lines of this project's `mr` and of the peers, and why one cannot run here."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contest import Contestant
from benchmarks.corpora import Corpus
from benchmarks.measure import Process
from benchmarks.peers.install import environment_python

HERE = Path(__file__).resolve().parent
JOBS = HERE / "jobs"
PEERS = HERE / "peers"

WORD_COUNT_PEERS = ("py-mp-2", "mrjob-local", "spark-rdd")
TASK_PEERS = ("dask-noop",)
ALL_PEERS = WORD_COUNT_PEERS + TASK_PEERS

_NEEDS = {"py-mp-2": (), "mrjob-local": ("mrjob",), "spark-rdd": ("pyspark",), "dask-noop": ("distributed",)}
_SCRIPTS = {
    "py-mp-2": "multiprocessing_counter.py",
    "mrjob-local": "mrjob_word_count.py",
    "spark-rdd": "spark_word_count.py",
    "dask-noop": "dask_no_op_tasks.py",
}


def mr_command() -> str:
    """The installed command line, beside the Python that runs this."""
    command = Path(sys.executable).with_name("mr")
    if not command.exists():
        raise SystemExit(f"{command} does not exist: run `make setup`, then this with .venv/bin/python")
    return str(command)


def ours(
    name: str, job: str, files: Sequence[Path], *, workers: int, options: Sequence[str] = (), is_grouped: bool = False
) -> Contestant:
    """`mr run` of a job of `benchmarks/jobs`; `is_grouped` takes memory for each worker and the coordinator."""

    def command(output: Path) -> list[str]:
        inputs = [str(path) for path in files]
        return [mr_command(), "run", str(JOBS / job), *inputs, "-o", str(output / "out"), *options, *_workers(workers)]

    return Contestant(name, command, is_ours=True, grouping=coordinator_and_workers if is_grouped else None)


def word_count_peer(name: str, corpus: Corpus) -> Contestant:
    """A peer that counts the words of `corpus`."""
    return _peer(name, [str(path) for path in corpus.files])


def task_peer(name: str, count: int) -> Contestant:
    """A peer that runs `count` tasks which do nothing."""
    return _peer(name, [str(count)])


def coordinator_and_workers(living: Mapping[int, Process]) -> dict[int, str]:
    """Groups of a run of ours: the coordinator's process, and each agent with the executors it started."""
    agents = {pid: agent for pid, process in living.items() if (agent := _agent_above(process, living)) is not None}
    numbers = {agent: number for number, agent in enumerate(sorted(set(agents.values())), start=1)}
    groups = {pid: f"worker-{numbers[agent]}" for pid, agent in agents.items()}
    coordinators = {pid for pid, process in living.items() if pid not in groups and " run " in process.command}
    return groups | dict.fromkeys(coordinators, "coordinator")


def _agent_above(process: Process, living: Mapping[int, Process]) -> int | None:
    current: Process | None = process
    agent = None
    while current is not None:
        if "mapreduce_worker" in current.command:
            agent = current.pid  # the outermost one: executors are its children
        current = living.get(current.parent)
    return agent


def _workers(count: int) -> list[str]:
    return ["--workers", str(count)]


def _peer(name: str, arguments: list[str]) -> Contestant:
    def command(output: Path) -> list[str]:
        return [_python_of(name), str(PEERS / _SCRIPTS[name]), str(output), *arguments]

    return Contestant(name, command, missing=_missing(name))


def _python_of(name: str) -> str:
    return str(environment_python()) if _NEEDS[name] else sys.executable


@functools.cache
def _missing(name: str) -> str:
    if not _NEEDS[name]:
        return ""
    if not environment_python().exists():
        return "peers are not installed: make bench-peers"
    if name == "spark-rdd" and shutil.which("java") is None:
        return "Spark needs a Java runtime on PATH"
    imports = "; ".join(f"import {module}" for module in _NEEDS[name])
    probe = subprocess.run([environment_python(), "-c", imports], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else (probe.stderr.strip().splitlines() or ["cannot be imported"])[-1]
