"""What a tested job gave: its records as Python values, and its counters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapreduce.dataplane.recordformats import parse_jsonl


@dataclass(frozen=True, slots=True)
class Outcome:
    """Records in the order of the parts, and counters. Iterating gives the (key, value) pairs.

    Keys are as the job emitted them; in values tuples, dataclasses and Structs are what JSON makes of them: lists and
    dicts (`assert_output` takes either).
    """

    records: list[tuple[Any, Any]]
    counters: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, bytes] = field(default_factory=dict)
    """The output files themselves."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def as_dict(self) -> dict[Any, Any]:
        """Value by key. Raises ValueError for a key that was emitted twice."""
        found: dict[Any, Any] = {}
        for key, value in self.records:
            if key in found:
                raise ValueError(f"key {key!r} was emitted more than once; look at .records")
            found[key] = value
        return found


def read_outcome(folder: Path) -> Outcome:
    """The finished output in a folder, in the format `jsonl`."""
    success = json.loads((folder / "_SUCCESS").read_bytes())
    parts = {name: (folder / name).read_bytes() for name in success["parts"]}
    lines = [line for part in parts.values() for line in part.splitlines()]
    return Outcome([parse_jsonl(line) for line in lines], success["counters"], parts)
