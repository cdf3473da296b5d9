"""Whether work is spread evenly, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.diagnosis.skew import describe_durations, describe_partitions, heavy_partitions, quantiles_of


def test_quantiles_are_values_that_were_measured() -> None:
    found = quantiles_of([5.0, 1.0, 4.0, 2.0, 3.0])
    assert found is not None
    assert (found.count, found.least, found.p25, found.median, found.p75, found.most) == (5, 1.0, 2.0, 3.0, 4.0, 5.0)


def test_nothing_measured_has_no_quantiles() -> None:
    assert quantiles_of([]) is None
    assert describe_durations(None, "map") == ""


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_ascend_and_are_of_the_values(values: list[float]) -> None:
    found = quantiles_of(values)
    assert found is not None
    marks = [found.least, found.p25, found.median, found.p75, found.most]
    assert marks == sorted(marks)
    assert set(marks) <= set(values)
    assert (found.least, found.most) == (min(values), max(values))


@pytest.mark.parametrize(
    ("durations", "begins"),
    [
        ([10.0, 10.0, 10.0, 11.0], "even: the longest map took 1.1 times"),
        ([10.0, 10.0, 10.0, 10.0, 40.0], "skewed: the longest map took 4.0 times"),
        ([0.1, 0.1, 0.1, 0.1, 0.9], "short: the longest map took 9.0 times"),
        ([1.0, 9.0], "too few map tasks to compare"),
        ([0.0, 0.0, 0.0, 0.0], "even"),
    ],
)
def test_durations_are_judged_by_the_longest_against_the_75th_percentile(durations: list[float], begins: str) -> None:
    assert describe_durations(quantiles_of(durations), "map").startswith(begins)


def test_two_heavy_partitions_are_named_with_their_share() -> None:
    sizes = [100] * 62 + [2_200, 2_100]
    found = heavy_partitions(sizes)
    assert found is not None
    assert found.partitions == (62, 63)
    assert found.sentence == "2 of 64 reduce tasks hold 41 % of the bytes"
    assert describe_partitions(sizes) == f"skewed: {found.sentence}"


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([], ""),
        ([0, 0], ""),
        ([7], "one partition holds everything"),
        ([100, 110, 90, 100], "even: the largest partition holds 1.1 times its fair share"),
        ([300, 100, 100, 100], "skewed: 1 of 4 reduce tasks holds 50 % of the bytes"),
    ],
)
def test_partitions_are_judged_against_their_fair_share(sizes: list[int], text: str) -> None:
    assert describe_partitions(sizes) == text


@given(st.lists(st.integers(0, 1 << 40), min_size=2, max_size=200))
def test_what_is_called_heavy_holds_at_least_twice_its_share(sizes: list[int]) -> None:
    found = heavy_partitions(sizes)
    if found is not None:
        assert 1 <= len(found.partitions) <= 3
        assert all(sizes[index] * len(sizes) >= 2 * sum(sizes) for index in found.partitions)
        assert found.share <= 1.0
