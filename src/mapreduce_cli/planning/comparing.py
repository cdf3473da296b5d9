"""A finished run beside what was predicted for it: from its `_SUCCESS`, and from its log what only that knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapreduce.bundle import Bundle
from mapreduce.coordinator.offline import read_state
from mapreduce.coordinator.store import Store
from mapreduce.errors import UsageError
from mapreduce.local.paths import OutputPaths
from mapreduce.local.preparing import PreparedJob
from mapreduce.local.success import no_result
from mapreduce.scheduling.state import Job
from mapreduce.units import format_count, format_duration, format_size
from mapreduce_cli.planning.predicting import Prediction


@dataclass(frozen=True, slots=True)
class Happened:
    """A run that is over."""

    job: PreparedJob
    slots: int
    success: dict[str, Any]
    run_bytes: int


def what_happened(folder: Path) -> Happened:
    """The finished run in an output folder. Raises UsageError."""
    paths = OutputPaths(folder.absolute())
    try:
        success = json.loads(paths.success.read_bytes())
    except (OSError, ValueError):
        raise no_result(folder) from None
    state = read_state(paths.state).state
    job = state.jobs.get(success.get("job", 0))
    code = Store(paths.state).code(job.code) if job is not None else None
    if job is None or code is None:
        raise UsageError(f"{folder}: the log and the code of the run are gone, so nothing can be predicted for it")
    return Happened(
        job=PreparedJob(job.name, job.spec, Bundle(code, job.code)),
        slots=_slots(state.worker_slots, job),
        success=success,
        run_bytes=sum(job.maps.output(index).bytes for index in range(job.maps.count)) if job.reduces.count else 0,
    )


def comparison(prediction: Prediction, happened: Happened) -> list[tuple[str, str, str, str]]:
    """Rows of what, predicted, happened, and how far they are apart."""
    success = happened.success
    took_s = success["finishedAt"] - success["startedAt"]
    output = success["output"]
    return [
        _row("maps", prediction.maps, success["maps"], format_count),
        _row("reduces", prediction.reduces, success["reduces"], format_count),
        _row("runs", prediction.run_bytes, happened.run_bytes, format_size),
        _row("output", prediction.output_bytes, output["bytes"], format_size),
        _row("output records", prediction.output_records, output["records"], format_count),
        _row("time of tasks", prediction.maps_s + prediction.reduces_s, took_s, format_duration),
    ]


def _row(what: str, predicted: Any, happened: Any, shown: Any) -> tuple[str, str, str, str]:
    apart = f"{(predicted - happened) / happened:+.0%}" if happened else ("" if not predicted else "-")
    return what, shown(predicted), shown(happened), apart


def _slots(by_worker: dict[int, int], job: Job) -> int:
    """Slots of the workers that committed any of the job's maps: those that came later replaced others."""
    used = {worker for worker in job.worker_step_s if worker in by_worker} or set(by_worker)
    return max(1, sum(by_worker[worker] for worker in used)) if used else job.spec.workers.replicas
