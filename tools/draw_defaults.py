"""Writes the table of defaults in docs/reference/defaults.md, between its two markers, from `mapreduce.model`.

python tools/draw_defaults.py            writes the table
python tools/draw_defaults.py --check    exit code 1 when the table is not what the model says
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from mapreduce.model import GIB, MIB, JobSpec

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "defaults.md"
BEGIN = "<!-- defaults: written by tools/draw_defaults.py -->\n"
END = "<!-- end of defaults -->\n"


def described_fields(
    spec: type[msgspec.Struct], prefix: str = ""
) -> Iterator[tuple[str, msgspec.structs.FieldInfo, str]]:
    """(dotted camelCase path, field, description) of every field below `spec`, in order; `inputs[]` for a list."""
    hints = get_type_hints(spec, include_extras=True)
    for field in msgspec.structs.fields(spec):
        path = prefix + field.encode_name
        below = _struct_in(hints[field.name])
        yield path, field, _description(hints[field.name]) or (below.__doc__ or "" if below else "")
        if below:
            yield from described_fields(below, path + ("[]." if "tuple" in str(hints[field.name]) else "."))


def render() -> str:
    """The table: every field that has a default of its own."""
    rows = ["| field | default | meaning |", "|---|---|---|"]
    for path, field, description in described_fields(JobSpec):
        default = default_of(field)
        if default:
            rows.append(f"| `{path}` | {default} | {cell(description)} |")
    return "\n".join(rows) + "\n"


def page_with_table(page: str) -> str:
    """The page with the table between its markers replaced."""
    before, found, rest = page.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise SystemExit(f"{PAGE.name} lacks the markers of the table of defaults")
    return before + BEGIN + render() + END + after


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The default as people write it; empty for a required field and for a group of fields."""
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, msgspec.Struct) or field.required:
        return ""
    if value is None or value == "":
        return "none"
    if value in ({}, ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if field.name.endswith("_bytes") and isinstance(value, int) and value:
        return f"{value // GIB} GiB" if value % GIB == 0 else f"{value // MIB} MiB"
    if field.name.endswith("_seconds"):
        return f"{value} s"
    return f"`{value}`"


def _description(hint: Any) -> str:
    """Of the annotation, wherever in a union it stands."""
    for argument in getattr(hint, "__metadata__", ()):
        if isinstance(argument, Meta) and argument.description:
            return argument.description
    return next((text for part in get_args(hint) if (text := _description(part))), "")


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The struct type inside an annotation, a union or a tuple."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for part in get_args(hint) if (found := _struct_in(part))), None)


def cell(text: str) -> str:
    """Text that neither ends a table's cell nor opens a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the table, or compare it."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = page_with_table(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        sys.exit(f"{PAGE.name} differs from the model: run tools/draw_defaults.py")


if __name__ == "__main__":
    main()
