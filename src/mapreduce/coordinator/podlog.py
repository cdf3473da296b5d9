"""What a coordinator in a pod prints: one line for each thing that happens, as text or as JSON.

Records become sentences here; how often and when is the host's.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Literal

import msgspec

from mapreduce.scheduling import records as r

LogFormat = Literal["text", "json"]
_MOST_NAMES = 8


def set_up(kind: LogFormat) -> None:
    """Print all log lines of this process to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines() if kind == "json" else _TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def describe(record: r.AnyRecord) -> str:
    """A record as a sentence; empty for one that is not worth a line."""
    match record:
        case r.EpochStarted():
            return f"Epoch {record.epoch} begins."
        case r.JobSubmitted():
            return f"Job {record.job} '{record.name}' is submitted."
        case r.JobPlanned():
            tasks = f"{record.maps} maps and {record.partitions} reduces"
            return f"Job {record.job} is planned: {tasks} for {record.input_bytes} bytes of input."
        case r.WorkerRegistered():
            return f"Worker {record.worker} joins with {record.slots} slots."
        case r.WorkerLeft():
            return f"Worker {record.worker} is gone."
        case r.TasksCommitted():
            return f"{_names([commit.id.task for commit in record.commits])} committed by {record.worker}."
        case r.AttemptFailed():
            failure = record.failure
            return f"{record.id} failed on {record.worker} ({failure.failure_class}): {_first_line(failure.message)}"
        case r.LeasesReleased() if record.ids:
            why = record.why.name.lower().replace("_", " ")
            return f"Leases of {record.worker} end ({why}): {_names([str(lease) for lease in record.ids])}."
        case r.OutputLost():
            tasks = _names([f"{record.kind}-{index}" for index in record.indexes])
            return f"Output of {tasks} is lost and made again: {_first_line(record.problem)}"
        case r.MapsCompleted():
            return f"All maps of job {record.job} are committed."
        case r.JobCommitting():
            return f"All outputs of job {record.job} are committed and get their names."
        case r.JobFinished():
            message = f": {_first_line(record.message)}" if record.message else "."
            return f"Job {record.job} is {record.state}{message}"
        case r.JobRebuilt():
            kept = f"{len(record.maps)} maps and {len(record.reduces)} reduces"
            return f"The log was damaged; of job {record.job} {kept} were verified and are kept."
        case _:
            return ""


def level_of(record: r.AnyRecord) -> int:
    """How loud its line is."""
    if isinstance(record, r.AttemptFailed | r.OutputLost | r.JobRebuilt):
        return logging.WARNING
    is_failure = isinstance(record, r.JobFinished) and record.state == "Failed"
    return logging.ERROR if is_failure else logging.INFO


def _names(names: list[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} more"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:500]


class _TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO message`."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonLines(logging.Formatter):
    """One JSON object a line; `event` names the record that it is about."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if event := getattr(record, "event", ""):
            line["event"] = event
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _time(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
