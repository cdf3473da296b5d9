"""Every error that a caller may see, as one small tree named by cause.

Each carries its facts as attributes, its message ends with what to do, and `exit_code` says how the command line
ends: 1 the job failed, 2 the request was wrong, 3 something needed could not be reached. What belongs to the protocol
(a refused commit, a stale call) is a reply, not an error of this module.
"""

from __future__ import annotations


class MapReduceError(Exception):
    """Base of all errors of this project; never raised itself."""

    exit_code = 1


class UsageError(MapReduceError):
    """The request cannot be carried out as it was made; nothing was started and nothing was lost."""

    exit_code = 2


class InvalidJobSpec(UsageError):
    """A field of a job's specification is misspelt, missing, or out of range."""

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        super().__init__(f"{field}: {problem}" + (f" {fix}" if fix else ""))
        self.field, self.problem, self.fix = field, problem, fix


class InvalidUserCode(UsageError):
    """The job's Python file cannot be imported, or has no mapper, or one of a shape that cannot be called."""


class InvalidInput(UsageError):
    """An input does not exist, is not readable, is no regular file, or is a folder without files."""

    def __init__(self, uri: str, problem: str, fix: str = "") -> None:
        super().__init__(f"input {uri}: {problem}" + (f" {fix}" if fix else ""))
        self.uri, self.problem = uri, problem


class OutputRefused(UsageError):
    """The output folder holds a finished or a foreign result, or another run is using it."""

    def __init__(self, folder: str, problem: str, fix: str = "") -> None:
        super().__init__(f"output {folder}: {problem}" + (f" {fix}" if fix else ""))
        self.folder, self.problem = folder, problem


class Unreachable(MapReduceError):
    """No coordinator answers at the given address."""

    exit_code = 3


class Unauthorized(MapReduceError):
    """The coordinator refuses the token, or the token's role does not allow the call."""

    exit_code = 3


class JobFailed(MapReduceError):
    """A job ended without output; `reason` is one CamelCase word, the message carries traceback and record."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StorageFailed(MapReduceError):
    """A write, fsync, close or rename that the job's durability depends on failed; the process must end."""


class PlanLost(MapReduceError):
    """A job's plan is gone from the state folder, or is not what was planned; the job cannot go on without it."""

    def __init__(self, job: int, problem: str) -> None:
        super().__init__(f"the plan of job {job} {problem}; submit the job again")
        self.job, self.problem = job, problem


class CorruptRun(MapReduceError):
    """A run file (or a block in it) is missing, cut or altered; the map that made it may have to be made again."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"run {name}: {problem}")
        self.name, self.problem = name, problem


class WALCorrupt(MapReduceError):
    """A record that was durable is damaged or gone: rot, not a crash. The log must be rebuilt from verified outputs."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"log {place}: {problem} Keep the file; `mr wal verify` explains it.")
        self.place, self.problem = place, problem


class WALForeign(MapReduceError):
    """A valid log of another store lies in the folder, or one of a version that this release cannot read."""


class Fenced(MapReduceError):
    """A newer incarnation of the coordinator has claimed the log; this one ends without another word."""


class TaskFailed(MapReduceError):
    """What went wrong inside one attempt, classified; raised in executors and carried to the coordinator as data."""

    def __init__(self, failure_class: str, message: str, *, traceback: str = "", record: str = "") -> None:
        super().__init__(message)
        self.failure_class, self.traceback, self.record = failure_class, traceback, record


class IllegalTransition(MapReduceError):
    """A bug: an event that the state machine's table does not allow; carries the object's story."""


class InvalidRequest(MapReduceError):
    """A request body does not decode to the message it should be."""
