"""Reading a finished output folder: its parts in order, as one stream, merged by key, or ranked by value.

What `_SUCCESS` says of each part (type of its keys, whether they ascend) decides whether a merge is possible; it is
never guessed from the lines. How a record is written is `dataplane.recordformats`.
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from mapreduce.dataplane.keys import sort_key
from mapreduce.dataplane.recordformats import KEY_WARNING, VALUE_WARNING
from mapreduce.errors import UsageError
from mapreduce.local.paths import OutputPaths
from mapreduce.local.success import Success, no_result, read_success

#: Files that are read at once; more parts are merged in passes.
MOST_OPEN_FILES: Final = 200

_COPY_BYTES: Final = 1 << 20
#: What helps where parts are not what `_SUCCESS` says.
_AGAIN: Final = "run the job again with --overwrite"


class Results(msgspec.Struct, frozen=True):
    """One finished output folder."""

    folder: Path
    success: Success

    @property
    def parts(self) -> list[Path]:
        """The output files in order of partition."""
        return [self.folder / name for name in self.success.parts]

    @property
    def is_text(self) -> bool:
        """Lines are key<TAB>value; else they are JSON arrays."""
        return self.success.output.format == "text"


def open_results(folder: Path) -> Results:
    """The result in `folder`. Raises UsageError when there is none, or when a part is missing or altered."""
    success = read_success(OutputPaths(folder).success)
    if success is None:
        raise no_result(folder)
    for name, facts in success.parts.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            raise UsageError(f"{folder}: {name} is missing, though _SUCCESS lists it; {_AGAIN}") from None
        if size != facts.bytes:
            raise UsageError(f"{folder}: {name} has {size} bytes and had {facts.bytes} when it was written; {_AGAIN}")
    return Results(folder, success)


def copy_all(results: Results, into: BinaryIO) -> None:
    """All parts one after the other."""
    for part in results.parts:
        copy_file(part, into)


def copy_file(path: Path, into: BinaryIO) -> None:
    """One file."""
    with path.open("rb") as source:
        while block := source.read(_COPY_BYTES):
            into.write(block)


def merge(results: Results, into: BinaryIO) -> None:
    """All records in ascending order of keys, streaming. Raises UsageError, with the reason, where it cannot be."""
    key_of = _key_reader(results)
    paths = results.parts
    with contextlib.ExitStack() as stack:
        if len(paths) > MOST_OPEN_FILES:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mapreduce-merge-")))
            while len(paths) > MOST_OPEN_FILES:
                paths = _merge_pass(paths, key_of, scratch)
        _merge_files(paths, key_of, into)


def top(results: Results, count: int) -> list[bytes]:
    """The lines of the `count` records with the greatest numbers as values; equal ones by key. Raises UsageError."""
    ranked = heapq.nsmallest(count, _ranked(results), key=lambda entry: entry[:2])
    return [line for _, _, line in ranked]


KeyReader = Callable[[bytes], Any]


def _merge_pass(paths: list[Path], key_of: KeyReader, scratch: Path) -> list[Path]:
    """Fewer and longer files with the same records; adjacent ones go together."""
    merged: list[Path] = []
    for start in range(0, len(paths), MOST_OPEN_FILES):
        descriptor, name = tempfile.mkstemp(dir=scratch)
        with os.fdopen(descriptor, "wb") as into:
            _merge_files(paths[start : start + MOST_OPEN_FILES], key_of, into)
        merged.append(Path(name))
    return merged


def _merge_files(paths: Iterable[Path], key_of: KeyReader, into: BinaryIO) -> None:
    with contextlib.ExitStack() as stack:
        streams = [_keyed(stack.enter_context(path.open("rb")), key_of) for path in paths]
        into.writelines(line for _, line in heapq.merge(*streams, key=lambda entry: entry[0]))


def _keyed(lines: Iterable[bytes], key_of: KeyReader) -> Iterator[tuple[Any, bytes]]:
    for line in lines:
        yield key_of(line), line


def _key_reader(results: Results) -> KeyReader:
    """How the key of a line is read, for comparing. Raises UsageError when the parts cannot be merged."""
    success = results.success
    unsorted = [part for part, facts in success.parts.items() if not facts.sorted]
    if unsorted:
        raise UsageError(
            f"{results.folder} cannot be merged: the keys of {unsorted[0]} are not in ascending order "
            f"(a map-only job, or a reducer that emits other keys); read its parts one by one"
        )
    if not results.is_text:
        return lambda line: sort_key(from_json(json.loads(line)[0]))
    ambiguous = [warning for warning in (KEY_WARNING, VALUE_WARNING) if success.warnings.get(warning)]
    if ambiguous:
        raise UsageError(
            f"{results.folder} cannot be merged: tabs or newlines inside keys or values make its lines ambiguous; "
            f"run the job with --output-format jsonl"
        )
    types = {facts.key_type for facts in success.parts.values() if facts.records}
    if len(types) > 1 or "mixed" in types:
        raise UsageError(
            f"{results.folder} cannot be merged: its keys are of several types, which text output does not tell apart; "
            f"run the job with --output-format jsonl"
        )
    kind = next(iter(types), "")
    if kind == "str":
        return lambda line: _text_key(line).decode("utf-8", "surrogateescape")
    if kind == "bytes":
        return _text_key
    return lambda line: sort_key(from_json(json.loads(_text_key(line))))


def _text_key(line: bytes) -> bytes:
    return line.partition(b"\t")[0].removesuffix(b"\n")


def from_json(key: Any) -> Any:
    """A key as it was before it was written as JSON: arrays were tuples, `{"$bytes": ...}` was bytes."""
    if isinstance(key, list):
        return tuple(from_json(member) for member in key)
    if isinstance(key, dict) and set(key) == {"$bytes"}:
        return base64.b64decode(key["$bytes"])
    return key


def _ranked(results: Results) -> Iterator[tuple[float, bytes, bytes]]:
    """(minus the value, the key as written, the line) of each record."""
    for part in results.parts:
        with part.open("rb") as lines:
            for line in lines:
                if results.is_text:
                    key, _, text = line.rstrip(b"\n").partition(b"\t")
                else:
                    members = json.loads(line)
                    key, text = json.dumps(members[0]).encode(), json.dumps(members[1]).encode()
                try:
                    number = json.loads(text)
                except ValueError:
                    number = None
                if not isinstance(number, int | float) or isinstance(number, bool) or number != number:
                    raise UsageError(
                        f"{part}: the value {text[:60].decode('utf-8', 'replace')!r} is no number; --top ranks by value"
                    )
                yield -number, key, line
