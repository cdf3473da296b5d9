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
_KEY_TYPE_CODES = {name: code for code, name in enumerate(KEY_TYPES)} | {"None": KEY_TYPES.index("none")}
"""With the name that workers and logs had for "none" up to release 0.1."""
_HAS_FILE, _IS_SORTED, _IS_COUNTED = 1, 2, 4


class Lease(msgspec.Struct, frozen=True):
    """A live attempt of a leased task."""

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

_COUNTS = ("failed_attempts", "remade", "backed_up")


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
    """The live attempt of each leased task; where it has two, the older one."""
    backups: dict[int, Lease] = field(init=False, default_factory=dict)
    """The younger attempt of each leased task that has two."""
    committed_count: int = field(init=False, default=0)
    failed_attempts: int = field(init=False, default=0)
    remade: int = field(init=False, default=0)
    backed_up: int = field(init=False, default=0)
    """Backup attempts that were granted."""
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

    def live(self, index: int) -> tuple[Lease, ...]:
        """The live attempts of task `index`, the older one first."""
        return tuple(found[index] for found in (self.leases, self.backups) if index in found)

    def lease_of(self, attempt: AttemptId) -> Lease | None:
        """The lease of `attempt`, if it is live."""
        for lease in self.live(attempt.index):
            if (lease.attempt, lease.epoch) == (attempt.attempt, attempt.epoch):
                return lease
        return None

    def begin_lease(self, index: int, lease: Lease) -> None:
        """The pending task `index` was leased, or the leased one for a second time."""
        self.attempt[index] = lease.attempt
        if self.state[index] == TaskState.LEASED:
            self.backups[index] = lease
            self.backed_up += 1
        else:
            self.state[index] = TaskState.LEASED
            self.leases[index] = lease
            self.take(index)

    def end_lease(self, index: int, lease: Lease, after: TaskState) -> None:
        """One attempt of task `index` is over. The task is in state `after`, unless another attempt of it is live."""
        other = self.backups.pop(index, None)
        if other is not None and lease is not other:
            self.leases[index] = other
        elif other is None:
            del self.leases[index]
            self.state[index] = after
            if after is TaskState.PENDING:
                self.give_back(index)

    def attempt_id(self, index: int, lease: Lease) -> AttemptId:
        """The attempt of task `index` that holds `lease`."""
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
        self.out_key_type[index] = _KEY_TYPE_CODES.get(output.key_type, len(KEY_TYPES) - 1)
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

    def has_committed(self, attempt: AttemptId) -> bool:
        """The output of this very attempt is its task's, and was not lost since."""
        index = attempt.index
        if attempt.kind != self.kind or index >= self.count:
            return False
        return self.state[index] == TaskState.COMMITTED and self.output(index).id == attempt

    def was_committed(self, index: int) -> bool:
        """Some attempt of this task was committed once, even if its bytes were lost since."""
        return bool(self.out_flags[index] & _IS_COUNTED)

    def reset(self) -> None:
        """Forget every lease and every commit; attempt numbers stay, so that names are never used twice."""
        self.state = bytearray(self.count)
        self.leases.clear()
        self.backups.clear()
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
        for name in ("leases", "backups"):
            held: dict[int, Lease] = getattr(self, name)
            out[name] = [(i, x.worker, x.attempt, x.epoch, x.row) for i, x in sorted(held.items())]
        for name in _COUNTS:
            out[name] = getattr(self, name)
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
        for name in ("leases", "backups"):
            held = dumped.get(name, [])  # a release before backup attempts wrote none
            assert isinstance(held, list)
            setattr(table, name, {i: Lease(worker, attempt, epoch, row) for i, worker, attempt, epoch, row in held})
        for name in _COUNTS:
            count_so_far = dumped.get(name, 0)
            assert isinstance(count_so_far, int)
            setattr(table, name, count_so_far)
        table.most_lost = max(table.lost, default=0)
        table.rebuild_queue()
        return table


def _as_bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
