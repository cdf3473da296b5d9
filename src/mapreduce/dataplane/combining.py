"""Calling the user's combiner: on values gathered in memory, and once more on those that spills of one task share."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Final

from mapreduce.dataplane.blame import Misuse, failure_of, shown
from mapreduce.dataplane.groups import Groups, make_groups
from mapreduce.dataplane.merging import following
from mapreduce.dataplane.work import JobFunctions, TaskContext
from mapreduce.errors import TaskFailed

COMBINER_MARK: Final = " (in the combiner; depends on spills)"
"""Appended to the names of counters that a combiner raised: how often it runs depends on the memory budget."""


class Combiner:
    """Folds some values of a key into fewer by the user's function, whose results must keep the key."""

    def __init__(self, job: JobFunctions, context: TaskContext) -> None:
        assert job.combiner is not None
        self._call = functools.partial(job.combiner, ctx=context) if job.combiner_wants_ctx else job.combiner
        self._context = context
        self.counters: dict[str, int] = {}

    def __call__(self, key: Any, values: Iterable[Any]) -> list[Any]:
        """The combined values. Raises `TaskFailed` (user)."""
        outer, self._context.counters = self._context.counters, self.counters
        try:
            return [self._value(key, pair) for pair in self._call(key, iter(values)) or ()]
        except TaskFailed:
            raise
        except (Exception, SystemExit) as error:
            raise failure_of(error, "the combiner", f"key {shown(key)}") from error
        finally:
            self._context.counters = outer

    def marked_counters(self) -> dict[str, int]:
        """What the combiner counted, under names that say so."""
        return {name + COMBINER_MARK: count for name, count in self.counters.items()}

    def _value(self, key: Any, pair: Any) -> Any:
        if type(pair) not in (tuple, list) or len(pair) != 2:
            raise Misuse(f"must yield (key, value) pairs, not {shown(pair)}.")
        if pair[0] is not key and pair[0] != key:
            raise Misuse(f"must keep the key: it was called with {shown(key)} and yielded {shown(pair[0])}.")
        return pair[1]


def combined(batches: Iterator[Groups], combiner: Combiner) -> Iterator[Groups]:
    """Merged groups in which each key that has several values went through the combiner."""
    for batch in batches:
        if batch.continues:
            yield _without_empty(batch.keys, [combiner(batch.keys[0], following(batch, batches))])
        elif batch.counts is None:
            yield batch
        else:
            lists = zip(batch.keys, batch.value_lists(), strict=True)
            yield _without_empty(
                batch.keys, [values if len(values) == 1 else combiner(key, values) for key, values in lists]
            )


def _without_empty(keys: list[Any], lists: list[list[Any]]) -> Groups:
    """Groups of the keys that have values left."""
    if all(lists):
        return make_groups(keys, lists)
    kept = [(key, values) for key, values in zip(keys, lists, strict=True) if values]
    return make_groups([key for key, _ in kept], [values for _, values in kept])
