"""How long committed attempts took, learnt as they end: enough of them for quantiles, and the longest. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from mapreduce.diagnosis.skew import Quantiles, quantiles_of
from mapreduce.scheduling.attemptlog import AttemptEnd, AttemptLog

_KINDS: Final = ("map", "reduce")
#: Quantiles are of so many durations at most: the latest ones.
_KEPT: Final = 2_048


class Durations:
    """The latest durations of each kind, and the longest of all."""

    def __init__(self) -> None:
        self._latest: tuple[deque[float], deque[float]] = (deque(maxlen=_KEPT), deque(maxlen=_KEPT))
        self._most = [0.0, 0.0]
        self._counts = [0, 0]

    def learn(self, log: AttemptLog, rows: Iterable[int]) -> None:
        """Take over the rows that were committed."""
        for row in rows:
            if log.end[row] == AttemptEnd.COMMITTED:
                kind, run_s = log.kind[row], log.run_s[row]
                self._latest[kind].append(run_s)
                self._counts[kind] += 1
                if run_s > self._most[kind]:
                    self._most[kind] = run_s

    def quantiles(self) -> dict[str, Quantiles]:
        """By kind, those of which anything is known."""
        found = {}
        for number, kind in enumerate(_KINDS):
            known = quantiles_of(self._latest[number])
            if known is not None:
                found[kind] = Quantiles(
                    self._counts[number], known.least, known.p25, known.median, known.p75, self._most[number]
                )
        return found
