from __future__ import annotations

import math

import pytest

from mapreduce.dataplane.exactsum import ExactSum, exact_sum, merge_exact

BIG = 1.7e308


def test_a_sum_of_integers_stays_an_integer() -> None:
    assert exact_sum([1, True, 2**100]).total() == 2**100 + 2
    assert type(exact_sum([True, True]).total()) is int


def test_one_float_makes_the_sum_a_float() -> None:
    total = exact_sum([1, 2.0]).total()
    assert (total, type(total)) == (3.0, float)


def test_a_mixture_is_rounded_once() -> None:
    assert exact_sum([2**53, 1, 1.0]).total() == 2**53 + 2
    assert exact_sum([0.1] * 10).total() == 1.0


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([math.inf, 1.0], math.inf),
        ([-math.inf, 2**2000], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, math.inf], math.nan),
        ([BIG, BIG, -BIG], BIG),
        ([BIG, BIG], math.inf),
        ([-BIG, -BIG], -math.inf),
        ([2**2000, 0.5], math.inf),
        ([2**2000, -(2**2000), 0.5], 0.5),
        ([-0.0, -0.0], 0.0),
        ([5e-324, 5e-324], 1e-323),
    ],
)
def test_special_totals_are_defined_however_the_numbers_are_grouped(numbers: list[float], expected: float) -> None:
    groupings = [exact_sum(numbers), merge_exact(exact_sum([number]) for number in numbers)]
    groupings.append(merge_exact([exact_sum(numbers[1:]), exact_sum(numbers[:1])]))
    for total in groupings:
        assert repr(total.total()) == repr(expected)
        assert repr(total) == repr(groupings[0])


def test_a_mean_is_rounded_once() -> None:
    assert exact_sum([1, 2]).mean() == 1.5
    assert exact_sum([0.1] * 3).mean() == 0.1
    assert exact_sum([BIG] * 4).mean() == BIG
    assert exact_sum([2**53 + 1, 1.0, 0.5]).mean() == float((2**54 + 5) / 6)
    assert math.isnan(exact_sum([math.nan, 1.0]).mean())
    assert exact_sum([10**400]).mean() == math.inf
    assert exact_sum([-0.5, 0.5]).mean() == 0.0


def test_the_sum_of_nothing_is_the_integer_zero() -> None:
    assert merge_exact([]) == ExactSum()
    assert ExactSum().total() == 0
