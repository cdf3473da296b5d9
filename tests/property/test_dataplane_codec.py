"""Keys, values and exact sums, over everything that they may be."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mapreduce.dataplane.exactsum import exact_sum, merge_exact
from mapreduce.dataplane.keys import canonical_bytes, intern_nans, is_ascending, sort_key, sort_keys
from mapreduce.dataplane.partitioning import partition_of, partition_of_many
from mapreduce.dataplane.values import decode_column, encode_column, normalise
from tests.support.dataplanedata import FLOATS, KEYS, VALUES


@given(st.lists(VALUES, max_size=8))
def test_columns_come_back_as_they_were(column: list[Any]) -> None:
    assert repr(decode_column(encode_column(column))) == repr(column)


@given(VALUES)
def test_normalising_changes_nothing_that_is_storable(value: Any) -> None:
    assert repr(normalise(value)) == repr(value)


@given(st.lists(KEYS, max_size=8))
def test_keys_come_back_and_keep_their_partitions(keys: list[Any]) -> None:
    decoded = decode_column(encode_column(keys))
    assert repr(decoded) == repr(keys)
    assert partition_of_many(decoded, 97) == [partition_of(key, 97) for key in keys]


@given(KEYS, KEYS)
def test_order_equality_and_canonical_bytes_agree(left: Any, right: Any) -> None:
    ranks = (sort_key(left), sort_key(right))
    assert (ranks[0] < ranks[1]) + (ranks[0] > ranks[1]) + (ranks[0] == ranks[1]) == 1
    is_one_key = ranks[0] == ranks[1]
    assert is_one_key == (canonical_bytes(left) == canonical_bytes(right))
    assert is_one_key == (len({intern_nans(left), intern_nans(right)}) == 1)


@given(KEYS, KEYS, KEYS)
def test_the_order_is_transitive(first: Any, second: Any, third: Any) -> None:
    for low, middle, high in itertools.permutations([first, second, third]):
        if sort_key(low) <= sort_key(middle) <= sort_key(high):
            assert sort_key(low) <= sort_key(high)


@given(st.lists(KEYS, max_size=12) | st.lists(st.tuples(st.integers(), st.text()), max_size=12) | st.lists(FLOATS))
def test_sorting_in_c_is_sorting_by_the_total_order(keys: list[Any]) -> None:
    expected = sorted(keys, key=sort_key)
    sort_keys(keys)
    assert repr(keys) == repr(expected)
    assert is_ascending(keys)


@given(st.lists(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(), max_size=6)))
def test_exact_sums_are_rational_sums_rounded_once(groups: list[list[float]]) -> None:
    numbers = [number for group in groups for number in group]
    total = merge_exact(map(exact_sum, groups))
    exact = sum(map(Fraction, numbers), Fraction(0))
    if any(type(number) is float for number in numbers):
        assert total.total() == rounded(exact)
    else:
        assert total.total() == exact
    if numbers:
        assert total.mean() == rounded(exact / len(numbers))
    assert total == exact_sum(numbers)


def rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


@given(st.lists(FLOATS), st.integers(0, 20))
def test_special_floats_sum_to_the_same_however_they_are_grouped(numbers: list[float], cut: int) -> None:
    whole = exact_sum(numbers)
    assert repr(merge_exact([exact_sum(numbers[:cut]), exact_sum(numbers[cut:])])) == repr(whole)
    assert repr(exact_sum(numbers[::-1])) == repr(whole)
