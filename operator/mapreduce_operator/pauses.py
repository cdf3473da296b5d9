"""How long a job that cannot go on is left alone: longer and longer, while nothing about it changes. Pure.

The jitter comes from the job's UID, so that jobs that got stuck together do not ask together.
"""

from __future__ import annotations

import zlib
from typing import Final

FIRST_S: Final = 5.0
#: Nothing is told of a claim, a quota or a ConfigMap that is there at last, so this is what its owner waits at most.
LONGEST_BLOCKED_S: Final = 60.0
#: What the API server refuses a job, it refuses until somebody changes its rights or names.
LONGEST_REFUSED_S: Final = 300.0
_MOST_DOUBLINGS: Final = 10


def pause_s(looks: int, uid: str, *, longest_s: float, first_s: float = FIRST_S) -> float:
    """The time until the next look, after so many that found the same before this one."""
    whole_s = min(first_s * 2 ** min(looks, _MOST_DOUBLINGS), longest_s)
    return spread_s(f"{uid}/{looks}", 0.75 * whole_s, whole_s)


def spread_s(text: str, shortest_s: float, longest_s: float) -> float:
    """A time between two, always the same one for the same text."""
    share: float = zlib.crc32(text.encode()) / (1 << 32)
    return shortest_s + share * (longest_s - shortest_s)
