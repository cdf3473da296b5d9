"""The seam at which a compiled kernel may replace the Python one: grouping, partitioning and merging, as Protocols.

Whoever implements them must give the same bytes as `folding`, `collecting`, `partitioning` and `merging`, which stay
the reference and the fall-back; `tests/unit/test_seam.py` holds every implementation to that. The methods take whole
blocks, so the seam costs nothing per record. Nothing else may know which implementation runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from mapreduce.dataplane.collecting import CollectGrouper, CombineGrouper, ExactGrouper
from mapreduce.dataplane.folding import CountGrouper, MaxGrouper, MeanGrouper, MinGrouper, OrderedGrouper, SumGrouper
from mapreduce.dataplane.grouping import GroupingPlan, Mode
from mapreduce.dataplane.groups import Groups, GroupSource
from mapreduce.dataplane.merging import FoldInto, merge_groups
from mapreduce.dataplane.partitioning import split_by_partition


class Grouper(Protocol):
    """Groups what mappers yield, in memory."""

    def add(self, results: Iterable[Any]) -> None:
        """Takes what the mapper returned for each record: an iterable of (key, value) pairs (of bare keys for
        ``count``), or None. Raises `Regroup` when another way of grouping is needed, and whatever the mapper raises.
        """

    def bytes_used(self) -> int:
        """An estimate of the memory held; called between blocks. Raises `Regroup`."""

    def spill(self) -> GroupSource:
        """All that was added, by partition and in key order; each partition is read once, in ascending order. The
        grouper is empty when the last one has been read. Raises `Regroup`, and what the combiner raises.
        """


class Merger(Protocol):
    """Merges sorted groups; see `merging.merge_groups`."""

    def __call__(self, sources: Sequence[Iterator[Groups]], fold: FoldInto | None = None) -> Iterator[Groups]:
        """All groups of the sources in key order, each key once."""


class Partitioner(Protocol):
    """Distributes keys; see `partitioning.split_by_partition`."""

    def __call__(self, keys: Iterable[Any], partitions: int) -> list[list[Any]]:
        """The keys of each partition, in the order given."""


class Kernel(msgspec.Struct, frozen=True):
    """One implementation of all three."""

    name: str
    make_grouper: Callable[[GroupingPlan], Grouper]
    merge: Merger
    partition: Partitioner


def make_python_grouper(plan: GroupingPlan) -> Grouper:
    """The grouper written in Python for a plan."""
    match plan.reducer:
        case "count":
            return CountGrouper(plan)
        case "sum" | "mean" if plan.mode >= Mode.EXACT:
            return ExactGrouper(plan)
        case "min" | "max" if plan.mode >= Mode.EXACT:
            return OrderedGrouper(plan)
        case "sum":
            return SumGrouper(plan)
        case "mean":
            return MeanGrouper(plan)
        case "min":
            return MinGrouper(plan)
        case "max":
            return MaxGrouper(plan)
        case _:
            return CollectGrouper(plan) if plan.combine is None else CombineGrouper(plan)


PYTHON_KERNEL: Final = Kernel("python", make_python_grouper, merge_groups, split_by_partition)
