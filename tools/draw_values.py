"""Writes the table of the chart's values in docs/install.md, between its two markers, from the comments in values.yaml.

python tools/draw_values.py            writes the table
python tools/draw_values.py --check    exit code 1 when the table is not what values.yaml says
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
VALUES = ROOT / "charts" / "mapreduce-operator" / "values.yaml"
PAGE = ROOT / "docs" / "install.md"
BEGIN = "<!-- values: written by tools/draw_values.py -->\n"
END = "<!-- end of values -->\n"
_KEY = re.compile(r"^( *)([A-Za-z]\w*):")


def comments(text: str) -> Iterator[tuple[str, str]]:
    """Every key by its dotted path, with the comment right above it, in order."""
    path: list[str] = []
    words: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            words.append(line.strip().lstrip("#").strip().removeprefix("-- "))
            continue
        if found := _KEY.match(line):
            path = [*path[: len(found[1]) // 2], found[2]]
            yield ".".join(path), " ".join(words)
        words = []


def render() -> str:
    """The table: a row for each value, and one for each group that has a comment."""
    text = VALUES.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, comment in comments(text):
        if path.startswith(("metrics.dashboard.labels.", "resources.")):
            continue
        default = _at(values, path)
        is_group = isinstance(default, dict) and bool(default) and path not in {"resources", "metrics.dashboard.labels"}
        if is_group and not comment:
            continue
        shown = "" if is_group else f"`{json.dumps(default)}`"
        rows.append(f"| `{path}` | {shown} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def page_with_table(page: str) -> str:
    """The page with the table between its markers replaced."""
    before, found, rest = page.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise SystemExit(f"{PAGE.name} lacks the markers of the table of values")
    return before + BEGIN + render() + END + after


def _at(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def main() -> None:
    """Write the table, or compare it."""
    page = PAGE.read_text(encoding="utf-8")
    wanted = page_with_table(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        sys.exit(f"{PAGE.name} differs from values.yaml: run tools/draw_values.py")


if __name__ == "__main__":
    main()
