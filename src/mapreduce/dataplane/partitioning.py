"""Which partition a key belongs to: XXH3 (64 bits) of its canonical bytes, modulo R. Pure.

Partition numbers must never change between versions, platforms or hash seeds; test vectors guard them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xxhash import xxh3_64_intdigest

from mapreduce.dataplane.keys import canonical_bytes


def partition_of(key: Any, partitions: int) -> int:
    """The partition of one key, `0 <= result < partitions`. Raises `UnstorableValue` for what cannot be a key."""
    return xxh3_64_intdigest(canonical_bytes(key)) % partitions


def partition_of_many(keys: Sequence[Any], partitions: int) -> list[int]:
    """The partitions of many keys, in their order; fastest when all are strings."""
    digest = xxh3_64_intdigest
    if set(map(type, keys)) == {str}:
        try:
            return [digest(key.encode()) % partitions for key in keys]
        except UnicodeEncodeError:
            pass  # a string with surrogates, which have no strict UTF-8
    return [digest(canonical_bytes(key)) % partitions for key in keys]


def split_by_partition(keys: Iterable[Any], partitions: int) -> list[list[Any]]:
    """The keys of each partition, each list in the order of `keys`."""
    if partitions == 1:
        return [list(keys)]
    digest = xxh3_64_intdigest
    rest = iter(keys)
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    appends = [part.append for part in parts]
    for key in rest:
        if type(key) is str:
            try:
                appends[digest(key.encode()) % partitions](key)
            except UnicodeEncodeError:
                appends[digest(canonical_bytes(key)) % partitions](key)
        else:
            appends[digest(canonical_bytes(key)) % partitions](key)
    return parts
