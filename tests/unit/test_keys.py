from __future__ import annotations

import math
from typing import Any

import pytest

from mapreduce.dataplane.keys import (
    NAN,
    canonical_bytes,
    check_key,
    check_keys,
    has_nan,
    intern_nans,
    is_ascending,
    sort_key,
    sort_keys,
)
from mapreduce.dataplane.partitioning import partition_of, partition_of_many, split_by_partition
from mapreduce.dataplane.unstorable import UnstorableValue

VECTORS: list[tuple[Any, str, int]] = [
    (None, "ff6e", 697476),
    (True, "ff6901", 976313),
    (0, "ff6900", 31709),
    (-1, "ff69ff", 378234),
    (128, "ff690080", 816265),
    (-129, "ff69ff7f", 264318),
    (1180591620717411303424, "ff69400000000000000000", 486977),
    (1.5, "ff663ff8000000000000", 276902),
    (math.nan, "ff667ff8000000000000", 690605),
    (math.inf, "ff667ff0000000000000", 562269),
    (-math.inf, "ff66fff0000000000000", 242402),
    ("", "", 778394),
    ("a", "61", 103908),
    ("é", "c3a9", 887775),
    ("\udcff", "edb3bf", 778390),
    ("日本語", "e697a5e69cace8aa9e", 38171),
    (b"", "ff62", 139575),
    (b"a", "ff6261", 604662),
    ((), "ff74", 624350),
    ((1, "a"), "ff7400000003ff69010000000161", 224988),
    (((None,), b"\x00"), "ff7400000008ff7400000002ff6e00000003ff6200", 541410),
]


@pytest.mark.parametrize(("key", "canonical", "partition"), VECTORS)
def test_canonical_bytes_and_partitions_never_change(key: Any, canonical: str, partition: int) -> None:
    assert canonical_bytes(key).hex() == canonical
    assert partition_of(key, 1_000_003) == partition


def test_many_keys_are_partitioned_like_each_of_them() -> None:
    keys = [key for key, _, _ in VECTORS]
    assert partition_of_many(keys, 1_000_003) == [partition for _, _, partition in VECTORS]
    words = ["a", "é", "日本語"]
    assert partition_of_many(words, 7) == [partition_of(word, 7) for word in words]
    assert partition_of_many(["a", "\udcff"], 7) == [partition_of("a", 7), partition_of("\udcff", 7)]


def test_splitting_keeps_the_order_within_each_partition() -> None:
    keys = [f"key{number}" for number in range(100)] + [1, None, "\udcff"]
    parts = split_by_partition(keys, 5)
    assert parts == [[key for key in keys if partition_of(key, 5) == partition] for partition in range(5)]
    assert split_by_partition(keys, 1) == [keys]


@pytest.mark.parametrize(
    "same", [(1, 1.0, True), (0, 0.0, -0.0, False), (2**53, float(2**53)), ((1, "a"), (1.0, "a"), (True, "a"))]
)
def test_keys_equal_in_python_are_one_key(same: tuple[Any, ...]) -> None:
    assert len({canonical_bytes(key) for key in same}) == 1
    assert all(sort_key(key) == sort_key(same[0]) for key in same)


def test_nan_is_one_key_wherever_it_occurs() -> None:
    other = float("nan")
    assert canonical_bytes(other) == canonical_bytes(-other) == canonical_bytes(NAN)
    assert intern_nans(other) is NAN
    assert intern_nans((1, (other,)))[1][0] is NAN
    assert len({intern_nans((other, 1)), intern_nans((float("nan"), 1))}) == 1
    assert sort_key(other) == sort_key(NAN) > sort_key(math.inf)
    plain = (1, "a")
    assert intern_nans(plain) is plain


@pytest.mark.parametrize("keys", [[1, math.nan], [("a", (math.nan,))], ["a", (1, 2.0), ("b", (1.0, math.nan))]])
def test_nan_is_found_at_any_depth(keys: list[Any]) -> None:
    assert has_nan(keys)
    assert not has_nan([intern_nans(key) if key == key else 0 for key in ["a", 1.5, (2.5,)]])


def test_the_order_goes_by_type_then_by_value() -> None:
    ordered: list[Any] = [
        None,
        -math.inf,
        -1,
        False,
        0.5,
        True,
        2**70,
        math.inf,
        math.nan,
        "",
        "a",
        "b",
        "é",
        "\U0001f600",
        b"",
        b"a",
    ]
    ordered += [(), (None,), (1,), (1, None), (1, 2), (math.nan,), ("a",)]
    shuffled = ordered[::-1]
    sort_keys(shuffled)
    assert [repr(key) for key in shuffled] == [repr(key) for key in ordered]
    assert is_ascending(ordered)
    assert not is_ascending(ordered[::-1])


def test_strings_are_ordered_by_code_point_not_by_utf_16() -> None:
    keys = ["\U00010000", "￿", "\ud800"]
    sort_keys(keys)
    assert keys == ["\ud800", "￿", "\U00010000"]


@pytest.mark.parametrize("culprit", [[1], {1}, {}, object(), 1j, (1, [2]), bytearray(b"a")])
def test_what_cannot_be_a_key_is_refused_with_its_type(culprit: Any) -> None:
    for refuse in (check_key, canonical_bytes, sort_key):
        with pytest.raises(UnstorableValue, match=r"a key of type \w+ cannot be stored"):
            refuse(culprit)
    with pytest.raises(UnstorableValue):
        check_keys(["a", culprit])


def test_subclasses_of_plain_types_are_refused_because_they_would_come_back_as_something_else() -> None:
    class Word(str):
        __slots__ = ()

    with pytest.raises(UnstorableValue, match=r"Emit str\(\.\.\.\) of it\.") as refusal:
        check_key(Word("a"))
    assert refusal.value.type_name.endswith("Word")


def test_a_tuple_that_is_nested_without_end_is_refused() -> None:
    key: Any = ()
    for _ in range(100):
        key = (key,)
    for refuse in (check_key, canonical_bytes):
        with pytest.raises(UnstorableValue, match="nested deeper"):
            refuse(key)
