"""All tasks of one phase of one job, as columns: about 60 bytes a task, so that a million fit. Pure.

Knows what a task is and which are pending; not when or why anything happens to it (`evolve`, `machine`).
"""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field

import msgspec

from mapreduce.protocol.messages import AttemptId, TaskKind
from mapreduce.scheduling.transitions import TaskState

KEY_TYPES = ("", "none", "bool", "int", "float", "str", "bytes", "tuple", "mixed")
_HAS_FILE, _IS_SORTED, _IS_COUNTED = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Lease:
    """The live attempt of a leased task."""

    worker: str
    attempt: int
    epoch: int
    row: int
    """Row of the attempt in the job's `AttemptLog`."""


class Output(msgspec.Struct, frozen=True):
    """The committed output of one task."""

    id: AttemptId
    has_file: bool
    bytes: int
    records: int
    digest: int
    key_type: str
    is_sorted: bool


_COLUMNS: tuple[tuple[str, str], ...] = (
    ("attempt", "H"),  # the highest attempt number given out
    ("charged", "B"),  # failed attempts that count against maxAttempts
    ("lost", "H"),  # attempts lost with their worker, and losses of a committed output
    ("budget_shift", "B"),  # how often the memory budget was halved
    ("suspect", "B"),  # 1: the last attempt died without a word, so the next one is traced
    ("out_attempt", "H"),
    ("out_epoch", "I"),
    ("out_worker", "I"),
    ("out_bytes", "Q"),
    ("out_records", "Q"),
    ("out_digest", "Q"),
    ("out_flags", "B"),
    ("out_key_type", "B"),
)


