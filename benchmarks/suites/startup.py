"""Start-up: importing the package, an empty job, and the time until the first record reaches the mapper."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from benchmarks.bench import Bench
from benchmarks.contest import say
from benchmarks.contestants import mr_command, ours
from benchmarks.measure import Measured, run_measured

IMPORT = "import time; start = time.perf_counter(); import mapreduce; print(time.perf_counter() - start)"


def run_startup(bench: Bench) -> dict[str, Any]:
    """Medians in milliseconds, each with its least and greatest."""
    report = {}
    for name, once in (
        ("import_mapreduce_ms", _import_s),
        ("bare_python_ms", _bare_python_s),
        ("mr_version_ms", _version_s),
        ("empty_job_ms", _empty_job_s),
        ("first_task_ms", _first_task_s),
    ):
        values = [once(bench, number) * 1e3 for number in range(bench.rules.runs)]
        report[name] = {
            "median": round(statistics.median(values), 1),
            "min": round(min(values), 1),
            "max": round(max(values), 1),
        }
        say(f"  {name:24} {report[name]['median']:8.1f}")
    return report


def _import_s(bench: Bench, _: int) -> float:
    """Inside a fresh interpreter, its own start not counted."""
    got = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(got.stdout)


def _bare_python_s(bench: Bench, number: int) -> float:
    return _wall_s(bench, [sys.executable, "-c", "pass"], f"python-{number}")


def _version_s(bench: Bench, number: int) -> float:
    return _wall_s(bench, [mr_command(), "--version"], f"version-{number}")


def _empty_job_s(bench: Bench, number: int) -> float:
    empty = bench.rules.work / "empty.txt"
    empty.touch()
    contestant = ours("empty", "word_pairs.py", [empty], workers=bench.workers)
    return _wall_s(bench, contestant.command(bench.rules.work / f"empty-{number}"), f"empty-{number}")


def _first_task_s(bench: Bench, number: int) -> float:
    """From the start of `mr run` to the first record in a mapper, which notes the time: one clock for all processes."""
    text, stamp = bench.rules.work / "line.txt", bench.rules.work / f"stamp-{number}"
    text.write_text("one line\n")
    contestant = ours("first", "first_record.py", [text], workers=bench.workers, options=["--arg", f"stamp={stamp}"])
    command = contestant.command(bench.rules.work / f"first-{number}")
    started_at_s = _run(bench, command, f"first-{number}").started_at_s
    return float(stamp.read_text()) - started_at_s


def _wall_s(bench: Bench, command: list[str], name: str) -> float:
    return _run(bench, command, name).wall_s


def _run(bench: Bench, command: list[str], name: str) -> Measured:
    log = bench.rules.work / f"{name}.log"
    run = run_measured(
        command,
        folder=bench.rules.work,
        environment=bench.rules.environment,
        log=log,
        timeout_s=bench.rules.timeout_s,
    )
    if not run.is_ok:
        raise SystemExit(f"{name}: {run.end}\n{log.read_text(errors='replace')}")
    return run
