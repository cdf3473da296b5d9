"""What comes back from a finished run: the output folder, counters, and the records in the forms that people want.

Nothing heavy at import; Arrow and pandas are imported by the methods that give their tables.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mapreduce.errors import UsageError
from mapreduce.units import format_count, format_duration, format_size

_SHOWN_ROWS: Final = 10
_SHOWN_CHARS: Final = 120
_DIGITS: Final = re.compile(r"([0-9]+)")
#: How many records become one batch of an Arrow table.
_BATCH_ROWS: Final = 65_536


class Result:
    """A finished run: its output folder, counters, and an iterator over its records.

    Iterating gives (key, value) pairs, part by part. With the output format `text` both are str as written (a map-only
    line without tab has the value ""); with `jsonl` keys are as the job emitted them, and values as JSON has them:
    tuples and dataclasses come back as lists and dicts.
    """

    def __init__(
        self,
        output: Path,
        format: str,  # noqa: A002 (as in the spec)
        counters: Mapping[str, int],
        *,
        name: str = "",
        seconds: float | None = None,
    ) -> None:
        self.output = output
        self.format = format
        self.counters = counters
        self.name = name
        self.seconds = seconds
        """How long the run took, as seen by its caller."""

    def __repr__(self) -> str:
        return f"Result(output={str(self.output)!r}, format={self.format!r}, counters={dict(self.counters)!r})"

    @property
    def success(self) -> dict[str, Any]:
        """The content of `_SUCCESS`: parts with their sizes, counters, warnings, times."""
        import json

        content: dict[str, Any] = json.loads((self.output / "_SUCCESS").read_bytes())
        return content

    @property
    def parts(self) -> list[Path]:
        """The output files in order of partition: those that `_SUCCESS` lists, whatever else lies in the folder."""
        return [self.output / name for name in sorted(self.success["parts"], key=_natural_key)]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        from mapreduce.dataplane.recordformats import parse_jsonl

        for part in self.parts:
            with part.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
                for line in lines:
                    if self.format == "jsonl":
                        yield parse_jsonl(line)
                    else:
                        key, _, value = line.removesuffix("\n").partition("\t")
                        yield key, value

    def to_arrow(self) -> Any:
        """The records as a `pyarrow.Table` with the columns `key` and `value`, of the types that Arrow finds in them.

        Raises UsageError where pyarrow is not installed, or where a column's values have no common type.
        """
        arrow = _imported("pyarrow", "pip install 'pyarrow>=17'")
        batches = []
        rows = iter(self)
        while batch := list(islice(rows, _BATCH_ROWS)):
            columns = {}
            for index, column in enumerate(("key", "value")):
                try:
                    columns[column] = arrow.array([_for_arrow(row[index]) for row in batch])
                except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
                    raise UsageError(
                        f"{self.output}: column {column} has values of several types, which no Arrow column holds "
                        f"({error}); iterate over the result instead"
                    ) from None
            batches.append(arrow.table(columns))
        if not batches:
            return arrow.table({"key": arrow.array([], arrow.string()), "value": arrow.array([], arrow.string())})
        try:
            return arrow.concat_tables(batches, promote_options="permissive")
        except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
            raise UsageError(
                f"{self.output}: its values change their type along the way, which no Arrow column holds ({error}); "
                f"iterate over the result instead"
            ) from None

    def to_pandas(self) -> Any:
        """The records as a `pandas.DataFrame` with the columns `key` and `value`.

        Raises UsageError where pandas is not installed.
        """
        pandas = _imported("pandas", "pip install pandas")
        return pandas.DataFrame(list(self), columns=["key", "value"])

    def _repr_html_(self) -> str:
        """What a notebook shows: sizes, counters and the first records."""
        from html import escape

        head = escape(f"{self.name or 'job'}: {self._summary()}")
        rows = [f"<tr><td>{_cell(key)}</td><td>{_cell(value)}</td></tr>" for key, value in islice(self, _SHOWN_ROWS)]
        counters = "".join(
            f"<tr><td>{escape(name)}</td><td style='text-align:right'>{format_count(count)}</td></tr>"
            for name, count in sorted(self.counters.items())
        )
        return (
            f"<div><div><b>{head}</b></div><div><code>{escape(str(self.output))}</code></div>"
            f"<table><thead><tr><th>key</th><th>value</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
            + (f"<table><thead><tr><th>counter</th><th></th></tr></thead>{counters}</table>" if counters else "")
            + "</div>"
        )

    def _summary(self) -> str:
        success = self.success
        output, parts = success.get("output", {}), success["parts"]
        said = f"{format_count(output.get('records', 0))} records, {format_size(output.get('bytes', 0))}, "
        said += f"{len(parts)} part{'' if len(parts) == 1 else 's'}"
        return said + (f" in {format_duration(self.seconds)}" if self.seconds is not None else "")


def _imported(name: str, command: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != name:
            raise  # it is there, and misses something of its own
        raise UsageError(f"{name} is not installed; {command}") from None


def _for_arrow(value: Any) -> Any:
    """Arrow has neither tuples nor surrogates."""
    if isinstance(value, tuple):
        return [_for_arrow(member) for member in value]
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return value


def _cell(value: Any) -> str:
    from html import escape

    text = value if isinstance(value, str) else repr(value)
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
    return escape(shown.encode("utf-8", "replace").decode())


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts `part-9` before `part-10`: digits compare as numbers."""
    return [(int(piece), "") if index % 2 else (0, piece) for index, piece in enumerate(_DIGITS.split(name))]
