"""Merging of sorted groups from many sources into one, by bounded blocks, in constant memory. Pure.

Each round takes from every source's current block what is not beyond the smallest last key of these blocks, gathers
it in a dict, sorts the keys in C and passes them on. Faster than a heap (one Python step a record), and it holds one
block a source. Sources are given in the order in which equal keys' values belong: by map index, then by spill.

A key that goes on in further blocks of its source may have more values than memory: it is passed on piece by piece, as
`Groups` that continue, and never gathered.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from mapreduce.dataplane.groups import Groups, look_up, make_groups
from mapreduce.dataplane.keys import has_nan, intern_nans, sort_key, sort_keys

FAN_IN: Final = 64
"""Most sources merged at once; more are merged in passes over neighbours."""
SOURCE_BYTES: Final = 3 << 20
"""Memory that one source's block needs once it is decoded."""
MIN_FAN_IN: Final = 8

FoldInto: TypeAlias = Callable[[dict[Any, Any], list[Any], list[Any]], None]
"""Folds keys with one value each into a dict, after what is already there."""


def fan_in(budget_bytes: int) -> int:
    """How many sources may be merged at once within a memory budget."""
    return max(MIN_FAN_IN, min(FAN_IN, budget_bytes // (2 * SOURCE_BYTES)))


def plan_pass(count: int, width: int) -> list[range]:
    """Neighbours to merge with each other in one pass, so that the order of values holds; ranges of similar length."""
    parts = -(-count // width)
    borders = [part * count // parts for part in range(parts + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(borders)]


def merge_groups(sources: Sequence[Iterator[Groups]], fold: FoldInto | None = None) -> Iterator[Groups]:
    """All groups of the sources in key order, each key once; groups that continue hold that one key only.

    Without `fold` a key's values are those of the first source, then the second, and so on. With it they are folded to
    one; every key of the sources must have one value then.
    """
    if len(sources) == 1:
        return _isolated(sources[0])
    return _rounds([cursor for cursor in map(_Cursor, sources) if cursor.load()], fold)


def each_key(batches: Iterator[Groups]) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Each key of `merge_groups` with a one-pass iterator over its values, good until the next key is asked for."""
    for batch in batches:
        if batch.continues:
            values = following(batch, batches)
            yield batch.keys[0], values
            for _ in values:
                pass  # what the caller left unread still has to be passed over
        else:
            yield from zip(batch.keys, map(iter, batch.value_lists()), strict=True)


def following(piece: Groups, batches: Iterator[Groups]) -> Iterator[Any]:
    """The values of a key whose first piece is given and which goes on in the next batches."""
    yield from piece.values
    while piece.continues:
        piece = next(batches)
        yield from piece.values


def _isolated(source: Iterator[Groups]) -> Iterator[Groups]:
    """The same groups, but each part of a key that goes on is a batch of its own; NaNs are the one `NAN`."""
    is_rest = False
    for batch in source:
        groups = batch
        if has_nan(groups.keys):
            groups = groups._replace(keys=[intern_nans(key) for key in groups.keys])
        if is_rest and len(groups.keys) > 1:
            yield groups.slice(0, 1)
            groups = groups.slice(1, len(groups.keys))
        if groups.continues and len(groups.keys) > 1:
            last = len(groups.keys) - 1
            yield groups.slice(0, last)
            groups = groups.slice(last, last + 1)
        yield groups
        is_rest = batch.continues


class _Cursor:
    """How far one source has been merged."""

    def __init__(self, source: Iterator[Groups]) -> None:
        self._source = _isolated(source)
        self._groups = Groups([], None, [])
        self._position = 0
        self.last: Any = ()
        """`sort_key` of the last key of the current batch."""

    def load(self) -> bool:
        """Goes on to the next batch if the current one is used up; False at the end."""
        if self._position < len(self._groups.keys):
            return True
        groups = next(self._source, None)
        if groups is None:
            return False
        self._groups, self._position = groups, 0
        self.last = sort_key(groups.keys[-1])
        return True

    def continues_at(self, rank: Any) -> bool:
        """Whether the current batch is the key of this rank, and not all of it."""
        return self._groups.continues and bool(self.last == rank)

    def take_through(self, rank: Any) -> Groups | None:
        """What is left of the current batch up to this rank, inclusive."""
        if self.last <= rank:
            return self._take(len(self._groups.keys))
        return self._take(bisect_right(self._groups.keys, rank, self._position, key=sort_key))

    def take_below(self, rank: Any) -> Groups | None:
        """What is left of the current batch before this rank."""
        return self._take(bisect_left(self._groups.keys, rank, self._position, key=sort_key))

    def take_pieces(self, rank: Any) -> Iterator[Groups]:
        """The key of this rank, if it is the next one, in all its pieces."""
        while self.load() and sort_key(self._groups.keys[self._position]) == rank:
            piece = self._groups.slice(self._position, self._position + 1)
            self._position += 1
            yield piece
            if not piece.continues:
                return

    def _take(self, stop: int) -> Groups | None:
        start, self._position = self._position, stop
        if start == stop:
            return None
        if start == 0 and stop == len(self._groups.keys):
            return self._groups
        return self._groups.slice(start, stop)


def _rounds(cursors: list[_Cursor], fold: FoldInto | None) -> Iterator[Groups]:
    while cursors:
        limit = min([cursor.last for cursor in cursors])
        goes_on = any(cursor.continues_at(limit) for cursor in cursors)
        parts = [cursor.take_below(limit) if goes_on else cursor.take_through(limit) for cursor in cursors]
        found = [part for part in parts if part is not None]
        if found:
            yield found[0] if len(found) == 1 else _gather(found) if fold is None else _folded(found, fold)
        if goes_on:
            assert fold is None, "a folded key has one value"
            yield from _pieces(cursors, limit)
        cursors = [cursor for cursor in cursors if cursor.load()]


def _pieces(cursors: list[_Cursor], rank: Any) -> Iterator[Groups]:
    """One key of many values from all sources that have it, as groups that continue but for the last."""
    held: Groups | None = None
    for cursor in cursors:
        for piece in cursor.take_pieces(rank):
            if held is not None:
                yield held._replace(continues=True)
            held = piece if held is None else piece._replace(keys=held.keys)
    assert held is not None
    yield held._replace(continues=False)


def _gather(parts: list[Groups]) -> Groups:
    """Each key once, its values in the order of the parts."""
    lists: dict[Any, list[Any]] = dict(zip(parts[0].keys, parts[0].value_lists(), strict=True))
    get = lists.get
    for part in parts[1:]:
        for key, values in zip(part.keys, part.value_lists(), strict=True):
            present = get(key)
            if present is None:
                lists[key] = values
            else:
                present.extend(values)
    keys = list(lists)
    sort_keys(keys)
    return make_groups(keys, look_up(lists, keys))


def _folded(parts: list[Groups], fold: FoldInto) -> Groups:
    """Each key once, its values folded."""
    folded = dict(zip(parts[0].keys, parts[0].values, strict=True))
    for part in parts[1:]:
        fold(folded, part.keys, part.values)
    keys = list(folded)
    sort_keys(keys)
    return Groups(keys, None, look_up(folded, keys))
