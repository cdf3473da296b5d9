"""What to tell of an executor that ended in the middle of an attempt: a `Failure` in words. Reads the record trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from mapreduce import model
from mapreduce.model import MIB
from mapreduce.protocol.messages import Failure
from mapreduce_worker.agent.executors import Ending
from mapreduce_worker.executor.failures import failure, in_users_names

if TYPE_CHECKING:
    from mapreduce_worker.agent.jobs import Prepared

#: How the interpreter begins its last words after a crash in compiled code.
_LAST_WORDS: Final = b"Fatal Python error"
_SHOWN_BYTES: Final = 8_000
_STACK: Final = "Stack (most recent call first):"
_FRAME: Final = '  File "'
#: How lines begin that tell the user nothing: our own frames and those that started us, and a list of all C modules.
_NOT_THE_USERS: Final = (
    f"{_FRAME}{Path(model.__file__).parent}/",
    f"{_FRAME}{Path(__file__).parent.parent}/",
    f"{_FRAME}<frozen runpy>",
    "Extension modules:",
)


def crash(work: Prepared, ending: Ending, log: bytes) -> Failure:
    """The executor died by itself."""
    message = f"The executor {ending} while it ran this attempt."
    if ending.is_vanished:
        message += " The container was probably out of memory: see its limit in workers.podTemplate."
    if ending.is_out_of_memory:
        message += " Raise its limit in workers.podTemplate, or lower workers.slots or workers.memoryBudgetBytes."
    return _ended(work, "memory" if ending.is_out_of_memory else "crash", message, log)


def timed_out(work: Prepared, log: bytes) -> Failure:
    """The attempt ran for too long."""
    limit_s = work.job.definition.spec.task_timeout_seconds
    return _ended(
        work,
        "timeout",
        f"The attempt ran longer than {limit_s} s and was ended. taskTimeoutSeconds sets the limit.",
        log,
    )


def memory_exceeded(work: Prepared, used_bytes: int, limit_bytes: int, *, is_containers: bool = False) -> Failure:
    """The executor outgrew its memory; `is_containers`: the limit is its part of what its container may use."""
    setting = "workers.memoryLimitBytes sets it."
    if is_containers:
        setting = "The memory limit of the executors' container (workers.podTemplate) sets it, shared by its slots."
    return _ended(
        work,
        "memory",
        f"The attempt used {used_bytes // MIB} MiB of memory, the limit is {limit_bytes // MIB} MiB. {setting}",
        b"",
    )


def start_failed(problem: str, said: bytes) -> Failure:
    """Executors do not come up at all."""
    shown = said[-_SHOWN_BYTES:].decode("utf-8", "backslashreplace")
    return failure("system", f"{problem} Several in a row did so: this worker is broken.", trace=shown)


def _ended(work: Prepared, failure_class: str, message: str, log: bytes) -> Failure:
    assignment = work.assignment
    record = _traced(work) if assignment.is_traced else ""
    if not record and assignment.id.kind == "map" and not assignment.is_traced:
        message += " The next attempt notes each record before it runs it, so that the one at fault can be named."
    told = failure(
        failure_class, message, trace=_last_words(log, is_asked_for=failure_class == "timeout"), record=record
    )
    return in_users_names(told, work.job.code_folder, work.job.definition.spec.code)


def _traced(work: Prepared) -> str:
    """The record that the attempt noted last."""
    from mapreduce.dataplane.tracing import read_trace
    from mapreduce_worker.agent.handover import take_trace

    places, attempt = work.job.places, work.assignment.id
    made = places.trace_made(attempt)
    if places.is_separate:
        made = take_trace(made, places.fetched / f"{attempt.stem}.trace")
    return read_trace(made)


def _last_words(log: bytes, *, is_asked_for: bool) -> str:
    """What the interpreter printed when it crashed: the lines of user code that were running.

    `is_asked_for`: the signal was ours, made only so that it says where it is; its name would mislead.
    """
    found = log.rfind(_LAST_WORDS)
    if found < 0:
        return ""
    lines = log[found : found + _SHOWN_BYTES].decode("utf-8", "backslashreplace").rstrip().split("\n")
    if is_asked_for and _STACK in lines:
        lines = lines[lines.index(_STACK) :]
    users = [line for line in lines if not line.startswith(_NOT_THE_USERS)]
    return "\n".join(users if any(line.startswith(_FRAME) for line in users) else lines).rstrip()
