"""The memory budget of a map task: groups in memory, spilled to scratch runs beyond it, merged into one run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from mapreduce.dataplane.combining import Combiner, combined
from mapreduce.dataplane.grouping import GroupingPlan
from mapreduce.dataplane.groups import GroupSource
from mapreduce.dataplane.merging import FoldInto, fan_in
from mapreduce.dataplane.passes import OpenSource, ScratchRuns, reduce_sources
from mapreduce.dataplane.runwriter import RunWriter
from mapreduce.dataplane.seam import Kernel
from mapreduce.dataplane.stopwatch import Stopwatch


class SpillingGrouper:
    """Groups pairs within a budget and writes them as one sorted, partitioned run."""

    def __init__(
        self,
        plan: GroupingPlan,
        kernel: Kernel,
        scratch: ScratchRuns,
        fold: FoldInto | None,
        combiner: Combiner | None,
        clock: Stopwatch,
    ) -> None:
        self._plan, self._kernel, self._scratch = plan, kernel, scratch
        self._fold, self._combiner, self._clock = fold, combiner, clock
        self._grouper = kernel.make_grouper(plan)
        self._spills: list[OpenSource] = []
        self._used_bytes = 0
        self.add: Callable[[Iterable[Any]], None] = self._grouper.add
        """Takes the results of the mapper."""

    def look(self) -> int:
        """Spills if the budget is used up; called at borders that are a function of the input.

        By how many bytes the memory had grown since the last look.
        """
        used_bytes = self._grouper.bytes_used()
        grown_bytes, self._used_bytes = used_bytes - self._used_bytes, used_bytes
        if used_bytes > self._plan.budget_bytes:
            with self._clock.step("spill"):
                self._spill()
            self._used_bytes = 0
        return grown_bytes

    def write(self, writer: RunWriter) -> None:
        """Writes all that was added, merged with what was spilled before."""
        last = self._grouper.spill()
        if not self._spills:
            with self._clock.step("spill"):
                self._copy(last, writer)
            return
        with self._clock.step("merge"), contextlib.ExitStack() as stack:
            partitions = range(self._plan.partitions)
            width = fan_in(self._plan.budget_bytes) - 1
            kept = reduce_sources(self._spills, width, partitions, self._scratch, self._kernel.merge, self._fold)
            sources: list[GroupSource] = [*(stack.enter_context(source()) for source in kept), last]
            for partition in partitions:
                batches = self._kernel.merge([source.groups(partition) for source in sources], self._fold)
                for groups in batches if self._combiner is None else combined(batches, self._combiner):
                    writer.write(partition, groups)

    def _spill(self) -> None:
        source = self._grouper.spill()
        path = self._scratch.write(lambda writer: self._copy(source, writer))
        if path is not None:
            self._spills.append(lambda: self._scratch.open(path))

    def _copy(self, source: GroupSource, writer: RunWriter) -> None:
        for partition in range(self._plan.partitions):
            for groups in source.groups(partition):
                writer.write(partition, groups)