@dataclass(slots=True)
class TaskTable:
    """Columns of all tasks of one kind. Index i is task `kind-i`."""

    job: int
    kind: TaskKind
    count: int
    state: bytearray = field(init=False)
    attempt: array[int] = field(init=False)
    charged: array[int] = field(init=False)
    lost: array[int] = field(init=False)
    budget_shift: array[int] = field(init=False)
    suspect: array[int] = field(init=False)
    out_attempt: array[int] = field(init=False)
    out_epoch: array[int] = field(init=False)
    out_worker: array[int] = field(init=False)
    out_bytes: array[int] = field(init=False)
    out_records: array[int] = field(init=False)
    out_digest: array[int] = field(init=False)
    out_flags: array[int] = field(init=False)
    out_key_type: array[int] = field(init=False)
    leases: dict[int, Lease] = field(init=False, default_factory=dict)
    committed_count: int = field(init=False, default=0)
    failed_attempts: int = field(init=False, default=0)
    remade: int = field(init=False, default=0)
    most_lost: int = field(init=False, default=0)
    """The highest of `lost`."""
    _fresh: int = field(init=False, default=0)  # all tasks from here on are pending and were never leased
    _returned: list[int] = field(init=False, default_factory=list)  # heap of pending tasks below `_fresh`

    def __post_init__(self) -> None:
        self.state = bytearray(self.count)
        for name, code in _COLUMNS:
            setattr(self, name, array(code, bytes(array(code).itemsize * self.count)))

    @property
    def pending_count(self) -> int:
        """Tasks that wait for a worker."""
        return self.count - self._fresh + len(self._returned)

    @property
    def is_complete(self) -> bool:
        """Every task is committed."""
        return self.committed_count == self.count

    def peek_pending(self, limit: int) -> list[int]:
        """The next `limit` pending tasks: those that came back first, in order of index. Takes nothing."""
        back = heapq.nsmallest(limit, self._returned) if self._returned else []
        room = limit - len(back)
        return back + list(range(self._fresh, min(self._fresh + room, self.count))) if room > 0 else back

    def take(self, index: int) -> None:
        """The pending task `index` was leased."""
        if index == self._fresh:
            self._fresh += 1
        elif index > self._fresh:
            for skipped in range(self._fresh, index):
                heapq.heappush(self._returned, skipped)
            self._fresh = index + 1
        elif self._returned and self._returned[0] == index:
            heapq.heappop(self._returned)
        else:
            self._returned.remove(index)
            heapq.heapify(self._returned)

    def give_back(self, index: int) -> None:
        """The task `index` is pending again."""
        heapq.heappush(self._returned, index)

    def count_loss(self, index: int) -> None:
        """The task lost its worker, or its output."""
        self.lost[index] = min(self.lost[index] + 1, 65_535)
        self.most_lost = max(self.most_lost, self.lost[index])

    def attempt_id(self, index: int, lease: Lease) -> AttemptId:
        """The live attempt of task `index`."""
        return AttemptId(job=self.job, kind=self.kind, index=index, attempt=lease.attempt, epoch=lease.epoch)

    def store_output(self, index: int, output: Output, worker_number: int) -> bool:
        """Keeps what was committed; True when this task's counters have not been counted before."""
        is_first = not self.out_flags[index] & _IS_COUNTED
        self.out_attempt[index] = output.id.attempt
        self.out_epoch[index] = output.id.epoch
        self.out_worker[index] = worker_number
        self.out_bytes[index] = output.bytes
        self.out_records[index] = output.records
        self.out_digest[index] = output.digest
        self.out_flags[index] = (
            _IS_COUNTED | (_HAS_FILE if output.has_file else 0) | (_IS_SORTED if output.is_sorted else 0)
        )
        self.out_key_type[index] = (
            KEY_TYPES.index(output.key_type) if output.key_type in KEY_TYPES else len(KEY_TYPES) - 1
        )
        return is_first

    def output(self, index: int) -> Output:
        """What was committed last for task `index`, whether or not its bytes are still there."""
        flags = self.out_flags[index]
        return Output(
            id=AttemptId(
                job=self.job,
                kind=self.kind,
                index=index,
                attempt=self.out_attempt[index],
                epoch=self.out_epoch[index],
            ),
            has_file=bool(flags & _HAS_FILE),
            bytes=self.out_bytes[index],
            records=self.out_records[index],
            digest=self.out_digest[index],
            key_type=KEY_TYPES[self.out_key_type[index]],
            is_sorted=bool(flags & _IS_SORTED),
        )

    def was_committed(self, index: int) -> bool:
        """Some attempt of this task was committed once, even if its bytes were lost since."""
        return bool(self.out_flags[index] & _IS_COUNTED)

    def reset(self) -> None:
        """Forget every lease and every commit; attempt numbers stay, so that names are never used twice."""
        self.state = bytearray(self.count)
        self.leases.clear()
        self.committed_count = 0
        self._fresh, self._returned = 0, []

    def rebuild_queue(self) -> None:
        """Recompute what is pending from the states (after a snapshot was loaded)."""
        fresh = self.count
        while fresh and self.state[fresh - 1] == TaskState.PENDING and not self.attempt[fresh - 1]:
            fresh -= 1
        self._fresh = fresh
        self._returned = [i for i in range(fresh) if self.state[i] == TaskState.PENDING]  # ascending is a heap
        self.committed_count = self.state.count(TaskState.COMMITTED)

    def dump(self) -> dict[str, object]:
        """The table as plain values for a snapshot."""
        out: dict[str, object] = {name: getattr(self, name).tobytes() for name, _ in _COLUMNS}
        out["state"] = bytes(self.state)
        out["leases"] = [(i, x.worker, x.attempt, x.epoch, x.row) for i, x in sorted(self.leases.items())]
        out["failed_attempts"], out["remade"] = self.failed_attempts, self.remade
        return out

    @classmethod
    def load(cls, job: int, kind: TaskKind, count: int, dumped: dict[str, object]) -> TaskTable:
        """The inverse of `dump`."""
        table = cls(job, kind, count)
        for name, code in _COLUMNS:
            column = array(code)
            column.frombytes(_as_bytes(dumped[name]))
            setattr(table, name, column)
        table.state = bytearray(_as_bytes(dumped["state"]))
        leases = dumped["leases"]
        assert isinstance(leases, list)
        table.leases = {i: Lease(worker, attempt, epoch, row) for i, worker, attempt, epoch, row in leases}
        failed, remade = dumped["failed_attempts"], dumped["remade"]
        assert isinstance(failed, int)
        assert isinstance(remade, int)
        table.failed_attempts, table.remade = failed, remade
        table.most_lost = max(table.lost, default=0)
        table.rebuild_queue()
        return table


def _as_bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


class AttemptEnd:
    """How an attempt ended, as one byte in the `AttemptLog`."""

    RUNNING = 0
    COMMITTED = 1
    FAILED = 2
    RELEASED = 3
    LOST = 4


#: Attempts that `AttemptLog.end_of` looks at, at most.
_LOOK_BACK_ROWS = 10_000

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
