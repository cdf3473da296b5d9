"""From an exception in an executor to the `Failure` that the user will read. Pure.

Deaths of the process itself are described by the agent, who sees them.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

import msgspec

from mapreduce.errors import CorruptRun, InvalidJobSpec, InvalidUserCode, MapReduceError, TaskFailed
from mapreduce.model import Code
from mapreduce.protocol.messages import AttemptId, Failure, FailureClass, LostRun

_CLASSES: Final[frozenset[str]] = frozenset(get_args(FailureClass))
MAX_MESSAGE: Final = 8_000
MAX_TRACEBACK: Final = 60_000
MAX_RECORD: Final = 4_000


def failure_of(error: BaseException, runs: Mapping[str, AttemptId]) -> Failure:
    """The failure that `error` means. `runs` are the runs that the attempt reads, by the name errors call them."""
    match error:
        case TaskFailed():
            return failure(error.failure_class, str(error), trace=error.traceback, record=error.record)
        case CorruptRun():
            return _lost_run(error, runs)
        case InvalidUserCode() | InvalidJobSpec():
            return failure("user", str(error), trace=getattr(error, "traceback", ""))
        case SystemExit():
            return failure("user", f"The job's code called sys.exit({error.code!r}).", trace=_trace(error))
        case MemoryError():
            return failure("memory", "There was no memory left for the task.", trace=_trace(error))
        case OSError():
            problem = f"The worker's disk failed: {error}."
            return failure("system", problem, trace=_trace(error))
        case MapReduceError():
            return failure("system", str(error), trace=_trace(error))
        case KeyboardInterrupt() | GeneratorExit():
            return failure("user", f"The job's code raised {type(error).__name__}.", trace=_trace(error))
        case _:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            return failure("system", f"The worker failed at this task: {what}.", trace=_trace(error))


def failure(failure_class: str, message: str, *, trace: str = "", record: str = "") -> Failure:
    """A failure whose texts fit the protocol's bounds and can be encoded, whatever they contain."""
    known = failure_class if failure_class in _CLASSES else "system"
    return Failure(
        failure_class=known,  # type: ignore[arg-type]  # checked above
        message=_fit(message, MAX_MESSAGE),
        traceback=_fit_end(trace, MAX_TRACEBACK),
        record=_fit(record, MAX_RECORD),
    )


def in_users_names(told: Failure, code_folder: Path, code: Code) -> Failure:
    """The failure with the user's files called as the user calls them, not by where this worker unpacked them."""

    def renamed(text: str) -> str:
        if code.volume_path is not None:
            text = text.replace(f"{code_folder}/job/{Path(code.volume_path).name}", code.volume_path)
        return text.replace(f"{code_folder}/job/", "").replace(f"{code_folder}/lib/", "")

    return msgspec.structs.replace(told, message=renamed(told.message), traceback=renamed(told.traceback))


def _lost_run(error: CorruptRun, runs: Mapping[str, AttemptId]) -> Failure:
    found = failure("run-lost", str(error))
    lost = runs.get(error.name)
    if lost is None:
        return failure("system", f"A run that is none of this task's cannot be read: {error}", trace=_trace(error))
    return Failure(
        failure_class="run-lost",
        message=found.message,
        lost_runs=(LostRun(map=lost, problem=_fit(error.problem, 1_000)),),
    )


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _fit(text: str, limit: int) -> str:
    """The beginning of a text. Characters that UTF-8 does not have (undecodable input bytes) are written as escapes."""
    clean = text[:limit].encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def _fit_end(text: str, limit: int) -> str:
    """The end of a text: the last frames of a traceback say most."""
    clean = text[-limit:].encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= limit else "..." + clean[3 - limit :]
