"""Records in memory written as the input files that a job reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapreduce.errors import UsageError
from mapreduce.model import InputFormat

#: Records, or the contents of files by name, or a file, folder or glob that is there already.
Records = Iterable[Any] | Mapping[str, str | bytes] | Path


def write_records(records: Records, folder: Path, kind: InputFormat) -> list[str]:
    """Write them below `folder`; the inputs that read them. Raises UsageError for records of another shape."""
    if isinstance(records, Path):
        return [str(records)]
    if isinstance(records, str | bytes):
        raise UsageError("records is one string; give a list of records, or a dict of files, or a pathlib.Path")
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(records, Mapping):
        return [str(_written(folder / name, _bytes(content))) for name, content in records.items()]
    listed = list(records)
    if kind == "files":
        return [str(_written(folder / f"record-{index:05d}", _bytes(content))) for index, content in enumerate(listed)]
    return [str(_written(folder / f"records.{kind}", _lines(listed, kind)))]


def _lines(records: list[Any], kind: InputFormat) -> bytes:
    if kind == "jsonl":
        return b"".join(json.dumps(record).encode() + b"\n" for record in records)
    if kind == "csv":
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(_rows(records))
        return text.getvalue().encode("utf-8", "surrogateescape")
    lines = [_bytes(record) for record in records]
    broken = next((line for line in lines if b"\n" in line), None)
    if broken is not None:
        raise UsageError(f"the record {broken!r} holds a newline, which ends a line; give format='files' or split it")
    return b"".join(line + b"\n" for line in lines)


def _rows(records: list[Any]) -> Iterable[Sequence[Any]]:
    for record in records:
        if isinstance(record, str | bytes) or not isinstance(record, Sequence):
            raise UsageError(f"the record {record!r} is no row; with the format csv a record is a list of fields")
        yield record


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        raise UsageError(f"the record {content!r} is neither str nor bytes; with format='jsonl' it may be any JSON")
    return content.encode("utf-8", "surrogateescape")


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
