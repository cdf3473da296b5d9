"""The shape of what the user's functions return, and what careful mode checks of each pair: shape, types and size.

The pairs' checks are slow. They see the first records of a task, and all when the fast loops met something that they
cannot do right: then the check names the record.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final

from mapreduce.dataplane.blame import Misuse, shown
from mapreduce.dataplane.footprint import footprint
from mapreduce.dataplane.keys import NUMBERS, check_key, intern_nans
from mapreduce.dataplane.runs import MAX_MEMBER_BYTES
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec

_PAIRS: Final = "an iterable of (key, value) pairs"
_KEYS: Final = "an iterable of keys (the reducer is count)"

_SET_ADVICE: Final = " A set has another order in each process: return sorted(...)."
_ADVICE: Final[dict[type, str]] = {
    dict: " Of a dict return .items().",
    set: _SET_ADVICE,
    frozenset: _SET_ADVICE,
}
#: A set of keys is welcome: they are only counted, so its order does not matter.
_KEYS_ADVICE: Final[dict[type, str]] = {
    dict: " Of a dict return list(...).",
    tuple: " If the tuple is one key, return it in a list; if it holds several, return them as a list.",
}
_TEXTS: Final = (str, bytes, bytearray)


def members_of(result: Any, *, is_count: bool = False) -> Iterable[Any]:
    """What one call of a user's function returned, as the pairs (`is_count`: keys) that it stands for.

    Raises `Misuse` for what could be iterated, but means something else: a string, a dict, a set.
    """
    if not result:
        return ()
    advice = _KEYS_ADVICE if is_count else _ADVICE
    for kind in type(result).__mro__:
        if kind in advice or kind in _TEXTS:
            raise Misuse(f"must return {_KEYS if is_count else _PAIRS}, not {shown(result)}.{advice.get(kind, '')}")
    if not hasattr(result, "__iter__"):
        raise Misuse(f"must return {_KEYS if is_count else _PAIRS}, not {shown(result)}.")
    members: Iterable[Any] = result
    return members


def as_pair(pair: Any) -> tuple[Any, Any]:
    """Key and value. Raises `Misuse`."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise Misuse(f"must yield (key, value) pairs, not {shown(pair)}.")
    key, value = pair
    return key, value


def check_of(reducer: str | None, codec: Codec) -> Callable[[Any], Any]:
    """What checks and normalises one pair for a reducer (for ``count``: one key)."""
    return _checked_key if reducer == "count" else functools.partial(checked_pair, reducer=reducer, codec=codec)


def checked_pair(pair: Any, reducer: str | None, codec: Codec) -> tuple[Any, Any]:
    """The normalised pair. Raises `Misuse` and `UnstorableValue`."""
    key, value = as_pair(pair)
    key = _checked_key(key)
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
