"""Keys: which objects may be one, when two are the same key, in which order they come, and their canonical bytes.

A key is None, bool, int (any size), float, str, bytes, or a tuple of keys. Pure; nothing about files, tasks or values.

**Equality.** Keys that are equal in Python are one key: ``1``, ``1.0`` and ``True``; ``0.0`` and ``-0.0``. NaN is one
key too, although Python says that it differs from itself: `intern_nans` maps every NaN to the one object `NAN`, after
which dicts and tuples (which look at identity first) treat it as one. A group is named by its first key in order of
map index, then emission.

**Order.** None < numbers (bool, int and float by exact value, NaN last) < str (by code point) < bytes < tuples
(element by element, a prefix first). `sort_key` gives an object that compares so; `sort_keys` sorts a list in C
wherever Python's own comparison is the same.

**Canonical bytes.** Equal keys have equal bytes, different keys different ones, for ever: partition numbers are
computed from them (`partitioning`). Integers are big-endian::

    str            its UTF-8 bytes, lone surrogates encoded like other code points (``surrogatepass``); no tag
    anything else  0xFF, which begins no UTF-8, then a tag and its payload:
      'n'          None
      'i'          bool, int, and float with an integral value: the shortest two's complement
      'f'          other floats: IEEE 754 binary64; NaN is always 7ff8000000000000
      'b'          bytes: themselves
      't'          tuple: for each element the length of its canonical bytes (u32) and these bytes
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final, TypeAlias

from mapreduce.dataplane.unstorable import UnstorableValue

Key: TypeAlias = "bool | int | float | str | bytes | tuple[Key, ...] | None"

NAN: Final = float("nan")
"""The one NaN that stands for all of them."""

NUMBERS: Final = frozenset({bool, int, float})
SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
MAX_DEPTH: Final = 32
"""Tuples nested deeper than this are refused: no key is meant so, and every walk over a key stays bounded."""

_ESCAPE: Final = b"\xff"
_CANONICAL_NAN: Final = _ESCAPE + b"f" + bytes.fromhex("7ff8000000000000")
_ONE_TYPE_IN_C: Final = tuple(frozenset({kind}) for kind in (str, int, bytes, bool))
_RANK_NONE, _RANK_NUMBER, _RANK_NAN, _RANK_STR, _RANK_BYTES, _RANK_TUPLE = range(6)


def canonical_bytes(key: Any) -> bytes:
    """The bytes that stand for `key` in hashing. Raises `UnstorableValue` for what cannot be a key."""
    return _canonical(key, 0)


def _canonical(key: Any, depth: int) -> bytes:
    kind = type(key)
    if kind is str:
        text: str = key
        try:
            return text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-8", "surrogatepass")
    if kind is int or kind is bool:
        return _ESCAPE + b"i" + int_bytes(int(key))
    if kind is float:
        if key.is_integer():
            return _ESCAPE + b"i" + int_bytes(int(key))
        return _CANONICAL_NAN if key != key else _ESCAPE + b"f" + struct.pack(">d", key)
    if kind is bytes:
        return _ESCAPE + b"b" + bytes(key)
    if key is None:
        return _ESCAPE + b"n"
    if kind is tuple:
        if depth == MAX_DEPTH:
            raise UnstorableValue("key", key, f"it is nested deeper than {MAX_DEPTH} levels")
        parts = [_canonical(element, depth + 1) for element in key]
        return _ESCAPE + b"t" + b"".join([struct.pack(">I", len(part)) + part for part in parts])
    raise UnstorableValue("key", key)


def int_bytes(value: int) -> bytes:
    """The shortest big-endian two's complement of an integer of any size; at least one byte."""
    return value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True)


def check_key(key: Any) -> None:
    """Raises `UnstorableValue` unless `key` is None, bool, int, float, str, bytes, or a tuple of such."""
    _check(key, 0)


