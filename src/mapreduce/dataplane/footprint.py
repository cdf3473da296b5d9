"""What objects cost in memory, by documented constants and as fast as C passes over lists allow. Pure.

An estimate on the safe side, by constants of our own rather than `sys.getsizeof`: spill points and block borders are
derived from it, and must not depend on the interpreter's version.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mapreduce.dataplane.keys import MAX_DEPTH

NUMBER_BYTES: Final = 32
STR_BYTES: Final = 56
"""A str's header; each character of an ASCII string adds 1 byte, of any other 4."""
BYTES_BYTES: Final = 40
CONTAINER_BYTES: Final = 72
MEMBER_BYTES: Final = 8
DICT_ENTRY_BYTES: Final = 48
"""An entry of a dict with its index and the room that growing needs."""

_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_SHARING_SAMPLE: Final = 16


def shared_footprint(members: Sequence[Any]) -> int:
    """The same, but an object that occurs several times in the list (a file name, a small number) counts once."""
    sample = members[::_SHARING_SAMPLE]
    if len(set(map(id, sample))) == len(sample):
        return footprint(members)
    return footprint(list(dict(zip(map(id, members), members, strict=True)).values()))


def footprint(members: Sequence[Any]) -> int:
    """Bytes of memory that these objects hold, without the list that refers to them."""
    total = 0
    level: Sequence[Any] = members
    for _ in range(MAX_DEPTH):
        types = set(map(type, level))
        total += _scalars(level, types)
        below: list[Any] = []
        for kind in types - _NUMBERS - {str, bytes}:
            same = level if len(types) == 1 else [member for member in level if type(member) is kind]
            contents = _contents(kind, same)
            total += len(same) * CONTAINER_BYTES + len(contents) * MEMBER_BYTES
            below.extend(contents)
        if not below:
            break
        level = below
    return total


def _scalars(level: Sequence[Any], types: set[type]) -> int:
    total = 0
    if int in types or float in types:
        total += NUMBER_BYTES * len(level)
        if int in types:
            integers = level if types == {int} else [member for member in level if type(member) is int]
            total += max(0, sum(map(int.bit_length, integers)) // 8 - 8 * len(integers))
    if str in types:
        texts = level if types == {str} else [member for member in level if type(member) is str]
        joined = "".join(texts)
        wide = 0 if joined.isascii() else sum(len(text) for text in texts if not text.isascii())
        total += STR_BYTES * len(texts) + len(joined) + 3 * wide
    if bytes in types:
        blobs = level if types == {bytes} else [member for member in level if type(member) is bytes]
        total += BYTES_BYTES * len(blobs) + sum(map(len, blobs))
    return total


def _contents(kind: type[Any], members: Sequence[Any]) -> list[Any]:
    """What the members of one container type hold."""
    if kind is tuple or kind is list:
        return list(itertools.chain.from_iterable(members))
    if kind is dict:
        return list(itertools.chain.from_iterable(itertools.chain.from_iterable(map(dict.items, members))))
    if issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
    else:
        return []
    return [getattr(member, name, None) for member in members for name in names]
