"""Groupers for named reducers that fold: one value a key, whatever the number of pairs.

The loops are written out once for each reducer, because half of a map task's time is spent in them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from mapreduce.dataplane.footprint import NUMBER_BYTES, footprint
from mapreduce.dataplane.grouping import LIST_BYTES, MISSING, DictGrouper, Mode, Regroup
from mapreduce.dataplane.groups import Groups, look_up
from mapreduce.dataplane.keys import SCALARS, sort_key
from mapreduce.dataplane.unstorable import UnstorableValue

try:
    from _collections import _count_elements as count_elements  # type: ignore[import-not-found]  # the loop of Counter
except ImportError:  # an interpreter without it

    def count_elements(mapping: dict[Any, int], iterable: Iterable[Any]) -> None:
        """Counts hashable objects into a dict."""
        for element in iterable:
            mapping[element] = mapping.get(element, 0) + 1


class CountGrouper(DictGrouper):
    """``count``: the mapper yields bare keys, and the whole loop is C."""

    def add(self, results: Iterable[Any]) -> None:
        """Counts all keys of all results."""
        count_elements(self.grouped, itertools.chain.from_iterable(filter(None, results)))


class SumGrouper(DictGrouper):
    """``sum`` of ints; a float total means that the exact loop is needed."""

    def make_dict(self) -> dict[Any, Any]:
        """A dict in which a new key starts at 0."""
        return defaultdict(int)

    def add(self, results: Iterable[Any]) -> None:
        """Adds all values of all results."""
        totals = self.grouped
        value: Any = 0
        for pairs in results:
            for key, value in pairs or ():
                totals[key] += value
        if type(value) is float:
            raise Regroup(Mode.EXACT)

    def check_values(self) -> None:
        """Raises `Regroup` if the loop cannot have treated these values right."""
        types = set(map(type, self.grouped.values()))
        if not types <= {int}:
            raise Regroup(Mode.EXACT if types <= {int, float} else Mode.CAREFUL)


class MeanGrouper(DictGrouper):
    """``mean`` of ints: total and count in one list a key."""

    value_bytes = LIST_BYTES + NUMBER_BYTES

    def add(self, results: Iterable[Any]) -> None:
        """Adds all values of all results."""
        folded = self.grouped
        get = folded.get
        value: Any = 0
        for pairs in results:
            for key, value in pairs or ():
                present = get(key)
                if present is None:
                    folded[key] = [0 + value, 1]
                else:
                    present[0] += value
                    present[1] += 1
        if type(value) is float:
            raise Regroup(Mode.EXACT)

    def check_values(self) -> None:
        """Raises `Regroup` if the loop cannot have treated these values right."""
        types = {type(total) for total, _ in self.grouped.values()}
        if not types <= {int}:
            raise Regroup(Mode.EXACT if types <= {int, float} else Mode.CAREFUL)

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        return Groups(keys, None, [(total, count) for total, count in look_up(self.grouped, keys)])


_NATIVE_EXTREMES: Final = SCALARS - {type(None)}


class MinGrouper(DictGrouper):
    """``min`` by Python's own comparison, right for numbers, strings and bytes; NaN only stays if it is alone."""

    def add(self, results: Iterable[Any]) -> None:
        """Keeps the smallest value of each key."""
        folded = self.grouped
        get = folded.get
        value: Any = None
        for pairs in results:
            for key, value in pairs or ():
                present = get(key, MISSING)
                if present is MISSING or value < present or present != present:
                    folded[key] = value
        _leave_tuples_to_exact(value)

    def bytes_used(self) -> int:
        """An estimate of the memory held."""
        return super().bytes_used() + _size_of_sample(self.grouped)

    def check_values(self) -> None:
        """Raises `Regroup` if the loop cannot have treated these values right."""
        if not set(map(type, self.grouped.values())) <= _NATIVE_EXTREMES:
            raise Regroup(Mode.EXACT)


class MaxGrouper(MinGrouper):
    """``max``, likewise; NaN, which is above all numbers, wins and stays."""

    def add(self, results: Iterable[Any]) -> None:
        """Keeps the largest value of each key."""
        folded = self.grouped
        get = folded.get
        value: Any = None
        for pairs in results:
            for key, value in pairs or ():
                present = get(key, MISSING)
                if present is MISSING or value > present or (value != value and present == present):
                    folded[key] = value
        _leave_tuples_to_exact(value)


def _leave_tuples_to_exact(value: Any) -> None:
    if value is not None and type(value) not in _NATIVE_EXTREMES:
        raise Regroup(Mode.EXACT)


class OrderedGrouper(DictGrouper):
    """``min`` and ``max`` of any keys, by the total order; holds (rank, value)."""

    value_bytes = 2 * LIST_BYTES

    def add(self, results: Iterable[Any]) -> None:
        """Keeps the extreme value of each key."""
        folded = self.grouped
        get = folded.get
        is_max = self.plan.reducer == "max"
        for pairs in results:
            for key, value in pairs or ():
                try:
                    rank = sort_key(value)
                except UnstorableValue:
                    raise Regroup(Mode.CAREFUL) from None  # which tells the record
                present = get(key)
                if present is None or (present[0] < rank if is_max else rank < present[0]):
                    folded[key] = (rank, value)

    def bytes_used(self) -> int:
        """An estimate of the memory held."""
        return super().bytes_used() + 2 * _size_of_sample(self.grouped)

    def take(self, keys: list[Any]) -> Groups:
        """The groups of some keys, in the form that a run holds."""
        return Groups(keys, None, [self.grouped[key][1] for key in keys])


_SAMPLE_STRIDE: Final = 16


def _size_of_sample(grouped: dict[Any, Any]) -> int:
    """The footprint of a dict's values beyond a number's, from every 16th of them."""
    sample = list(itertools.islice(grouped.values(), 0, None, _SAMPLE_STRIDE))
    return max(0, footprint(sample) - NUMBER_BYTES * len(sample)) * _SAMPLE_STRIDE
