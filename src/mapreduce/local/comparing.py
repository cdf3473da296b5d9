"""Comparing two finished outputs: by the digests in their markers first, by their bytes only where those differ.

Reads only. A part that one of them lacks is empty there: parts without records have no file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mapreduce.local.results import Results

_LONGEST_LINE: Final = 200


class Difference(msgspec.Struct, frozen=True):
    """One part that is not the same in both."""

    part: str
    sentence: str
    one: str | None = None
    """The first line that differs, as it is in the one; None when it has none there."""
    other: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """What comparing two outputs found."""

    part_count: int
    record_count: int
    """In the first."""
    differences: tuple[Difference, ...]


def compare_outputs(one: Results, other: Results) -> Comparison:
    """Compare part by part, by name."""
    ours, theirs = one.success.parts, other.success.parts
    names = sorted({*ours, *theirs})
    differences = []
    for name in names:
        mine, other_one = ours.get(name), theirs.get(name)
        if mine is not None and mine.xxh3 and other_one is not None and mine.xxh3 == other_one.xxh3:
            continue
        found = _compare_part(name, one.folder / name, other.folder / name)
        if found is not None:
            differences.append(found)
    return Comparison(len(names), sum(part.records for part in ours.values()), tuple(differences))


def _compare_part(name: str, one: Path, other: Path) -> Difference | None:
    for number, (mine, theirs) in enumerate(itertools.zip_longest(_lines(one), _lines(other)), start=1):
        if mine != theirs:
            return Difference(name, _sentence(number, mine, theirs), _shown(mine), _shown(theirs))
    return None


def _sentence(number: int, mine: bytes | None, theirs: bytes | None) -> str:
    if mine is None:
        return f"the first ends after {number - 1} records, the second has more"
    if theirs is None:
        return f"the second ends after {number - 1} records, the first has more"
    return f"differs from record {number} on"


def _lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        yield from file


def _shown(line: bytes | None) -> str | None:
    if line is None:
        return None
    text = line.rstrip(b"\n").decode("utf-8", "backslashreplace")
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."
