"""What every implementation of the seam owes: the bytes of the reference."""

from __future__ import annotations

from typing import Any

import pytest

from mapreduce.dataplane.footprint import NUMBER_BYTES, STR_BYTES, footprint, shared_footprint
from mapreduce.dataplane.grouping import GroupingPlan, Mode, Regroup
from mapreduce.dataplane.groups import Groups
from mapreduce.dataplane.merging import each_key
from mapreduce.dataplane.partitioning import partition_of
from mapreduce.dataplane.seam import PYTHON_KERNEL, Grouper, Kernel

KERNELS = [PYTHON_KERNEL]
RESULTS: list[Any] = [[("b", 1), ("a", 2)], None, [("b", 3)], iter([("c", 4), ("a", 5)])]


@pytest.fixture(params=KERNELS, ids=lambda kernel: kernel.name)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    made = request.param
    assert isinstance(made, Kernel)
    return made


def content(grouper: Grouper, partitions: int) -> dict[Any, list[Any]]:
    """Everything in a grouper, which is empty afterwards; checks order and partition of each key on the way."""
    spill = grouper.spill()
    found: dict[Any, list[Any]] = {}
    for partition in range(partitions):
        keys: list[Any] = []
        for key, values in each_key(spill.groups(partition)):
            assert partition_of(key, partitions) == partition
            keys.append(key)
            found[key] = list(values)
        assert keys == sorted(keys)
    return found


@pytest.mark.parametrize(
    ("reducer", "expected"),
    [
        ("sum", {"a": [7], "b": [4], "c": [4]}),
        ("mean", {"a": [(7, 2)], "b": [(4, 2)], "c": [(4, 1)]}),
        ("min", {"a": [2], "b": [1], "c": [4]}),
        ("max", {"a": [5], "b": [3], "c": [4]}),
        (None, {"a": [2, 5], "b": [1, 3], "c": [4]}),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_a_grouper_gathers_folds_and_empties_itself(
    kernel: Kernel, reducer: str | None, expected: dict[str, list[Any]], mode: Mode
) -> None:
    grouper = kernel.make_grouper(GroupingPlan(4, reducer, mode=mode))
    for _ in range(2):
        grouper.add([list(result) if result is not None else None for result in ([("b", 1), ("a", 2)], None)])
        grouper.add([[("b", 3)], iter([("c", 4), ("a", 5)])])
        assert grouper.bytes_used() > 0
        assert content(grouper, 4) == expected
        assert grouper.bytes_used() == 0


def test_a_grouper_counts_bare_keys(kernel: Kernel) -> None:
    grouper = kernel.make_grouper(GroupingPlan(3, "count"))
    grouper.add([["a", "b"], None, iter(["a", (1, 2)])])
    assert grouper.spill().groups(0) is not None
    grouper = kernel.make_grouper(GroupingPlan(1, "count"))
    grouper.add([["a", "b"], None, iter(["a"])])
    assert content(grouper, 1) == {"a": [2], "b": [1]}


@pytest.mark.parametrize(
    ("reducer", "pairs", "mode"),
    [
        ("sum", [("a", 0.5)], Mode.EXACT),
        ("sum", [("a", 0.5), ("b", 1)], Mode.EXACT),
        ("mean", [("a", 0.5), ("b", 1)], Mode.EXACT),
        ("min", [("a", (1, 2))], Mode.EXACT),
        ("max", [("a", None)], Mode.EXACT),
        ("sum", [(float("nan"), 1)], Mode.CAREFUL),
        (None, [((1, float("nan")), 1)], Mode.CAREFUL),
        ("sum", [(frozenset(), 1)], Mode.CAREFUL),
    ],
)
def test_what_a_fast_loop_cannot_do_right_it_gives_back(
    kernel: Kernel, reducer: str | None, pairs: list[Any], mode: Mode
) -> None:
    grouper = kernel.make_grouper(GroupingPlan(2, reducer))

    def group() -> None:
        grouper.add([pairs])
        grouper.bytes_used()
        grouper.spill()

    with pytest.raises(Regroup) as again:
        group()
    assert again.value.mode is mode


def test_memory_grows_with_keys_values_and_their_sizes(kernel: Kernel) -> None:
    grouper = kernel.make_grouper(GroupingPlan(2, None))
    used = [0]
    for pairs in ([("a", "x")], [("a", "y")], [("b", "y" * 1_000_000)], [("c" * 1_000_000, 1)]):
        grouper.add([pairs])
        used.append(grouper.bytes_used())
    assert used == sorted(set(used))
    assert used[-1] > 2_000_000


def test_merging_and_partitioning_follow_the_reference(kernel: Kernel) -> None:
    sources = [iter([Groups(["a", "b"], None, [1, 2])]), iter([Groups(["b"], None, [3])])]
    assert [(key, list(values)) for key, values in each_key(kernel.merge(sources))] == [("a", [1]), ("b", [2, 3])]
    assert kernel.partition(["a", "b", 1], 5) == PYTHON_KERNEL.partition(["a", "b", 1], 5)


def test_footprints_count_what_objects_hold() -> None:
    assert footprint([]) == 0
    assert footprint(["abc", "d"]) == 2 * STR_BYTES + 4
    assert footprint([1, 2.5]) == 2 * NUMBER_BYTES
    assert footprint(["é" * 100]) > footprint(["e" * 100]) + 200
    assert footprint([2**80_000]) > 9_000
    assert footprint([["a" * 1_000], ("b" * 1_000,), {"k": b"c" * 1_000}]) > 3_000


def test_an_object_that_occurs_often_counts_once() -> None:
    name = "file" * 100
    assert shared_footprint([name] * 1_000) == footprint([name])
    assert shared_footprint([f"{number}" for number in range(1_000)]) > 1_000 * STR_BYTES
