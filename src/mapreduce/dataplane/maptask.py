"""One attempt at a map task: read, map, group, spill, write. `run_map` is the one door.

Retries, leases and the fate of the file afterwards are others' business; so is switching the garbage collector off.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from mapreduce.dataplane.blame import Misuse, failure_of, is_users
from mapreduce.dataplane.combining import Combiner
from mapreduce.dataplane.grouping import GroupingPlan, Mode, Regroup
from mapreduce.dataplane.mapping import MapDriver, split_pairs
from mapreduce.dataplane.outputs import OutputWriter
from mapreduce.dataplane.passes import ScratchRuns
from mapreduce.dataplane.readers import read_split
from mapreduce.dataplane.reducers import FOLDED, FOLDS
from mapreduce.dataplane.runwriter import RunWriter
from mapreduce.dataplane.seam import PYTHON_KERNEL, Kernel
from mapreduce.dataplane.spilling import SpillingGrouper
from mapreduce.dataplane.stopwatch import Stopwatch
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import codec_for
from mapreduce.dataplane.work import MapWork, RecordBlock
from mapreduce.errors import CorruptRun, TaskFailed
from mapreduce.protocol.messages import PartitionSize, TaskOutput

_FLUSH_PAIRS: Final = 4_096

ReadBlocks = Callable[[MapWork], Iterator[RecordBlock]]


def _read_blocks(work: MapWork) -> Iterator[RecordBlock]:
    return read_split(work.split, work.input, paths=work.input_paths)


def run_map(work: MapWork, *, kernel: Kernel = PYTHON_KERNEL, read: ReadBlocks = _read_blocks) -> TaskOutput:
    """Runs the attempt; afterwards `work.target` is complete and synced (the file, not its folder), or does not exist.

    Without records no file is written. Raises `TaskFailed`, with the record at fault where there is one.
    """
    mode = Mode.FAST
    while True:
        try:
            return _Attempt(work, kernel, mode).run(read(work))
        except Regroup as other:
            mode = max(other.mode, Mode(mode + 1))  # upwards only, so there is an end
            work.context.counters.clear()


class _Attempt:
    """One go through the split in one mode."""

    def __init__(self, work: MapWork, kernel: Kernel, mode: Mode) -> None:
        self._work, self._kernel, self._mode = work, kernel, mode
        self._codec = codec_for(work.job.types)
        self._clock = Stopwatch()
        self._combiner = Combiner(work.job, work.context) if work.job.combiner is not None else None

    def run(self, blocks: Iterator[RecordBlock]) -> TaskOutput:
        """Maps and writes. Raises `TaskFailed` and `Regroup`."""
        driver = MapDriver(self._work, blocks, self._mode, self._clock, self._codec)
        try:
            with self._clock.step("map"):
                output = self._write_run(driver) if self._work.partitions else self._write_output(driver)
        except (TaskFailed, Regroup):
            raise
        except CorruptRun as error:
            raise TaskFailed(
                "system", f"a spill of this task could not be read back: {error} Check the disk."
            ) from error
        except (Exception, SystemExit) as error:
            if self._mode < Mode.CAREFUL and _may_be_ours(error):
                raise Regroup(self._next_mode(error)) from error
            raise failure_of(error, "the mapper", driver.place()) from error
        counters = dict(self._work.context.counters)
        if self._combiner is not None:
            counters |= self._combiner.marked_counters()
        return msgspec.structs.replace(
            output,
            input_records=driver.input_records,
            input_bytes=self._work.split.bytes,
            counters=counters,
            step_s=self._clock.step_s,
        )

    def _next_mode(self, error: BaseException) -> Mode:
        """What failed in our own code may only have been too much for the fast loop; careful mode finds the culprit."""
        can_be_exact = self._mode == Mode.FAST and self._work.job.named_reducer in FOLDED
        return Mode.EXACT if can_be_exact and not isinstance(error, UnstorableValue) else Mode.CAREFUL

    def _write_run(self, driver: MapDriver) -> TaskOutput:
        work, job = self._work, self._work.job
        reducer = job.named_reducer if job.named_reducer in FOLDED else None
        plan = GroupingPlan(work.partitions, reducer, self._combiner, self._mode, work.budget_bytes)
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(ScratchRuns(work.target, work.partitions, self._codec))
            writer = stack.enter_context(RunWriter(work.target, work.header, work.partitions, self._codec))
            fold = FOLDS[reducer] if reducer else None
            grouper = SpillingGrouper(plan, self._kernel, scratch, fold, self._combiner, self._clock)
            driver.run(grouper.add, grouper.look)
            grouper.write(writer)
            with self._clock.step("write"):
                facts = writer.close()
        return TaskOutput(
            bytes=facts.size,
            records=sum(entry.groups for entry in facts.entries),
            digest=facts.digest,
            has_file=facts.size > 0,
            partitions=tuple(PartitionSize(entry.partition, entry.bytes, entry.groups) for entry in facts.entries),
        )

    def _write_output(self, driver: MapDriver) -> TaskOutput:
        with OutputWriter(self._work.target, self._work.output_format) as writer:

            def consume(results: Iterable[Any]) -> None:
                pairs = itertools.chain.from_iterable(filter(None, results))
                while batch := list(itertools.islice(pairs, _FLUSH_PAIRS)):
                    with self._clock.step("write"):
                        writer.write_batch(*split_pairs(batch))

            driver.run(consume, lambda: 0)
            with self._clock.step("write"):
                return writer.close()


def _may_be_ours(error: BaseException) -> bool:
    """Whether a fast loop may have failed where a slower mode does not, or can say more."""
    return isinstance(error, UnstorableValue) or not (isinstance(error, MemoryError | Misuse) or is_users(error))
