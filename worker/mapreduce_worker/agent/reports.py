"""Which results go into one call, what becomes of one that is not accepted at all, and a failure as a log. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mapreduce.protocol.messages import Commit, Fail, Failure, Finished, Release


def choose_results(results: Iterable[Finished], *, max_weight: int, max_count: int) -> tuple[Finished, ...]:
    """The oldest results that fit one call; at least one if there is any."""
    chosen: list[Finished] = []
    weight = 0
    for result in results:
        weight += _weight(result)
        if chosen and (weight > max_weight or len(chosen) >= max_count):
            break
        chosen.append(result)
    return tuple(chosen)


def without_what_is_refused(result: Finished, problem: str) -> Finished | None:
    """What to report instead of a result that the coordinator does not accept at all; None: nothing more."""
    if isinstance(result, Commit):
        why = f"The coordinator does not accept the result of {result.id}: {problem}"[:8_000]
        return Fail(id=result.id, failure=Failure(failure_class="system", message=why))
    if isinstance(result, Fail):
        return Release(id=result.id, was_started=True)
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
