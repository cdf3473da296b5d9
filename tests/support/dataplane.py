"""Whole map and reduce tasks in one process, over records given as lists, and a naive oracle to compare them with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from mapreduce.api import Context
from mapreduce.dataplane.keys import intern_nans, sort_key
from mapreduce.dataplane.maptask import run_map
from mapreduce.dataplane.partitioning import partition_of
from mapreduce.dataplane.recordformats import format_record
from mapreduce.dataplane.reducetask import run_reduce
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.tracing import RecordTrace
from mapreduce.dataplane.work import MapWork, RecordBlock, ReduceWork, RunSource
from mapreduce.model import Input, OutputFormat
from mapreduce.protocol.messages import Split, TaskOutput
from mapreduce.userjob import UserJob

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ListBlock:
    """A block of records that never were in a file."""

    records: list[Any]
    path: str = "memory"

    def keys(self) -> Sequence[Any]:
        return range(len(self.records))

    def place(self, index: int) -> str:
        return f"{self.path}, record {index}: {self.records[index]!r}"


def emit(record: Any) -> Any:
    """A mapper for records that are what they emit already."""
    return record


def make_job(
    mapper: Callable[..., Any] = emit,
    *,
    arity: Literal[1, 2] = 1,
    named: str | None = None,
    reducer: Callable[..., Any] | None = None,
    combiner: Callable[..., Any] | None = None,
    per: Literal["record", "split"] = "record",
    wants_ctx: bool = False,
    types: Mapping[str, type] | None = None,
) -> UserJob:
    return UserJob("test", mapper, arity, wants_ctx, per, reducer, False, named, combiner, False, types or {})


@dataclass
class Tasks:
    """Runs the tasks of one job in a folder."""

    folder: Path
    job: UserJob
    partitions: int = 3
    budget_bytes: int = 256 * MIB
    output_format: OutputFormat = "jsonl"
    context: Context = field(default_factory=Context)

    def map(self, index: int, blocks: Sequence[Sequence[Any]], trace: RecordTrace | None = None) -> TaskOutput:
        def read(_: MapWork) -> Iterator[RecordBlock]:
            return (ListBlock(list(records), f"block{number}") for number, records in enumerate(blocks))

        work = MapWork(
            self.job,
            self.context,
            Split(input=0, files=()),
            Input(uri="memory"),
            index,
            self.partitions,
            self.budget_bytes,
            self.run_path(index),
            self.output_format,
            RunHeader(job=1, index=index, attempt=1, epoch=1),
            trace,
        )
        return run_map(work, read=read)

    def reduce(self, partition: int, sources: Sequence[RunSource]) -> TaskOutput:
        return run_reduce(
            ReduceWork(
                self.job,
                self.context,
                partition,
                sources,
                self.budget_bytes,
                self.part_path(partition),
                self.output_format,
                self.folder,
            )
        )

    def run_path(self, index: int) -> Path:
        return self.folder / f"map-{index}.run"

    def part_path(self, partition: int) -> Path:
        return self.folder / f"part-{partition}"

    def source(self, index: int, output: TaskOutput) -> RunSource:
        return RunSource(index, self.run_path(index), output.digest, f"map-{index}")

    def run(self, splits: Sequence[Sequence[Sequence[Any]]]) -> list[bytes]:
        """The parts that these splits (lists of blocks of records) make."""
        made = [self.map(index, blocks) for index, blocks in enumerate(splits)]
        sources = [self.source(index, output) for index, output in enumerate(made) if output.has_file]
        reduced = [self.reduce(partition, sources) for partition in range(self.partitions)]
        parts = [self.part_path(p).read_bytes() if output.has_file else b"" for p, output in enumerate(reduced)]
        for path in self.folder.iterdir():
            path.unlink()
        return parts


def oracle(
    pairs: Iterable[tuple[Any, Any]],
    reduce: Callable[[Any, list[Any]], Iterable[tuple[Any, Any]]],
    partitions: int,
    output_format: OutputFormat = "jsonl",
) -> list[bytes]:
    """What a job must write for pairs in order of map index and emission."""
    grouped: dict[Any, tuple[Any, list[Any]]] = {}
    for emitted, value in pairs:
        key = intern_nans(emitted)
        grouped.setdefault(sort_key(key), (key, []))[1].append(value)
    parts = [b""] * partitions
    for _, (key, values) in sorted(grouped.items(), key=_rank):
        lines = b"".join(format_record(*pair, output_format) for pair in reduce(key, values))
        parts[partition_of(key, partitions)] += lines
    return parts


def _rank(item: tuple[Any, Any]) -> Any:
    return item[0]


def exact_total(values: Sequence[int | float]) -> int | float:
    """The correctly rounded sum of finite numbers, by rational arithmetic."""
    total = sum(map(Fraction, values), Fraction(0))
    return float(total) if any(type(value) is float for value in values) else int(total)


ORACLES: dict[str, Callable[[Any, list[Any]], list[tuple[Any, Any]]]] = {
    "sum": lambda key, values: [(key, exact_total(values))],
    "mean": lambda key, values: [(key, float(sum(map(Fraction, values), Fraction(0)) / len(values)))],
    "min": lambda key, values: [(key, min(values, key=sort_key))],
    "max": lambda key, values: [(key, max(values, key=sort_key))],
    "list": lambda key, values: [(key, values)],
    "identity": lambda key, values: [(key, value) for value in values],
}
"""What the named reducers must make of all values of a key."""
