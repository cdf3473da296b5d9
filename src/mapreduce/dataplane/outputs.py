"""Output files: records written in the order they come, with the facts that the commit needs.

The lines themselves are `recordformats`' business, the file's durability `files`'. `format_record` is here for callers
who need one record and no file.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from mapreduce.dataplane.files import DurableFile
from mapreduce.dataplane.keys import check_keys, is_ascending, sort_key
from mapreduce.dataplane.recordformats import (
    KEY_WARNING,
    VALUE_WARNING,
    count_separators,
    format_batch,
    format_record,
)
from mapreduce.model import OutputFormat
from mapreduce.protocol.messages import TaskOutput

__all__ = ["OutputWriter", "format_record"]

_BATCH_RECORDS: Final = 1_024
_LARGE_MEMBERS: Final = 16_384
"""A value with more members (characters, elements) than this is written at once: a batch of such would fill memory."""


class OutputWriter:
    """Writes one attempt's output to `path`; a context manager that removes the file unless `close` was reached.

    Raises `UnstorableValue` for a key or value that the format cannot hold, `TaskFailed` (system) for the disk.
    """

    def __init__(self, path: Path, output_format: OutputFormat) -> None:
        self._file = DurableFile(path)
        self._format = output_format
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._records = 0
        self._warnings: dict[str, int] = {}
        self._key_types: set[type] = set()
        self._is_sorted = True
        self._last: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write(self, key: Any, value: Any) -> None:
        """Adds one record."""
        self._keys.append(key)
        self._values.append(value)
        if len(self._keys) >= _BATCH_RECORDS or (hasattr(value, "__len__") and len(value) > _LARGE_MEMBERS):
            self.flush()

    def write_batch(self, keys: list[Any], values: list[Any]) -> None:
        """Adds as many records as the two lists of equal length hold."""
        self.flush()
        self._write(keys, values)

    def flush(self) -> None:
        """Formats what `write` has gathered."""
        if self._keys:
            self._write(self._keys, self._values)
            self._keys, self._values = [], []

    def close(self) -> TaskOutput:
        """Syncs and closes the file; returns the output's part of `TaskOutput`. Without records there is no file."""
        self.flush()
        self._file.close()
        if not self._records:
            return TaskOutput()
        return TaskOutput(
            bytes=self._file.size,
            records=self._records,
            digest=self._file.digest,
            has_file=True,
            key_type=_key_type(self._key_types),
            is_sorted=self._is_sorted,
            warnings=dict(self._warnings),
        )

    def _write(self, keys: list[Any], values: list[Any]) -> None:
        if not keys:
            return
        check_keys(keys)
        data = format_batch(keys, values, self._format)
        if self._format == "text" and not data.count(b"\n") == data.count(b"\t") == len(keys):
            self._warn(KEY_WARNING, count_separators(keys, "\t\n"))
            self._warn(VALUE_WARNING, count_separators(values, "\n"))
        self._file.write(data)
        self._records += len(keys)
        self._key_types.update(map(type, keys))
        if self._is_sorted:
            self._is_sorted = self._follows(keys[0]) and is_ascending(keys)
            self._last = [keys[-1]]

    def _follows(self, key: Any) -> bool:
        return not self._last or bool(sort_key(self._last[0]) <= sort_key(key))

    def _warn(self, name: str, count: int) -> None:
        if count:
            self._warnings[name] = self._warnings.get(name, 0) + count


def _key_type(types: set[type]) -> str:
    if len(types) != 1:
        return "mixed"
    (only,) = types
    return "none" if only is type(None) else only.__name__
