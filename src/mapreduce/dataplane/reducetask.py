"""One attempt at a reduce task: merge the runs' parts of one partition, reduce, write. `run_reduce` is the one door.

Runs are local files here; fetching them is the agent's business.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from mapreduce.dataplane.blame import Misuse, failure_of, shown
from mapreduce.dataplane.checking import members_of
from mapreduce.dataplane.groups import Groups, GroupSource
from mapreduce.dataplane.mapping import split_pairs
from mapreduce.dataplane.merging import each_key, fan_in
from mapreduce.dataplane.outputs import OutputWriter
from mapreduce.dataplane.passes import OpenSource, ScratchRuns, reduce_sources
from mapreduce.dataplane.reducers import FOLDED, FOLDS, finish
from mapreduce.dataplane.runreader import RunReader
from mapreduce.dataplane.seam import PYTHON_KERNEL, Kernel
from mapreduce.dataplane.stopwatch import Stopwatch, Watched
from mapreduce.dataplane.values import Codec
from mapreduce.dataplane.work import ReduceWork, RunSource
from mapreduce.errors import CorruptRun, TaskFailed
from mapreduce.protocol.messages import TaskOutput

_FLUSH_PAIRS: Final = 1_024


def run_reduce(work: ReduceWork, *, kernel: Kernel = PYTHON_KERNEL) -> TaskOutput:
    """Runs the attempt; afterwards `work.target` is complete and synced (the file, not its folder), or does not exist.

    Without records no file is written. Raises `TaskFailed`; `CorruptRun`, with the run's name, if a run is missing,
    damaged, or not the one that was committed.
    """
    return _Attempt(work, kernel).run()


class _Attempt:
    def __init__(self, work: ReduceWork, kernel: Kernel) -> None:
        self._work, self._kernel = work, kernel
        self._codec = Codec(work.job.types)
        self._clock = Stopwatch()
        self._input_records = self._input_bytes = 0
        self._key: list[Any] = []
        work.context.partition = work.partition
        work.context.input_file = ""

    def run(self) -> TaskOutput:
        try:
            with self._clock.step("reduce"):
                output = self._reduce()
        except TaskFailed:
            raise
        except CorruptRun as error:
            if error.name in {source.name for source in self._work.sources}:
                raise
            raise TaskFailed("system", f"a merge pass could not be read back: {error} Check the disk.") from error
        except (Exception, SystemExit) as error:
            record = f"partition {self._work.partition}, key {shown(self._key[0])}" if self._key else ""
            raise failure_of(error, "the reducer", record) from error
        return msgspec.structs.replace(
            output,
            input_records=self._input_records,
            input_bytes=self._input_bytes,
            counters=dict(self._work.context.counters),
            step_s=self._clock.step_s,
        )

    def _reduce(self) -> TaskOutput:
        work = self._work
        name = work.job.named_reducer
        fold = FOLDS[name] if name in FOLDED else None
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(ScratchRuns(work.scratch / work.target.name, work.partition + 1, self._codec))
            sources = self._sources()
            with self._clock.step("merge"):
                width = fan_in(work.budget_bytes)
                kept = reduce_sources(sources, width, [work.partition], scratch, self._kernel.merge, fold)
                opened = [stack.enter_context(source()) for source in kept]
            merged = self._kernel.merge([source.groups(work.partition) for source in opened], fold)
            batches = Watched(merged, self._clock, "merge")
            writer = stack.enter_context(OutputWriter(work.target, work.output_format))
            self._reducer(name)(batches, writer)
            batches.check()
            with self._clock.step("write"):
                return writer.close()

    def _sources(self) -> list[OpenSource]:
        """The runs that have this partition, by map index; each is opened when it is merged."""
        return [functools.partial(self._open, source) for source in sorted(self._work.sources, key=_map_index)]

    def _open(self, source: RunSource) -> contextlib.AbstractContextManager[GroupSource]:
        reader = RunReader(source.path, source.name, self._codec, source.digest)
        for entry in reader.entries:
            if entry.partition == self._work.partition:
                self._input_records += entry.values
                self._input_bytes += entry.bytes
        return reader

    # ------------------------------------------------------------------------------------------------ ways to reduce

    def _reducer(self, name: str | None) -> Callable[[Iterator[Groups], OutputWriter], None]:
        if name is None:
            return self._call_reducer
        if name in FOLDED:
            return functools.partial(self._write_folded, name)
        return self._write_lists if name == "list" else self._write_identity

    def _write_folded(self, name: str, batches: Iterator[Groups], writer: OutputWriter) -> None:
        for batch in batches:
            self._write(writer, batch.keys, finish(name, batch.values))

    def _write_identity(self, batches: Iterator[Groups], writer: OutputWriter) -> None:
        for batch in batches:
            keys = batch.keys
            if batch.counts is not None:
                keys = [key for key, count in zip(keys, batch.counts, strict=True) for _ in range(count)]
            self._write(writer, keys, batch.values)

    def _write_lists(self, batches: Iterator[Groups], writer: OutputWriter) -> None:
        for key, values in each_key(batches):
            writer.write(key, list(values))

    def _call_reducer(self, batches: Iterator[Groups], writer: OutputWriter) -> None:
        job = self._work.job
        assert job.reducer is not None, "a job that reduces has a reducer"
        call = functools.partial(job.reducer, ctx=self._work.context) if job.reducer_wants_ctx else job.reducer
        pairs: list[Any] = []
        for key, values in each_key(batches):
            self._key = [key]
            results = iter(members_of(call(key, values)))
            pairs.extend(itertools.islice(results, _FLUSH_PAIRS - len(pairs)))
            while len(pairs) == _FLUSH_PAIRS:  # there may be more than memory holds
                self._flush(writer, pairs)
                pairs.extend(itertools.islice(results, _FLUSH_PAIRS))
        self._flush(writer, pairs)

    def _flush(self, writer: OutputWriter, pairs: list[Any]) -> None:
        for pair in pairs:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise Misuse(f"must return or yield (key, value) pairs, not {shown(pair)}.")
        self._write(writer, *split_pairs(pairs))
        pairs.clear()

    def _write(self, writer: OutputWriter, keys: list[Any], values: list[Any]) -> None:
        with self._clock.step("write"):
            writer.write_batch(keys, values)


def _map_index(source: RunSource) -> int:
    return source.map_index
