"""Results until the coordinator has answered: which go into one call, and what becomes of one it refuses. Pure.

Also: what a failed attempt's log says.
"""

from __future__ import annotations

from typing import Final

from mapreduce.protocol.messages import AttemptId, Commit, Fail, Failure, Finished, Release

_MAX_COUNT: Final = 10_000


class Reports:
    """The results that are not acknowledged, in order of their making.

    Args:
        max_weight: largest number of partition sizes (or 64-byte pieces of text) in one call.
    """

    def __init__(self, max_weight: int) -> None:
        self._max_weight, self._max_count = max_weight, _MAX_COUNT
        self._results: dict[AttemptId, Finished] = {}
        self.oldest_s = 0.0
        """When the oldest was made, or the last call answered since."""

    def __bool__(self) -> bool:
        return bool(self._results)

    def add(self, result: Finished, now_s: float) -> None:
        """It was made now."""
        if not self._results:
            self.oldest_s = now_s
        self._results[result.id] = result

    def drop(self, attempt: AttemptId) -> None:
        """It is acknowledged, or nobody wants it any more."""
        self._results.pop(attempt, None)

    def choose(self) -> tuple[Finished, ...]:
        """The oldest results that fit one call; at least one if there is any."""
        chosen: list[Finished] = []
        weight = 0
        for result in self._results.values():
            weight += _weight(result)
            if chosen and (weight > self._max_weight or len(chosen) >= self._max_count):
                break
            chosen.append(result)
        return tuple(chosen)

    def answered(self, now_s: float) -> None:
        """A call was accepted: what came meanwhile has waited from now on."""
        self._max_count, self.oldest_s = _MAX_COUNT, now_s

    def refused(self, reported: tuple[Finished, ...], problem: str) -> AttemptId | None:
        """The coordinator will not read what a call reported: fewer at once, and in the end something else.

        Returns the attempt of which nothing more is to be said, if that is the end of it.
        """
        if len(reported) > 1:
            self._max_count = max(1, len(reported) // 2)
            return None
        (result,) = reported
        instead = _instead_of(result, problem)
        if instead is None:
            return result.id
        self._results[result.id] = instead
        return None


def as_log(failure: Failure) -> bytes:
    """What a failed attempt's log says at its end."""
    lines = [f"{failure.failure_class}: {failure.message}"]
    if failure.record:
        lines.append(f"record: {failure.record}")
    if failure.traceback:
        lines.append(failure.traceback)
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8", "backslashreplace")


def _weight(result: Finished) -> int:
    match result:
        case Commit():
            return 1 + len(result.output.partitions) + len(result.output.counters)
        case Fail():
            return 1 + (len(result.failure.message) + len(result.failure.traceback)) // 64
        case _:
            return 1


def _instead_of(result: Finished, problem: str) -> Finished | None:
    """What to report when the coordinator does not accept a result at all; None: nothing more."""
    if isinstance(result, Commit):
        why = f"The coordinator does not accept the result of {result.id}: {problem}"[:8_000]
        return Fail(id=result.id, failure=Failure(failure_class="system", message=why))
    if isinstance(result, Fail):
        return Release(id=result.id, was_started=True)
    return None
