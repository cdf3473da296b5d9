"""Whether work is spread evenly, in words: bytes over partitions, durations over tasks. Pure.

The rule for durations is the one people look for by hand in other engines: the longest against the 75th percentile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

#: The longest task is a straggler from this multiple of the 75th percentile on.
SKEW_RATIO: Final = 1.5
#: Below this no duration is worth a word.
LEAST_LONG_S: Final = 2.0
#: A partition, or the largest few, holds so many times its fair share before it is called heavy.
HEAVY_SHARE: Final = 2.0
_MOST_NAMED: Final = 3


class Quantiles(msgspec.Struct, frozen=True):
    """Five numbers that say how values are spread."""

    count: int
    least: float
    p25: float
    median: float
    p75: float
    most: float


def quantiles_of(values: Sequence[float]) -> Quantiles | None:
    """The quantiles of some values, each one of them (nearest rank); None without values."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1 if share else 0)]

    return Quantiles(len(ordered), ordered[0], at(0.25), at(0.5), at(0.75), ordered[-1])


def skew_ratio(quantiles: Quantiles) -> float:
    """The longest as a multiple of the 75th percentile; 1.0 when that is nothing."""
    return quantiles.most / quantiles.p75 if quantiles.p75 > 0 else 1.0


def describe_durations(quantiles: Quantiles | None, noun: str) -> str:
    """How evenly tasks of one kind took their time: `even`, or what stands out. `noun` is `map` or `reduce`."""
    if quantiles is None:
        return ""
    if quantiles.count < 4:
        return f"too few {noun} tasks to compare"
    ratio = skew_ratio(quantiles)
    if ratio < SKEW_RATIO:
        return f"even: the longest {noun} took {ratio:.1f} times the 75th percentile"
    if quantiles.most < LEAST_LONG_S:
        return f"short: the longest {noun} took {ratio:.1f} times the 75th percentile, and still only a moment"
    return f"skewed: the longest {noun} took {ratio:.1f} times the 75th percentile"


class HeavyPartitions(msgspec.Struct, frozen=True):
    """The few partitions that hold far more than their share."""

    partitions: tuple[int, ...]
    """Their numbers, heaviest first."""
    share: float
    """Of all bytes."""
    count: int
    """Of all partitions."""

    @property
    def sentence(self) -> str:
        """`2 of 64 reduce tasks hold 41 % of the bytes`."""
        holds = "holds" if len(self.partitions) == 1 else "hold"
        return f"{len(self.partitions)} of {self.count} reduce tasks {holds} {self.share * 100:.0f} % of the bytes"


def heavy_partitions(sizes: Sequence[int]) -> HeavyPartitions | None:
    """The heaviest partitions (at most 3) if each holds twice its fair share or more; None when all is even."""
    total = sum(sizes)
    if len(sizes) < 2 or not total:
        return None
    fair = total / len(sizes)
    largest = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))[:_MOST_NAMED]
    heavy = tuple(index for index in largest if sizes[index] >= HEAVY_SHARE * fair)
    if not heavy:
        return None
    return HeavyPartitions(heavy, sum(sizes[index] for index in heavy) / total, len(sizes))


def describe_partitions(sizes: Sequence[int]) -> str:
    """How evenly bytes are spread over partitions, as a sentence; empty when nothing is known yet."""
    if not sizes or not any(sizes):
        return ""
    heavy = heavy_partitions(sizes)
    if heavy is not None:
        return f"skewed: {heavy.sentence}"
    if len(sizes) == 1:
        return "one partition holds everything"
    most = max(sizes) * len(sizes) / sum(sizes)
    return f"even: the largest partition holds {most:.1f} times its fair share"
