"""Groupers that keep values: for the user's reducers, with or without a combiner, and for exact sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mapreduce.dataplane.footprint import MEMBER_BYTES, shared_footprint
from mapreduce.dataplane.grouping import LIST_BYTES, MISSING, DictGrouper, GroupingPlan
from mapreduce.dataplane.groups import Groups, look_up, make_groups
from mapreduce.dataplane.reducers import compact_mean, compact_sum

COMBINE_LENGTH: Final = 512
"""A combiner runs when a key has gathered this many values."""
EXACT_BYTES: Final = 240
"""An `ExactSum` with its partials."""


class Many(list[Any]):
    """Two or more values of one key; its own type, because a user's value may be a list."""

    __slots__ = ()


class CollectGrouper(DictGrouper):
    """All values of each key: bare while there is one, which most keys have, then a `Many`."""

    value_bytes = 0

    def __init__(self, plan: GroupingPlan) -> None:
        super().__init__(plan)
        self._new_values: list[Any] = []
        self._value_count = 0
        self._value_bytes = 0

    def add(self, results: Iterable[Any]) -> None:
        """Keeps all values of all results."""
        grouped = self.grouped
        get = grouped.get
        note = self._new_values.append
        for pairs in results:
            for key, value in pairs or ():
                present = get(key, MISSING)
                if present is MISSING:
                    grouped[key] = value
                elif type(present) is Many:
                    present.append(value)
                else:
                    grouped[key] = Many((present, value))
                note(value)

    def bytes_used(self) -> int:
        """An estimate of the memory held."""
        self._value_bytes += shared_footprint(self._new_values)
        self._value_count += len(self._new_values)
        self._new_values.clear()
        lists = min(len(self.grouped), self._value_count - len(self.grouped)) * LIST_BYTES
        return super().bytes_used() + lists + self._value_count * MEMBER_BYTES + self._value_bytes

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        values = look_up(self.grouped, keys)
        if Many not in set(map(type, values)):
            return Groups(keys, None, values)
        return make_groups(keys, [list(value) if type(value) is Many else [value] for value in values])

    def clear(self) -> None:
        """Forgets everything."""
        super().clear()
        self._new_values.clear()
        self._value_count = self._value_bytes = 0


class CombineGrouper(CollectGrouper):
    """The same with a combiner: it runs when a key has gathered `COMBINE_LENGTH` values, and at the spill."""

    def __init__(self, plan: GroupingPlan) -> None:
        super().__init__(plan)
        assert plan.combine is not None
        self._combine = plan.combine
        self._released = 0
        self._length = COMBINE_LENGTH

    def add(self, results: Iterable[Any]) -> None:
        """Keeps all values of all results, combined where there are many."""
        grouped = self.grouped
        get = grouped.get
        note = self._new_values.append
        for pairs in results:
            for key, value in pairs or ():
                present = get(key, MISSING)
                if present is MISSING:
                    grouped[key] = value
                elif type(present) is Many:
                    present.append(value)
                    if len(present) >= self._length:
                        self._shrink(key, present)
                else:
                    grouped[key] = Many((present, value))
                note(value)

    def _shrink(self, key: Any, values: Many) -> None:
        combined = self._combine(key, list(values))
        self._released += len(values) - len(combined)
        values[:] = combined
        if len(combined) > self._length // 2:
            self._length *= 2  # this combiner does not combine much: trying again soon would be quadratic

    def bytes_used(self) -> int:
        """An estimate of the memory held; combined values count as large as those that came in."""
        full = super().bytes_used()
        values = self._value_count * MEMBER_BYTES + self._value_bytes
        return full - values * min(self._released, self._value_count) // max(1, self._value_count)

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        grouped, combine = self.grouped, self._combine
        kept: list[Any] = []
        lists: list[list[Any]] = []
        for key in keys:
            value = grouped[key]
            combined = [value] if type(value) is not Many else combine(key, list(value)) if value else []
            if combined:  # a combiner may drop all values of a key, now or earlier
                kept.append(key)
                lists.append(combined)
        return make_groups(kept, lists)

    def clear(self) -> None:
        """Forgets everything."""
        super().clear()
        self._released = 0


class ExactGrouper(CollectGrouper):
    """``sum`` and ``mean`` with floats: values are gathered, and made into exact totals when they are many."""

    def __init__(self, plan: GroupingPlan) -> None:
        super().__init__(plan)
        self._compact = compact_mean if plan.reducer == "mean" else compact_sum

    def bytes_used(self) -> int:
        """An estimate of the memory held; makes totals first when that would be half of the budget."""
        used = super().bytes_used()
        if used > self.plan.budget_bytes // 2 and self._value_count > len(self.grouped):
            compact = self._compact
            for value in self.grouped.values():
                if type(value) is Many:
                    value[:] = [compact(value)]
            self._value_count = len(self.grouped)
            self._value_bytes = self._value_count * EXACT_BYTES
            used = super().bytes_used()
        return used

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        values = look_up(self.grouped, keys)
        compact = self._compact
        return Groups(keys, None, [compact(value) if type(value) is Many else compact((value,)) for value in values])
