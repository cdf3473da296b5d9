"""Grouping in memory by hash: what all groupers share. The loops themselves are `folding` and `collecting`.

Each grouper holds a dict from key to what its values have become: a total, a smallest value, a bare first value or
(from the second on) a list. The loops do nothing but that; types, sizes and rare cases are looked at between blocks, in
C passes over what is new. What a loop cannot do right it never does wrong: `Regroup` is raised and the task starts
over in a slower mode. So the common case pays nothing for NaN keys, float totals or mixed types.

Bytes used are an estimate by the constants below and by `footprint`: a function of what was added, hence of the input.
Reading, calling the mapper and spilling to disk are elsewhere (`mapping`, `spilling`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from mapreduce.dataplane.footprint import DICT_ENTRY_BYTES, MEMBER_BYTES, NUMBER_BYTES, footprint
from mapreduce.dataplane.groups import Groups, look_up
from mapreduce.dataplane.keys import SCALARS, check_keys, has_nan, sort_keys
from mapreduce.dataplane.partitioning import split_by_partition
from mapreduce.dataplane.runs import BLOCK_GROUPS
from mapreduce.dataplane.unstorable import UnstorableValue

SPILL_BYTES: Final = 2 * MEMBER_BYTES
"""What spilling needs for each key on top: its place in a partition's list, and half of that for sorting."""
ENTRY_BYTES: Final = DICT_ENTRY_BYTES + SPILL_BYTES
LIST_BYTES: Final = 120
"""A short list with the room it grows into."""

_MAY_HOLD_NAN: Final = frozenset({float, tuple})

MISSING: Final = object()
"""No value yet; None may be one."""


class Mode(IntEnum):
    """How a task groups; each mode is right for more inputs than the one before, and slower."""

    FAST = 0
    EXACT = 1
    """Sums and means in exact arithmetic, extremes by the total order."""
    CAREFUL = 2
    """Every pair is checked and normalised, NaN keys are one key, and a record at fault is named."""


class Regroup(Exception):
    """The task has to be done over in another mode."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode.name)
        self.mode = mode


Combine = Callable[[Any, list[Any]], list[Any]]
"""From a key and some of its values to fewer values."""


class GroupingPlan(msgspec.Struct, frozen=True):
    """What decides which loop runs."""

    partitions: int
    reducer: str | None
    """A named reducer that folds, else None."""
    combine: Combine | None = None
    mode: Mode = Mode.FAST
    budget_bytes: int = 256 << 20


class MemorySpill:
    """A grouper's content by partition; each partition's keys are sorted when it is read, and freed after that."""

    def __init__(
        self,
        parts: list[list[Any]],
        key_types: set[type],
        take: Callable[[list[Any]], Groups],
        done: Callable[[], None],
    ) -> None:
        self._key_types = frozenset(key_types)
        self._parts, self._take, self._done = parts, take, done

    def groups(self, partition: int) -> Iterator[Groups]:
        """Those of one partition, in key order."""
        keys, self._parts[partition] = self._parts[partition], []
        sort_keys(keys, self._key_types)
        for start in range(0, len(keys), BLOCK_GROUPS):
            yield self._take(keys[start : start + BLOCK_GROUPS])
        if partition == len(self._parts) - 1:
            self._done()


class DictGrouper:
    """What all groupers share: the dict, its accounting, and spilling it."""

    value_bytes = NUMBER_BYTES

    def __init__(self, plan: GroupingPlan) -> None:
        self.plan = plan
        self.grouped: dict[Any, Any] = self.make_dict()
        self._known_keys = 0
        self._key_bytes = 0
        self._key_types: set[type] = set()

    def make_dict(self) -> dict[Any, Any]:
        """The dict to group in."""
        return {}

    def bytes_used(self) -> int:
        """An estimate of the memory held."""
        self._look_at_new_keys()
        return self._key_bytes + len(self.grouped) * (ENTRY_BYTES + self.value_bytes)

    def spill(self) -> MemorySpill:
        """All that was added, by partition."""
        self._look_at_new_keys()
        self.check_values()
        parts = split_by_partition(self.grouped, self.plan.partitions)
        return MemorySpill(parts, self._key_types, self.take, self.clear)

    def _look_at_new_keys(self) -> None:
        """Accounts for the keys that came since the last look. Raises `Regroup` for those that need a closer one."""
        added = len(self.grouped) - self._known_keys
        if not added:
            return
        keys = list(itertools.islice(reversed(self.grouped), added))
        self._known_keys += added
        types = set(map(type, keys))
        self._key_types |= types
        if self.plan.mode < Mode.CAREFUL:
            if not types <= SCALARS:
                try:
                    check_keys(keys)
                except UnstorableValue:
                    raise Regroup(Mode.CAREFUL) from None  # which tells the record
            if not types.isdisjoint(_MAY_HOLD_NAN) and has_nan(keys):
                raise Regroup(Mode.CAREFUL)
        self._key_bytes += footprint(keys)

    def check_values(self) -> None:
        """Raises `Regroup` if the loop cannot have treated these values right."""

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        return Groups(keys, None, look_up(self.grouped, keys))

    def clear(self) -> None:
        """Forgets everything."""
        self.grouped.clear()
        self._known_keys = self._key_bytes = 0
        self._key_types.clear()
