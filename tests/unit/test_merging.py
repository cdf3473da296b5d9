from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from mapreduce.dataplane.groups import Groups, make_groups
from mapreduce.dataplane.merging import each_key, fan_in, merge_groups, plan_pass
from mapreduce.dataplane.reducers import FOLDS


def flat(batches: Iterator[Groups]) -> list[tuple[Any, list[Any]]]:
    return [(key, list(values)) for key, values in each_key(batches)]


def hot(key: Any, pieces: list[list[Any]]) -> list[Groups]:
    last = len(pieces) - 1
    return [make_groups([key], [piece], continues=index < last) for index, piece in enumerate(pieces)]


def test_values_come_by_source_then_by_emission() -> None:
    first = [make_groups(["a", "c"], [[1, 2], [3]])]
    second = [make_groups(["b", "c"], [[4], [5, 6]])]
    assert flat(merge_groups([iter(first), iter(second)])) == [("a", [1, 2]), ("b", [4]), ("c", [3, 5, 6])]


def test_a_key_is_named_by_its_first_source() -> None:
    merged = flat(merge_groups([iter([Groups([True], None, [1])]), iter([Groups([1.0], None, [2])])]))
    assert repr(merged) == "[(True, [1, 2])]"


def test_a_key_that_goes_on_is_never_gathered() -> None:
    first = [Groups(["a"], None, [0]), *hot("k", [[1], [2, 3], [4]]), Groups(["z"], None, [9])]
    second = [*hot("k", [[5], [6]])]
    third = [make_groups(["k", "l"], [[7, 8], [1]])]
    batches = list(merge_groups([iter(first), iter(second), iter(third)]))
    pieces = [batch for batch in batches if batch.keys == ["k"]]
    assert [piece.values for piece in pieces] == [[1], [2, 3], [4], [5], [6], [7, 8]]
    assert [piece.continues for piece in pieces] == [True] * 5 + [False]
    assert flat(iter(batches)) == [("a", [0]), ("k", [1, 2, 3, 4, 5, 6, 7, 8]), ("l", [1]), ("z", [9])]


def test_a_key_that_goes_on_in_a_block_with_others_is_found() -> None:
    blocks = [make_groups(["a", "k"], [[1], [2]], continues=True), make_groups(["k", "m"], [[3], [4]])]
    for sources in ([iter(blocks)], [iter(blocks), iter([])]):
        assert flat(merge_groups(sources)) == [("a", [1]), ("k", [2, 3]), ("m", [4])]


def test_values_left_unread_are_passed_over() -> None:
    batches = merge_groups([iter([*hot("k", [[1], [2], [3]]), Groups(["z"], None, [9])])])
    assert [key for key, _ in each_key(batches)] == ["k", "z"]


def test_only_one_block_of_each_source_is_read_ahead() -> None:
    read = [0, 0]

    def source(number: int) -> Iterator[Groups]:
        for index in range(100):
            read[number] += 1
            yield Groups([index * 2 + number], None, [index])

    batches = merge_groups([source(0), source(1)])
    for count, _ in enumerate(itertools.islice(batches, 50), start=1):
        assert max(read) <= count // 2 + 2


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("sum", [1, 2, 3], 6),
        ("min", [2, 1, True], 1),
        ("max", [1, 2, 2.0], 2),
        ("max", [1, "a", None], "a"),
        ("mean", [(3, 2), (1, 1)], (4, 3)),
    ],
)
def test_folded_values_are_folded_in_order(name: str, values: list[Any], expected: Any) -> None:
    sources = [iter([Groups(["k", f"only{index}"], None, [value, value])]) for index, value in enumerate(values)]
    merged = list(merge_groups(sources, FOLDS[name]))
    found = {key: value for batch in merged for key, value in zip(batch.keys, batch.values, strict=True)}
    assert repr(found["k"]) == repr(expected)
    assert found["only0"] == values[0]


def test_passes_take_neighbours_of_similar_number() -> None:
    assert plan_pass(100, 64) == [range(50), range(50, 100)]
    assert [len(part) for part in plan_pass(65, 64)] == [32, 33]
    assert plan_pass(3, 64) == [range(3)]


def test_the_number_of_open_sources_follows_the_budget() -> None:
    assert fan_in(256 << 20) == 42
    assert fan_in(1 << 20) == 8
    assert fan_in(1 << 40) == 64
