"""What messages are about: attempts, splits, and what became of an attempt. Types only, pure.

Everything here is reached through `messages`, which adds the calls.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

TaskKind = Literal["map", "reduce"]

Index = Annotated[int, Meta(ge=0, le=100_000_000)]
Attempt = Annotated[int, Meta(ge=1, le=65_535)]
Epoch = Annotated[int, Meta(ge=1, le=1 << 53)]
JobId = Annotated[int, Meta(ge=1, le=1 << 53)]
#: An unsigned 64-bit digest (xxh3).
Digest64 = Annotated[int, Meta(ge=0)]  # msgspec bounds stop at 2**63; the decoder refuses what is beyond 64 bits itself
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
WorkerName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]


_STEM: Final = re.compile(r"(map|reduce)-([0-9]{5,9})\.e([0-9]{1,16})\.a([0-9]{1,5})")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Common settings of all messages. Unknown fields are ignored: a newer peer may send more."""


class AttemptId(Message, frozen=True, array_like=False):
    """One numbered try at a task. `epoch` is that of the coordinator which granted it, and part of its identity."""

    job: JobId
    kind: TaskKind
    index: Index
    attempt: Attempt
    epoch: Epoch

    @property
    def task(self) -> str:
        """The task's name as people write it, `map-3`."""
        return f"{self.kind}-{self.index}"

    @property
    def stem(self) -> str:
        """The base of every file name that belongs to this attempt; unique for ever within its job."""
        return f"{self.kind}-{self.index:05d}.e{self.epoch}.a{self.attempt}"

    @classmethod
    def of_stem(cls, job: int, stem: str) -> AttemptId | None:
        """The attempt of `job` with this stem, or None for a text that is no attempt's stem."""
        match = _STEM.fullmatch(stem)
        if match is None:
            return None
        kind: TaskKind = "map" if match[1] == "map" else "reduce"
        found = cls(job=job, kind=kind, index=int(match[2]), epoch=int(match[3]), attempt=int(match[4]))
        return found if found.stem == stem else None

    def __str__(self) -> str:
        return f"{self.kind}-{self.index}/attempt-{self.attempt}"


class FileRange(Message, frozen=True):
    """The records of one file that *start* in `start <= offset < end`; `end` is the file's size at the last range.

    A compressed file is one range over its compressed bytes.
    """

    path: Annotated[str, Meta(min_length=1, max_length=4_096)]
    start: Count
    end: Count
    size: Count
    """Size of the whole file in bytes when the job was planned, to notice one that changed."""
    mtime_ns: int = 0
    """Modification time when the job was planned."""
    validator: Annotated[str, Meta(max_length=1_024)] = ""
    """Of a `path` that is a URL: its strong ETag or Last-Modified when the job was planned, as for `If-Range`."""


class Split(Message, frozen=True):
    """The input of one map task: ranges of files that all belong to one entry of `spec.inputs`."""

    input: Annotated[int, Meta(ge=0, le=10_000)]
    files: tuple[FileRange, ...]

    @property
    def bytes(self) -> int:
        """Bytes of input in this split, compressed where the file is."""
        return sum(part.end - part.start for part in self.files)


# ---------------------------------------------------------------------------------------------- what an attempt made


class PartitionSize(Message, frozen=True, array_like=True):
    """What one map attempt made for one partition; partitions without records are left out."""

    partition: Index
    bytes: Count
    records: Count


class TaskOutput(Message, frozen=True):
    """The result of one successful attempt, as committed."""

    bytes: Count = 0
    """Size of the run or output file; 0 with `has_file` False: nothing was written and no file exists."""
    records: Count = 0
    """Records in the file: groups for a run, lines for an output."""
    digest: Digest64 = 0
    """Map: xxh3-64 over the logical content of the run (see `dataplane.runs`). Output: xxh3-64 of the file's bytes."""
    has_file: bool = False
    partitions: tuple[PartitionSize, ...] = ()
    input_records: Count = 0
    input_bytes: Count = 0
    counters: dict[str, int] = {}
    key_type: str = ""
    """Output only: the one type of all keys ("str", "int", ...), "mixed", or "" without records."""
    is_sorted: bool = False
    """Output only: keys are in ascending order."""
    step_s: dict[str, float] = {}
    """Seconds by step (read, map, spill, merge, reduce, write, ...), for benchmarks and the page."""
    warnings: dict[str, int] = {}
    """Counts of things worth a line in the summary, such as `text_separator_in_key`."""


FailureClass = Literal[
    "user", "memory", "timeout", "crash", "lost", "disruption", "input", "unstorable", "run-lost", "system"
]
"""Why an attempt ended without a result.

user: the functions raised, or misused the interface. memory, timeout: the executor was ended for it. crash: the
executor died by itself (segfault, exit). lost: its worker fell silent. disruption: its worker was told to go. input:
an input is unreadable or changed. unstorable: a key or value has no storable type. run-lost: a map's output could not
be read. system: the worker's own disk or network failed. `input` and `unstorable` fail the job at once; `lost` and
`system` have a cap of their own; `disruption` and `run-lost` count against nothing. A `run-lost` of runs that are whole
for all that is known is kept as `system`.
"""


class LostRun(Message, frozen=True):
    """One run that a reducer could not read."""

    map: AttemptId
    problem: Annotated[str, Meta(max_length=1_000)]


class Failure(Message, frozen=True):
    """Why an attempt failed, in a form that reaches the user."""

    failure_class: FailureClass
    message: Annotated[str, Meta(max_length=8_192)]
    traceback: Annotated[str, Meta(max_length=65_536)] = ""
    """From the first frame of the user's code."""
    record: Annotated[str, Meta(max_length=4_096)] = ""
    """Where the record at fault lies: `path, byte 1234: <start of the record>`."""
    lost_runs: Annotated[tuple[LostRun, ...], Meta(max_length=1_000)] = ()
