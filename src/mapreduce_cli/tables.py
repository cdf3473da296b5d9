"""Lists for people and for programs: `-o table|wide|json|yaml|name`. No rich, no colour: tables are often piped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import click
import msgspec

T = TypeVar("T")

FORMATS: Final = ("table", "wide", "json", "yaml", "name")

_GAP: Final = "   "


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table."""

    title: str
    text: Callable[[T], str]
    is_wide: bool = False
    """Shown with `-o wide` only."""


def format_option(command: Any) -> Any:
    """The option `-o FORMAT`."""
    option = click.option(
        "-o",
        "--output",
        "format_",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print.",
    )
    return option(command)


def render(rows: Sequence[T], columns: Sequence[Column[T]], format_: str, *, name: Callable[[T], str]) -> str:
    """The rows in the given format, with a final newline; `name` is what `-o name` prints of one."""
    match format_:
        case "json":
            return json.dumps(_plain(rows), indent=2) + "\n"
        case "yaml":
            import yaml

            return yaml.safe_dump(_plain(rows), sort_keys=False, allow_unicode=True)
        case "name":
            return "".join(f"{name(row)}\n" for row in rows)
        case _:
            shown = [column for column in columns if format_ == "wide" or not column.is_wide]
            return _table([column.title for column in shown], [[column.text(row) for column in shown] for row in rows])


def _plain(value: object) -> object:
    """Values that JSON has; of a message every field, those too that travel only when they are not what is usual."""
    match value:
        case msgspec.Struct():
            return {it.encode_name: _plain(getattr(value, it.name)) for it in msgspec.structs.fields(value)}
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return msgspec.to_builtins(value)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    return "".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
