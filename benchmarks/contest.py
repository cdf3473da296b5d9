"""A contest: several ways to do the same work, run in turn (A B A B ...), with medians and ratios.

Running in turn spreads a slow spell of the machine over all contestants. A ratio is taken within each round and its
median reported: 1.5 means that the first did in the same time one and a half times the work of the second.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Grouping, Measured, run_measured

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work."""

    name: str
    command: Callable[[Path], list[str]]
    """From an empty folder, in which the result shall be, to the command line."""
    is_ours: bool = False
    missing: str = ""
    """Why this contestant cannot run here; empty: it can."""
    grouping: Grouping | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How a contest is run."""

    runs: int
    """Rounds."""
    timeout_s: float
    """Of one run."""
    budget_s: float
    """No further run of a contestant that has already taken this long in total."""
    work: Path
    """Folder for results and temporary files, in the file system that is to be measured."""
    environment: Mapping[str, str]


@dataclass(slots=True)
class Score:
    """All runs of one contestant, by round."""

    runs: dict[int, Measured] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    """Facts read from the output of each run."""
    step_s: dict[str, float] = field(default_factory=dict)

    @property
    def spent_s(self) -> float:
        return sum(run.wall_s for run in self.runs.values())

    @property
    def has_failed(self) -> bool:
        return any(not run.is_ok for run in self.runs.values())


def hold_contest(
    rules: Rules,
    contestants: Sequence[Contestant],
    *,
    input_bytes: int,
    read_output: Callable[[Path], dict[str, Any]],
) -> dict[str, Any]:
    """Runs all contestants that can run, round by round; returns a JSON-ready report."""
    present = [contestant for contestant in contestants if not contestant.missing]
    scores = {contestant.name: Score() for contestant in present}
    for round_index in range(rules.runs):
        for contestant in present:
            score = scores[contestant.name]
            if not score.has_failed and score.spent_s < rules.budget_s:
                _run_once(rules, contestant, score, round_index, read_output)
    results = [result for score in scores.values() for result in score.results]
    return {
        "input_mib": round(input_bytes / MIB, 2),
        "contestants": {name: _summary(score, input_bytes) for name, score in scores.items()},
        "ratios": _ratios(present, scores),
        "results_agree": all(result == results[0] for result in results),
        "skipped": {contestant.name: contestant.missing for contestant in contestants if contestant.missing},
    }


def ratio(first: Mapping[int, Measured], second: Mapping[int, Measured]) -> dict[str, float]:
    """How many times faster `first` was than `second`, over the rounds that both finished; empty without any."""
    rounds = [index for index in first if index in second and first[index].is_ok and second[index].is_ok]
    if not rounds:
        return {}
    values = [second[index].wall_s / first[index].wall_s for index in rounds]
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def say(line: str) -> None:
    """Progress, for people: to stderr, because stdout is the report."""
    print(line, file=sys.stderr, flush=True)


def _run_once(
    rules: Rules,
    contestant: Contestant,
    score: Score,
    round_index: int,
    read_output: Callable[[Path], dict[str, Any]],
) -> None:
    output, scratch = rules.work / "output", rules.work / "scratch"
    for folder in (output, scratch):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    log = rules.work / f"{contestant.name}.log"
    run = run_measured(
        contestant.command(output),
        folder=scratch,
        environment={**rules.environment, "TMPDIR": str(scratch)},
        log=log,
        timeout_s=rules.timeout_s,
        grouping=contestant.grouping,
    )
    score.runs[round_index] = run
    say(f"  {contestant.name:24} {run.wall_s:8.2f} s  {run.peak_pss_bytes / MIB:7.0f} MiB  {run.end}")
    if not run.is_ok:
        say(log.read_text(errors="replace")[-2_000:])
        return
    score.results.append(read_output(output))
    success = next(output.rglob("_SUCCESS"), None) if contestant.is_ours else None
    if success is not None:
        score.step_s = json.loads(success.read_text()).get("step_s", {})


def _summary(score: Score, input_bytes: int) -> dict[str, Any]:
    runs = list(score.runs.values())
    wall_s = statistics.median(run.wall_s for run in runs)
    summary: dict[str, Any] = {
        "runs": len(runs),
        "end": runs[-1].end,
        "wall_s": round(wall_s, 3),
        "wall_min_s": round(min(run.wall_s for run in runs), 3),
        "wall_max_s": round(max(run.wall_s for run in runs), 3),
        "mib_per_s": round(input_bytes / MIB / wall_s, 2),
        "cpu_s": round(statistics.median(run.cpu_s for run in runs), 2),
        "peak_pss_mib": round(max(run.peak_pss_bytes for run in runs) / MIB, 1),
    }
    if score.results and score.results[0]:
        summary["result"] = score.results[0]
    groups = sorted({group for run in runs for group in run.groups})
    if groups:
        summary["peak_pss_mib_of"] = {
            group: round(max(run.groups.get(group, 0) for run in runs) / MIB, 1) for group in groups
        }
    if score.step_s:
        summary["step_s"] = {step: round(took_s, 3) for step, took_s in sorted(score.step_s.items())}
    return summary


def _ratios(contestants: Sequence[Contestant], scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Each contestant of ours to every other contestant that comes after it."""
    ratios = {}
    for index, first in enumerate(contestants):
        for second in contestants[index + 1 :]:
            if first.is_ours:
                ratios[f"{first.name} / {second.name}"] = ratio(scores[first.name].runs, scores[second.name].runs)
    return ratios
