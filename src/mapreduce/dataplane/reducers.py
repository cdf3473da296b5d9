"""The reducers that have a name: how their values fold, and what becomes of a folded value in the end. Pure.

What a run holds for a key, by reducer::

    sum        an int while all numbers were ints or bools, else an `ExactSum`
    mean       (total, count) while all were ints or bools, else an `ExactSum`
    count      an int
    min max    the value; of equal ones the first. By the total order of keys, so NaN is above all numbers
    list identity   all values

Sums and means are exact and rounded once at the end; so they depend neither on where spills fell nor on the splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mapreduce.dataplane.exactsum import ExactSum, exact_sum, merge_exact
from mapreduce.dataplane.keys import NUMBERS, is_order_native, sort_key
from mapreduce.dataplane.merging import FoldInto

FOLDED: Final = frozenset({"sum", "count", "mean", "min", "max"})
"""Named reducers whose values fold to one on the mapper's side already."""


def fold_sums(folded: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Adds totals to totals."""
    get = folded.get
    for key, value in zip(keys, values, strict=True):
        present = get(key)
        if present is None:
            folded[key] = value
        elif type(present) is int and type(value) is int:
            folded[key] = present + value
        else:
            folded[key] = merge_exact((_as_exact(present), _as_exact(value)))


def fold_means(folded: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Adds (total, count) to (total, count)."""
    get = folded.get
    for key, value in zip(keys, values, strict=True):
        present = get(key)
        if present is None:
            folded[key] = value
        elif type(present) is tuple and type(value) is tuple:
            folded[key] = (present[0] + value[0], present[1] + value[1])
        else:
            folded[key] = merge_exact((_as_exact(present), _as_exact(value)))


def fold_minima(folded: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Keeps the smaller value, the earlier of equal ones."""
    for key, value in zip(keys, values, strict=True):
        if key not in folded or _is_less(value, folded[key]):
            folded[key] = value


def fold_maxima(folded: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    """Keeps the larger value, the earlier of equal ones."""
    for key, value in zip(keys, values, strict=True):
        if key not in folded or _is_less(folded[key], value):
            folded[key] = value


FOLDS: Final[dict[str, FoldInto]] = {
    "sum": fold_sums,
    "count": fold_sums,
    "mean": fold_means,
    "min": fold_minima,
    "max": fold_maxima,
}


def finish(name: str, values: list[Any]) -> list[Any]:
    """The results of folded values."""
    types = set(map(type, values))
    if name == "mean":
        if types <= {tuple}:
            return [_mean(whole, count) for whole, count in values]
        return [_as_exact(value).mean() for value in values]
    if name == "sum" and ExactSum in types:
        return [value.total() if type(value) is ExactSum else value for value in values]
    return values


def compact_sum(numbers: Sequence[Any]) -> Any:
    """The total of numbers and earlier totals, in the form that a run holds for ``sum``."""
    exact = _exact(numbers)
    return exact if exact.has_float else exact.whole


def compact_mean(numbers: Sequence[Any]) -> Any:
    """The same for ``mean``."""
    exact = _exact(numbers)
    return exact if exact.has_float else (exact.whole, exact.count)


def _exact(numbers: Sequence[Any]) -> ExactSum:
    if NUMBERS.issuperset(map(type, numbers)):
        return exact_sum(numbers)
    plain = exact_sum([number for number in numbers if type(number) in NUMBERS])
    return merge_exact([plain, *(_as_exact(number) for number in numbers if type(number) not in NUMBERS)])


def _as_exact(value: Any) -> ExactSum:
    if type(value) is ExactSum:
        return value
    whole, count = value if type(value) is tuple else (value, 0)
    return ExactSum(count, whole)


def _mean(whole: int, count: int) -> float:
    try:
        return whole / count
    except OverflowError:
        return ExactSum(count, whole).mean()


def _is_less(left: Any, right: Any) -> bool:
    if type(left) is type(right) and is_order_native((left, right)):
        return bool(left < right)
    return bool(sort_key(left) < sort_key(right))
