"""The oracle: the same job done the plainest possible way, in one process and in memory, to compare the engine with.

Deliberately separate from the engine. It shares with it the job's types, the plan of splits (which names the parts of a
map-only job), and what defines equality, order, partitions, what functions may return, storable values and output
lines; reading, mapping, grouping, named reducers and writing are its own. Combiners are ignored: they must not change
a result.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mapreduce.api import Context
from mapreduce.coordinator.statefiles import replace_file
from mapreduce.dataplane import checking, keys, outputs, partitioning, values
from mapreduce.dataplane.blame import Misuse, failure_of, shown
from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.inlineinputs import with_files
from mapreduce.model import Input, JobSpec, reducer_count
from mapreduce.protocol.messages import Split
from mapreduce.userjob import UserJob
from mapreduce.wal.files import make_folder, sync_folder

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

_BOM: Final = b"\xef\xbb\xbf"

#: Offset in the file, key for two-argument mappers, value.
_Record = tuple[int, Any, Any]


def run_sequential(spec: JobSpec, job: UserJob, output: Path) -> dict[str, int]:
    """Run the job and write its parts and a minimal `_SUCCESS` into `output`; the counters.

    Raises what the user's functions raise, `InvalidInput`, and `UnstorableValue`.
    """
    with tempfile.TemporaryDirectory(prefix="mapreduce-") as folder:
        return _run(spec, with_files(spec, Path(folder)), job, output)


def _run(spec: JobSpec, with_paths: JobSpec, job: UserJob, output: Path) -> dict[str, int]:
    files = [list_input(source) for source in with_paths.inputs]
    input_bytes = sum(file.bytes for listed in files for file in listed)
    splits = list(plan_inputs(spec, files))
    partitions = reducer_count(spec, input_bytes)
    counters: dict[str, int] = {}
    emitted = [list(_map(spec, job, index, split, counters)) for index, split in enumerate(splits)]
    if partitions == 0:
        parts = emitted
    else:
        groups = _group(job, (pair for pairs in emitted for pair in pairs), partitions)
        parts = [list(_reduce(spec, job, index, group, counters)) for index, group in enumerate(groups)]
    _write(spec, parts, counters, output)
    return counters


# ------------------------------------------------------------------------------------------------------------------ map


def _map(spec: JobSpec, job: UserJob, index: int, split: Split, counters: dict[str, int]) -> Iterator[tuple[Any, Any]]:
    context = Context(job_name=job.name, task_id=f"map-{index}", args=spec.args)
    context.counters = counters
    mapper = partial(job.mapper, ctx=context) if job.mapper_wants_ctx else job.mapper
    records = _records_of(split, spec.inputs[split.input], context)
    try:
        for emitted in _call_mapper(job, mapper, records):
            yield (emitted, 1) if job.named_reducer == "count" else checking.as_pair(emitted)
    except Misuse as error:
        raise failure_of(error, "the mapper", context.input_file) from error


def _call_mapper(job: UserJob, mapper: Callable[..., Any], records: Iterator[_Record]) -> Iterator[Any]:
    members_of = partial(checking.members_of, is_count=job.named_reducer == "count")
    if job.mapper_per == "split":
        yield from members_of(mapper((key, value) if job.mapper_arity == 2 else value for _, key, value in records))
        return
    for _, key, value in records:
        yield from members_of(mapper(key, value) if job.mapper_arity == 2 else mapper(value))


def _records_of(split: Split, source: Input, context: Context) -> Iterator[_Record]:
    for part in split.files:
        context.input_file = part.path
        for record in _read(part.path, source):
            if source.format == "files" or part.start <= record[0] < part.end or part.path.endswith((".gz", ".zst")):
                yield record


# ----------------------------------------------------------------------------------------------------------------- read


def _content(path: str) -> bytes:
    if not path.startswith(("http://", "https://")):
        return Path(path).read_bytes()
    with urllib.request.urlopen(path) as answer:  # noqa: S310 - the scheme was looked at
        content: bytes = answer.read()
    return content


def _read(path: str, source: Input) -> Iterator[_Record]:
    data = _content(path)
    if path.endswith(".gz"):
        data = gzip.decompress(data)
    elif path.endswith(".zst"):
        data = zstd.decompress(data)
    if source.format == "files":
        content = data if source.encoding == "bytes" else _decode(data.removeprefix(_BOM))
        yield 0, path, content
    elif source.format == "csv":
        yield from _rows(data)
    else:
        for offset, line in _lines(data, keep_bom=source.encoding == "bytes" and source.format == "lines"):
            if source.format == "lines":
                yield offset, offset, line if source.encoding == "bytes" else _decode(line)
            elif line.strip(b" \t\r"):
                yield offset, offset, json.loads(_decode(line))


def _lines(data: bytes, *, keep_bom: bool) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for line in io.BytesIO(data):  # ends lines at \n only, unlike text files and str.splitlines
        content = line.removesuffix(b"\n").removesuffix(b"\r")
        if offset == 0 and not keep_bom and line.startswith(_BOM):
            content = content.removeprefix(_BOM)
            if line == _BOM:
                return
        yield offset, content
        offset += len(line)


def _rows(data: bytes) -> Iterator[_Record]:
    csv.field_size_limit(len(data) + 1)
    position = len(_BOM) if data.startswith(_BOM) else 0
    is_at_end = False

    def lines() -> Iterator[str]:
        nonlocal position, is_at_end
        for line in io.StringIO(_decode(data[position:]), newline=""):
            position += len(line.encode("utf-8", "surrogateescape"))
            yield line
        is_at_end = True

    rows = csv.reader(lines())
    while True:
        start = position
        row = next(rows, None)
        if row is None:
            return
        if is_at_end:  # it took the end of the file for the end of a quoted field
            raise csv.Error(f"byte {start}: a quote is never closed")
        if row:
            yield start, start, row


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# --------------------------------------------------------------------------------------------------------------- reduce


def _group(job: UserJob, pairs: Iterable[tuple[Any, Any]], partitions: int) -> list[list[tuple[Any, list[Any]]]]:
    """The groups of each partition in order of keys; a group is named by its first key, its values come as emitted."""
    groups: dict[bytes, tuple[Any, list[Any]]] = {}
    for key, value in pairs:
        group = groups.setdefault(keys.canonical_bytes(key), (keys.intern_nans(key), []))
        group[1].append(values.normalise(value, job.types))
    parts: list[list[tuple[Any, list[Any]]]] = [[] for _ in range(partitions)]
    for group in groups.values():
        parts[partitioning.partition_of(group[0], partitions)].append(group)
    return [sorted(part, key=lambda group: keys.sort_key(group[0])) for part in parts]


def _reduce(
    spec: JobSpec, job: UserJob, index: int, groups: list[tuple[Any, list[Any]]], counters: dict[str, int]
) -> Iterator[tuple[Any, Any]]:
    context = Context(job_name=job.name, task_id=f"reduce-{index}", args=spec.args, partition=index)
    context.counters = counters
    for key, members in groups:
        if job.named_reducer == "identity":
            yield from ((key, member) for member in members)
        elif job.reducer is None:
            yield key, _fold(job.named_reducer or "", members)
        else:
            reducer = partial(job.reducer, ctx=context) if job.reducer_wants_ctx else job.reducer
            try:
                yield from map(checking.as_pair, checking.members_of(reducer(key, iter(members))))
            except Misuse as error:
                raise failure_of(error, "the reducer", f"partition {index}, key {shown(key)}") from error


def _fold(name: str, members: list[Any]) -> Any:
    match name:
        case "count":
            return len(members)
        case "list":
            return members
        case "min":
            return min(members)
        case "max":
            return max(members)
        case "sum":
            return _total(members, 1) if float in map(type, members) else sum(members)
        case "mean":
            return _total(members, len(members))
        case _:
            raise AssertionError(f"no named reducer {name}")


def _total(members: list[Any], divisor: int) -> float:
    """The exact sum divided by `divisor`, rounded once."""
    special = [member for member in members if isinstance(member, float) and not math.isfinite(member)]
    if special:
        return sum(special)
    exact = sum(map(Fraction, members), Fraction()) / divisor
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


# ---------------------------------------------------------------------------------------------------------------- write


def _write(spec: JobSpec, parts: list[list[tuple[Any, Any]]], counters: dict[str, int], output: Path) -> None:
    """One file for each part that has records, then the marker: whole, and never there without one of the parts."""
    make_folder(output)
    facts: dict[str, dict[str, int]] = {}
    for index, pairs in enumerate(parts):
        if pairs:
            name = spec.output.name_template.format(partition=index)
            lines = [outputs.format_record(key, value, spec.output.format) for key, value in pairs]
            facts[name] = {"bytes": _write_durably(output / name, b"".join(lines)), "records": len(lines)}
    success = {
        "format": 1,
        "output": {"format": spec.output.format},
        "counters": dict(sorted(counters.items())),
        "parts": facts,
    }
    sync_folder(output)
    replace_file(output / "_SUCCESS", (json.dumps(success, indent=1) + "\n").encode())


def _write_durably(path: Path, content: bytes) -> int:
    with path.open("wb") as file:
        size = file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return size