def _check(key: Any, depth: int) -> None:
    if type(key) in SCALARS:
        return
    if type(key) is not tuple:
        raise UnstorableValue("key", key)
    if depth == MAX_DEPTH:
        raise UnstorableValue("key", key, f"it is nested deeper than {MAX_DEPTH} levels")
    for element in key:
        _check(element, depth + 1)


def check_keys(keys: Sequence[Any]) -> None:
    """`check_key` for many at once: one pass in C unless there are tuples."""
    types = set(map(type, keys))
    if not types <= SCALARS:
        for key in keys:
            check_key(key)


def intern_nans(key: Any) -> Any:
    """The key itself, or an equal one in which every NaN is the object `NAN`."""
    if type(key) is float:
        return NAN if key != key else key
    if type(key) is tuple and not _is_nan_free(key):
        return tuple(intern_nans(element) for element in key)
    return key


def _is_nan_free(key: Any) -> bool:
    if type(key) is tuple:
        return all(map(_is_nan_free, key))
    return not (type(key) is float and key != key)


def has_nan(keys: Sequence[Any]) -> bool:
    """Whether any key is a NaN or a tuple that holds one; in C where no float and no tuple is among them."""
    level: Iterable[Any] = keys
    for _ in range(MAX_DEPTH + 1):
        members = level if isinstance(level, list) else list(level)
        types = set(map(type, members))
        if float in types and any(map(math.isnan, [member for member in members if type(member) is float])):
            return True
        if tuple not in types:
            return False
        tuples = members if len(types) == 1 else [member for member in members if type(member) is tuple]
        level = itertools.chain.from_iterable(tuples)
    return False


def sort_key(key: Any) -> Any:
    """An object that compares with those of all other keys in the total order. Raises `UnstorableValue`."""
    kind = type(key)
    if kind is str:
        return (_RANK_STR, key)
    if kind is int or kind is bool:
        return (_RANK_NUMBER, key)
    if kind is float:
        return (_RANK_NUMBER, key) if key == key else (_RANK_NAN,)
    if kind is tuple:
        return (_RANK_TUPLE, tuple(map(sort_key, key)))
    if kind is bytes:
        return (_RANK_BYTES, key)
    if key is None:
        return (_RANK_NONE,)
    raise UnstorableValue("key", key)


def sort_keys(keys: list[Any], types: Set[type] | None = None) -> None:
    """Sorts in place by the total order; bare keys of one kind, and tuples of one shape, are compared in C.

    `types` are those of the keys, if the caller knows them: looking at every object again costs a cache miss each.
    """
    if types in _ONE_TYPE_IN_C or is_order_native(keys):
        keys.sort()
    else:
        keys.sort(key=sort_key)


def is_ascending(keys: list[Any]) -> bool:
    """Whether the keys are already in order (equal neighbours allowed); as cheap as one pass of comparisons."""
    order: Callable[[Any], Any] | None = None if is_order_native(keys) else sort_key
    ranks = keys if order is None else list(map(order, keys))
    return all(map(operator.le, ranks, itertools.islice(ranks, 1, None)))


def is_order_native(keys: Sequence[Any]) -> bool:
    """Whether Python's own `<` orders exactly these keys as the total order does."""
    types = set(map(type, keys))
    if _is_comparable(types, keys):
        return True
    if types != {tuple}:
        return False
    widths = set(map(len, keys))
    if len(widths) == 1:  # each position by itself
        columns = (list(map(operator.itemgetter(position), keys)) for position in range(widths.pop()))
        return all(_is_comparable(set(map(type, column)), column) for column in columns)
    elements = list(itertools.chain.from_iterable(keys))
    return _is_comparable(set(map(type, elements)), elements)


def _is_comparable(types: set[type], members: Sequence[Any]) -> bool:
    if types in _ONE_TYPE_IN_C or not types:
        return True
    return types <= NUMBERS and not any(map(math.isnan, [member for member in members if type(member) is float]))
