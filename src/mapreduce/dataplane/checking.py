"""What careful mode does with each pair that a mapper yields: its shape, its types and its size are checked, at once.

Slow, and used only when the fast loops met something that they cannot do right: then the check names the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mapreduce.dataplane.blame import Misuse, shown
from mapreduce.dataplane.footprint import footprint
from mapreduce.dataplane.keys import NUMBERS, check_key, intern_nans
from mapreduce.dataplane.runs import MAX_MEMBER_BYTES
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec

PAIRS = "an iterable of (key, value) pairs"


def checked_results(results: Iterable[Any], reducer: str | None, codec: Codec) -> Iterator[Iterator[Any]]:
    """The results of a mapper, each as an iterator that checks and normalises what it passes on.

    Raises `Misuse` and `UnstorableValue`.
    """
    for result in results:
        if result is not None:
            yield _checked_keys(result) if reducer == "count" else _checked_pairs(result, reducer, codec)


def _checked_keys(result: Any) -> Iterator[Any]:
    for key in _members(result, "an iterable of keys (the reducer is count)"):
        yield _checked_key(key)


def _checked_pairs(result: Any, reducer: str | None, codec: Codec) -> Iterator[tuple[Any, Any]]:
    for pair in _members(result, PAIRS):
        yield checked_pair(pair, reducer, codec)


def checked_pair(pair: Any, reducer: str | None, codec: Codec) -> tuple[Any, Any]:
    """The normalised pair. Raises `Misuse` and `UnstorableValue`."""
    if type(pair) not in (tuple, list) or len(pair) != 2:
        raise Misuse(f"must yield (key, value) pairs, not {shown(pair)}.")
    key, value = _checked_key(pair[0]), pair[1]
    if reducer in ("sum", "mean") and type(value) not in NUMBERS:
        raise Misuse(f"yielded the value {shown(value)} for key {shown(key)}, but the reducer {reducer} needs numbers.")
    if reducer in ("min", "max"):
        check_key(value)  # what has an order is what may be a key
    if footprint([value]) > MAX_MEMBER_BYTES:
        raise UnstorableValue("value", value, f"it is larger than {MAX_MEMBER_BYTES >> 20} MiB")
    return key, codec.normalise(value)


def _checked_key(key: Any) -> Any:
    check_key(key)
    if footprint([key]) > MAX_MEMBER_BYTES:
        raise UnstorableValue("key", key, f"it is larger than {MAX_MEMBER_BYTES >> 20} MiB")
    return intern_nans(key)


def _members(result: Any, expected: str) -> Iterator[Any]:
    if isinstance(result, (str, bytes)) or not hasattr(result, "__iter__"):
        raise Misuse(f"must return {expected}, not {shown(result)}.")
    return iter(result)
