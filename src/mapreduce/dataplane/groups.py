"""`Groups`: consecutive keys with their values, as columns: what blocks of a run hold and merging passes on. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple, Protocol


class Groups(NamedTuple):
    """Distinct keys in ascending order, each with one or more values in the order they were emitted."""

    keys: list[Any]
    counts: list[int] | None
    """How many of `values` belong to each key; None when each has one."""
    values: list[Any]
    """All values, those of the first key first."""
    continues: bool = False
    """Whether the last key goes on in the next `Groups` of the same source."""

    def value_lists(self) -> Iterator[list[Any]]:
        """The values of each key."""
        if self.counts is None:
            return ([value] for value in self.values)
        ends = itertools.accumulate(self.counts)
        return (self.values[end - count : end] for count, end in zip(self.counts, ends, strict=True))

    def value_offset(self, index: int) -> int:
        """Where in `values` those of the key at `index` begin."""
        return index if self.counts is None else sum(self.counts[:index])

    def slice(self, start: int, stop: int) -> Groups:
        """The groups `start <= index < stop`; it continues if it ends with a last key that does."""
        continues = self.continues and stop == len(self.keys)
        if self.counts is None:
            return Groups(self.keys[start:stop], None, self.values[start:stop], continues)
        first = self.value_offset(start)
        counts = self.counts[start:stop]
        return Groups(self.keys[start:stop], counts, self.values[first : first + sum(counts)], continues)


class GroupSource(Protocol):
    """Where groups come from: a run that is read, or a spill that is still in memory."""

    def groups(self, partition: int) -> Iterator[Groups]:
        """Those of one partition, in key order."""


def look_up(mapping: dict[Any, Any], keys: list[Any]) -> list[Any]:
    """The mapping's values for keys that it has. One call for all: the processor overlaps what misses its cache."""
    return list(itemgetter(*keys)(mapping)) if len(keys) > 1 else [mapping[key] for key in keys]


def make_groups(keys: list[Any], value_lists: list[list[Any]], *, continues: bool = False) -> Groups:
    """Groups of these keys and their lists of values."""
    counts = list(map(len, value_lists))
    values = list(itertools.chain.from_iterable(value_lists))
    return Groups(keys, None if len(values) == len(keys) else counts, values, continues)


def join_groups(first: Groups, second: Groups) -> Groups:
    """Two neighbours as one; the first must not continue."""
    keys = first.keys + second.keys
    values = first.values + second.values
    if first.counts is None and second.counts is None:
        return Groups(keys, None, values, second.continues)
    counts = [*(first.counts or [1] * len(first.keys)), *(second.counts or [1] * len(second.keys))]
    return Groups(keys, counts, values, second.continues)
