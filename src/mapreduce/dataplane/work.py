"""What a task is given, and the few facts of its surroundings that the data plane relies on, as Protocols.

`maptask` and `reducetask` carry these out. The user's functions, their context and the blocks of records are made
elsewhere (`mapreduce.userjob`, `mapreduce.api`, `dataplane.readers`); here is only what is used of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.tracing import RecordTrace
from mapreduce.model import Input, OutputFormat
from mapreduce.protocol.messages import Split


class TaskContext(Protocol):
    """What the user's functions see as ``ctx``; one object for a whole attempt."""

    counters: dict[str, int]
    input_file: str
    partition: int | None


class JobFunctions(Protocol):
    """The user's functions and how to call them (`mapreduce.userjob.UserJob`)."""

    @property
    def mapper(self) -> Callable[..., Any]:
        """Called for each record, or once with an iterator over the split's records."""

    @property
    def mapper_arity(self) -> Literal[1, 2]:
        """1: the record; 2: its key, then the record."""

    @property
    def mapper_wants_ctx(self) -> bool:
        """Whether `ctx` is passed by keyword."""

    @property
    def mapper_per(self) -> Literal["record", "split"]:
        """Whether the mapper is called once a record or once a split."""

    @property
    def reducer(self) -> Callable[..., Any] | None:
        """The user's reducer; None when a named one is used, or none."""

    @property
    def reducer_wants_ctx(self) -> bool:
        """Whether `ctx` is passed by keyword."""

    @property
    def named_reducer(self) -> str | None:
        """``sum``, ``count``, ``mean``, ``min``, ``max``, ``list`` or ``identity``."""

    @property
    def combiner(self) -> Callable[..., Any] | None:
        """Called like a reducer, on a part of a key's values; it keeps the key."""

    @property
    def combiner_wants_ctx(self) -> bool:
        """Whether `ctx` is passed by keyword."""

    @property
    def types(self) -> Mapping[str, type]:
        """``module:qualname`` of the job's own dataclasses and Structs."""


class RecordBlock(Protocol):
    """About 1 MiB of consecutive records of one file; its borders are a function of the input alone."""

    @property
    def records(self) -> list[Any]:
        """The records, in order."""

    @property
    def path(self) -> str:
        """The file they come from."""

    def keys(self) -> Sequence[Any]:
        """The records' keys, for mappers that take two arguments."""

    def place(self, index: int) -> str:
        """Where a record lies, for people: ``path, byte 1234: 'its start'``."""


class MapWork(msgspec.Struct, frozen=True):
    """One attempt at a map task."""

    job: JobFunctions
    context: TaskContext
    split: Split
    input: Input
    map_index: int
    partitions: int
    """R; 0 for a map-only job."""
    budget_bytes: int
    """Memory for grouping. Spill points depend on it, so a re-made map must use the same."""
    target: Path
    """The run file, or the output file of a map-only job; scratch files lie beside it and never remain."""
    output_format: OutputFormat
    header: RunHeader
    trace: RecordTrace | None = None
    """Where to write each record's place before it is mapped; slower, for the retry after an unexplained death."""
    input_paths: Sequence[str] = ()
    """Local copies of the split's files, one for each; empty: they lie at their paths. Records never show them."""


class RunSource(msgspec.Struct, frozen=True):
    """One map task's committed run, as a local file."""

    map_index: int
    path: Path
    digest: int
    """As logged by the coordinator; checked against the run's own index."""
    name: str
    """How errors call it."""


class ReduceWork(msgspec.Struct, frozen=True):
    """One attempt at a reduce task."""

    job: JobFunctions
    context: TaskContext
    partition: int
    sources: Sequence[RunSource]
    """In any order; values reach the reducer by map index."""
    budget_bytes: int
    target: Path
    """The output file."""
    output_format: OutputFormat
    scratch: Path
    """An existing folder for merge passes; nothing remains in it."""
