"""Which positions of an enumeration a test visits: a handful, the same in every run, or with EXHAUSTIVE=1 up to 50."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

IS_EXHAUSTIVE: Final = bool(os.environ.get("EXHAUSTIVE"))
MOST_POSITIONS: Final = 50


def sampled(positions: Sequence[T], count: int, *, seed: str) -> list[T]:
    """`count` of the positions, in their order; which ones is the seed's choice."""
    count = min(len(positions), MOST_POSITIONS if IS_EXHAUSTIVE else count)
    chosen = sorted(random.Random(seed).sample(range(len(positions)), count))
    return [positions[index] for index in chosen]
