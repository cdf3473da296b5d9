"""Every attempt of a job that ever was, as columns: who ran it, from when to when, and how it ended. Pure.

For the page, the report and traces, and to answer a call that is repeated. What is live is in `tasks`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from mapreduce.protocol.messages import AttemptId, TaskKind


class AttemptEnd:
    """How an attempt ended, as one byte in the `AttemptLog`."""

    RUNNING = 0
    COMMITTED = 1
    FAILED = 2
    RELEASED = 3
    LOST = 4


#: Attempts that `AttemptLog.end_of` looks at, at most.
_LOOK_BACK_ROWS = 10_000

#: Durations that `AttemptLog.newest_durations_s` gives, at most: a running mean forgets older ones.
_DURATIONS = 20

_LOG_COLUMNS = (
    ("kind", "B"),
    ("index", "I"),
    ("number", "H"),
    ("worker", "I"),
    ("start_at", "d"),
    ("end_at", "d"),
    ("end", "B"),
    ("run_s", "f"),
)


@dataclass(slots=True)
class AttemptLog:
    """Every attempt of a job in order of its grant, as columns: 32 bytes each. For the page and the report."""

    kind: array[int] = field(default_factory=lambda: array("B"))
    index: array[int] = field(default_factory=lambda: array("I"))
    number: array[int] = field(default_factory=lambda: array("H"))
    worker: array[int] = field(default_factory=lambda: array("I"))
    start_at: array[float] = field(default_factory=lambda: array("d"))
    end_at: array[float] = field(default_factory=lambda: array("d"))
    end: array[int] = field(default_factory=lambda: array("B"))
    run_s: array[float] = field(default_factory=lambda: array("f"))
    """Seconds that the attempt itself took, as its worker measured them; 0 while it runs, or when nobody knows."""
    ended: list[int] | None = field(default=None, compare=False)
    """Rows that ended since a follower last took this list; None while nobody follows. No part of the state."""

    def begin(self, kind: TaskKind, index: int, number: int, worker: int, at: float) -> int:
        """Adds a running attempt; returns its row."""
        self.kind.append(0 if kind == "map" else 1)
        self.index.append(index)
        self.number.append(number)
        self.worker.append(worker)
        self.start_at.append(at)
        self.end_at.append(0.0)
        self.end.append(AttemptEnd.RUNNING)
        self.run_s.append(0.0)
        return len(self.kind) - 1

    def end_of(self, attempt: AttemptId, worker: int) -> int | None:
        """How `attempt` of `worker` ended, if it is one of the newest: who asks repeats a call he has just made."""
        kind = 0 if attempt.kind == "map" else 1
        for row in range(len(self.kind) - 1, max(-1, len(self.kind) - 1 - _LOOK_BACK_ROWS), -1):
            if (self.index[row], self.number[row], self.kind[row]) == (attempt.index, attempt.attempt, kind):
                return self.end[row] if self.worker[row] == worker else None
        return None

    def newest_durations_s(self, kind: TaskKind) -> list[float]:
        """Seconds that the newest committed attempts of one kind took, in order of their grant."""
        number, found = 0 if kind == "map" else 1, []
        for row in range(len(self.kind) - 1, -1, -1):
            if self.kind[row] == number and self.end[row] == AttemptEnd.COMMITTED:
                found.append(self.run_s[row])
                if len(found) == _DURATIONS:
                    break
        return found[::-1]

    def finish(self, row: int, end: int, at: float, run_s: float = 0.0) -> None:
        """The attempt in `row` ended."""
        self.end_at[row] = at
        self.end[row] = end
        self.run_s[row] = run_s
        if self.ended is not None:
            self.ended.append(row)

    def copy(self) -> AttemptLog:
        """The log as it is now, for somebody who reads it while this one goes on."""
        made = AttemptLog()
        for name, _ in _LOG_COLUMNS:
            setattr(made, name, getattr(self, name)[:])
        return made

    def dump(self) -> dict[str, bytes]:
        """The log as plain values for a snapshot."""
        return {name: getattr(self, name).tobytes() for name, _ in _LOG_COLUMNS}

    @classmethod
    def load(cls, dumped: dict[str, bytes]) -> AttemptLog:
        """The inverse of `dump`."""
        log = cls()
        for name, _ in _LOG_COLUMNS:
            getattr(log, name).frombytes(dumped.get(name, b""))
        log.run_s.extend(0.0 for _ in range(len(log.kind) - len(log.run_s)))  # written before there was this column
        return log
