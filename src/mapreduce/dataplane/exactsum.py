"""Exact sums of integers and floats, so that a sum or mean depends on the numbers alone and never on their grouping.

Pure arithmetic; who folds what is in `reducers`. A sum is kept as an exact integer (of all ints and bools) and the
exact total of the floats as *partials*: the total rounded to a float, then what is left rounded, and so on until
nothing is (`math.fsum` finds each; Shewchuk 1997). These partials are a function of the total alone, so equal totals
look equal.

Rounding happens once, at the end. Defined for all floats: NaN, or inf and -inf together, give NaN; inf gives inf; a
finite total beyond the range of floats gives inf of its sign.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Number: TypeAlias = int | float

_SCALE_BITS: Final = 1074
"""Every finite float is an integer multiple of 2**-1074."""


@dataclass(frozen=True, slots=True)
class ExactSum:
    """An exact total of `count` numbers."""

    count: int = 0
    whole: int = 0
    """The total of all integers."""
    partials: tuple[float, ...] = ()
    """The total of all floats, largest first; or one inf or NaN."""
    scaled: int = 0
    """The finite total of all floats in units of 2**-1074 when beyond the range of floats; `partials` is () then."""
    has_float: bool = False
    """Whether a float was among the numbers: the sum is then a float, even if it is integral."""

    def total(self) -> Number:
        """The sum: an int if all numbers were, else the correctly rounded float."""
        if not self.has_float:
            return self.whole
        if self.whole == 0 and not self.scaled:
            return self.partials[0] if self.partials else 0.0
        if self._is_special():
            return self.partials[0]
        return _ratio(self._exact(), 1 << _SCALE_BITS)

    def mean(self) -> float:
        """The sum divided by the count, rounded once."""
        if self._is_special():
            return self.partials[0]
        if not self.has_float:
            return _ratio(self.whole, self.count)
        if len(self.partials) <= 1 and self.whole == 0 and not self.scaled:
            return (self.partials[0] if self.partials else 0.0) / self.count  # both are exact, so this rounds once
        return _ratio(self._exact(), self.count << _SCALE_BITS)

    def _is_special(self) -> bool:
        return len(self.partials) == 1 and not math.isfinite(self.partials[0])

    def _exact(self) -> int:
        return (self.whole << _SCALE_BITS) + self.scaled + sum(map(_scaled, self.partials))


def exact_sum(numbers: Sequence[Number]) -> ExactSum:
    """The exact total of ints, bools and floats."""
    floats = [number for number in numbers if type(number) is float]
    whole = sum([number for number in numbers if type(number) is not float])
    partials, scaled = _partials(floats)
    return ExactSum(len(numbers), int(whole), partials, scaled, bool(floats))


def merge_exact(sums: Iterable[ExactSum]) -> ExactSum:
    """The exact total of totals."""
    count = whole = scaled = 0
    floats: list[float] = []
    has_float = False
    for part in sums:
        count += part.count
        whole += part.whole
        scaled += part.scaled
        floats += part.partials
        has_float = has_float or part.has_float
    if scaled:
        return ExactSum(count, whole, *_rounded_off(floats, scaled), has_float)
    return ExactSum(count, whole, *_partials(floats), has_float)


def _partials(floats: list[float]) -> tuple[tuple[float, ...], int]:
    """`(partials, scaled)` of the exact total of floats; one of the two is empty."""
    partials: list[float] = []
    rest = floats
    try:
        while rest:
            rounded = math.fsum(rest)
            if not math.isfinite(rounded):
                return (rounded,), 0
            if rounded == 0.0:
                break
            partials.append(rounded)
            rest = [*rest, -rounded]
    except (OverflowError, ValueError):  # beyond the range on the way, or inf and -inf together
        return _rounded_off(floats, 0)
    return tuple(partials), 0


def _rounded_off(floats: list[float], scaled: int) -> tuple[tuple[float, ...], int]:
    """The same by integers: slower, and without intermediate overflow."""
    special = [value for value in floats if not math.isfinite(value)]
    if special:
        first = special[0]
        return ((first if all(value == first for value in special) else math.nan),), 0
    left = scaled + sum(map(_scaled, floats))
    partials: list[float] = []
    while left:
        try:
            rounded = left / (1 << _SCALE_BITS)
        except OverflowError:
            return (), left
        partials.append(rounded)
        left -= _scaled(rounded)
    return tuple(partials), 0


def _scaled(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << _SCALE_BITS) // denominator)


def _ratio(numerator: int, denominator: int) -> float:
    """Correctly rounded, as Python's division of integers is; beyond the range of floats inf."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf
