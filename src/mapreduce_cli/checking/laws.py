"""The laws of a combiner, tried on a sample: it may run on any part of a key's values, any number of times.

Compared is what the reducer makes of it in the end. Parts keep their order, because the engine keeps it; whether the
order matters is said, too, since other engines do not promise it.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from mapreduce.api import Context
from mapreduce.dataplane.blame import shown
from mapreduce.dataplane.combining import Combiner
from mapreduce.dataplane.values import Codec
from mapreduce.errors import TaskFailed
from mapreduce.userjob import UserJob
from mapreduce_cli.checking.findings import Finding
from mapreduce_cli.checking.reducing import Group

_MOST_KEYS: Final = 200
_MOST_VALUES: Final = 1_000
_ROUNDS: Final = 3
_CLOSE: Final = 1e-9

Outcome = list[tuple[Any, Any]]


def broken_laws(
    job: UserJob, groups: Sequence[Group], codec: Codec, args: dict[str, str], *, until_s: float
) -> Iterator[Finding]:
    """A finding for each law that a key of the sample breaks."""
    assert job.combiner is not None
    assert job.reducer is not None
    context = Context(job_name=job.name, task_id="map-0", args=args)
    combiner = Combiner(job, context)
    reducer = functools.partial(job.reducer, ctx=context) if job.reducer_wants_ctx else job.reducer
    rng = random.Random(0)  # noqa: S311 - the same parts in every check
    said: set[str] = set()

    def reduce(key: Any, values: list[Any]) -> Outcome:
        return [(made, value) for made, value in reducer(key, iter(values)) or ()]

    def combine(key: Any, values: list[Any]) -> list[Any]:
        return [codec.normalise(value) for value in combiner(key, values)]

    for key, whole in _tried(groups):
        if time.monotonic() > until_s:
            return
        values = whole[:_MOST_VALUES]
        plain = reduce(key, values)
        try:
            for law, other in _variants(key, values, combine, rng):
                if law in said or (said and law == "order"):
                    continue
                made = reduce(key, other)
                if _is_same(made, plain):
                    continue
                said.add(law)
                finding = _finding(law, key, plain, made)
                yield finding
                if finding.level == "problem":
                    return
        except TaskFailed as failure:
            yield Finding(level="problem", what=str(failure), where=failure.record, traceback=failure.traceback)
            return


def _tried(groups: Sequence[Group]) -> list[Group]:
    """Keys with most values first: those with one value prove nothing."""
    several = [group for group in groups if len(group[1]) > 1]
    return sorted(several, key=lambda group: -len(group[1]))[:_MOST_KEYS]


def _variants(
    key: Any, values: list[Any], combine: Callable[[Any, list[Any]], list[Any]], rng: random.Random
) -> Iterator[tuple[str, list[Any]]]:
    yield "all", combine(key, values)
    for _ in range(_ROUNDS):
        cut = rng.randrange(1, len(values))
        head, tail = values[:cut], values[cut:]
        yield "parts", combine(key, head) + combine(key, tail)
        yield "part", combine(key, head) + tail
        yield "again", combine(key, combine(key, head) + combine(key, tail))
        mixed = values[:]
        rng.shuffle(mixed)
        yield "order", combine(key, mixed)


_LAWS: Final = {
    "all": "the combiner changes the result: with it the reducer gives something else than without it",
    "parts": "the combiner is not associative: run on two parts of a key's values it gives another result",
    "part": "the combiner is not associative: run on a part of a key's values it gives another result",
    "again": "the combiner cannot be run on what it made itself, but spills of one task are combined once more",
    "order": "the combiner is not commutative: another order of the values gives another result",
}
_FIX: Final = (
    "A combiner must give what the reducer can take in place of the values: for a mean, combine (sum, count) pairs and "
    "divide in the reducer; or use a named reducer; or leave the combiner out."
)
_ORDER_FIX: Final = (
    "The engine keeps the order (by map task, then as yielded), so its results are the same each time; but they change "
    "with the order of the input."
)


def _finding(law: str, key: Any, plain: Outcome, made: Outcome) -> Finding:
    where = f"key {shown(key)}: {shown(plain)} without, {shown(made)} with"
    if _is_close(plain, made):
        return Finding(
            level="note",
            what="the combiner adds floats: its results are approximate, the last digits depend on where parts end",
            where=where,
            fix='Named reducers ("sum", "mean") are exact; or combine integers, such as cents.',
        )
    if law == "order":
        return Finding(level="warning", what=_LAWS[law], where=where, fix=_ORDER_FIX)
    return Finding(level="problem", what=_LAWS[law], where=where, fix=_FIX)


def _is_same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other) or one == other


def _is_close(one: Any, other: Any) -> bool:
    """Equal but for the rounding of floats."""
    if isinstance(one, float) or isinstance(other, float):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-12)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(one[name], other[name]) for name in one)
    return bool(one == other)
