"""Reads what a word count left behind, in whatever files and notation, so that contestants can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def count_of_counts(output: Path) -> dict[str, int]:
    """Number of distinct words and sum of their counts, over all result files below `output`."""
    words = total = 0
    for path in _result_files(output):
        with open(path, "rb") as lines:
            for line in lines:
                words += 1
                total += int(line.rpartition(b"\t")[2])
    return {"words": words, "total": total}


def nothing(output: Path) -> dict[str, int]:
    """For contests whose results are not comparable."""
    return {}


def _result_files(output: Path) -> Iterator[Path]:
    for path in sorted(output.rglob("*")):
        parts = path.relative_to(output).parts
        if path.is_file() and not any(part.startswith(("_", ".")) for part in parts):
            yield path
