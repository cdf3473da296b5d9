"""Driving the user's mapper over the blocks of a split, and knowing at any moment which record it has.

The mapper is called by `map` over a plain list iterator; how many records are left in that iterator tells the record
at fault after an exception, at no cost before it. Two ways: record by record with a look at memory between blocks; or,
where one call may yield very much (a mapper called once a split, blocks of few large records), in chunks of pairs.
Which one is a function of the input, so the points at which memory is looked at are too.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import length_hint
from typing import Any, Final

from mapreduce.dataplane.checking import checked_results
from mapreduce.dataplane.grouping import Mode
from mapreduce.dataplane.stopwatch import Stopwatch, Watched
from mapreduce.dataplane.values import Codec
from mapreduce.dataplane.work import MapWork, RecordBlock

CHUNK_PAIRS: Final = 4_096
BORDER_CHUNKS: Final = 16
"""Memory is looked at after so many chunks."""
FEW_RECORDS: Final = 64
"""A block with fewer records than this has large ones."""

Consume = Callable[[Iterable[Any]], None]


class MapDriver:
    """Calls the mapper on all records and hands what it returns to `consume`, with `look` called at the borders."""

    def __init__(
        self, work: MapWork, blocks: Iterator[RecordBlock], mode: Mode, clock: Stopwatch, codec: Codec
    ) -> None:
        self.input_records = 0
        self._work, self._mode, self._codec = work, mode, codec
        job = work.job
        self._call = functools.partial(job.mapper, ctx=work.context) if job.mapper_wants_ctx else job.mapper
        self._blocks = Watched(blocks, clock, "read")
        self._block: RecordBlock | None = None
        self._left: Iterator[Any] = iter(())

    def run(self, consume: Consume, look: Callable[[], None]) -> None:
        """Maps the whole split."""
        if self._work.job.mapper_per == "split":
            results = iter([self._call(self._feed())])
            self._run_in_chunks(results, consume, look)
        else:
            for block in self._blocks:
                results = self._results(block)
                if self._mode == Mode.CAREFUL or len(block.records) < FEW_RECORDS:
                    self._run_in_chunks(results, consume, look)
                else:
                    consume(results)
                look()
        self._blocks.check()

    def place(self) -> str:
        """The record that the mapper got last; "" before the first one."""
        if self._block is None or not self._block.records:
            return ""
        return self._block.place(max(0, len(self._block.records) - length_hint(self._left) - 1))

    def _run_in_chunks(self, results: Iterator[Any], consume: Consume, look: Callable[[], None]) -> None:
        if self._mode == Mode.CAREFUL:
            results = checked_results(results, self._work.job.named_reducer, self._codec)
        pairs = itertools.chain.from_iterable(filter(None, results))
        for number in itertools.count(1):
            chunk = list(itertools.islice(pairs, CHUNK_PAIRS))
            if not chunk:
                return
            consume((chunk,))
            if number % BORDER_CHUNKS == 0:
                look()

    def _results(self, block: RecordBlock) -> Iterator[Any]:
        """What the mapper returns for each record, called one by one as this is read."""
        records = self._enter(block)
        return map(self._call, records) if self._work.job.mapper_arity == 1 else map(self._call, block.keys(), records)

    def _feed(self) -> Iterator[Any]:
        """The records of the whole split, for a mapper that is called once."""
        for block in self._blocks:
            records = self._enter(block)
            yield from records if self._work.job.mapper_arity == 1 else zip(block.keys(), records, strict=False)

    def _enter(self, block: RecordBlock) -> Iterator[Any]:
        self._block = block
        self._work.context.input_file = block.path
        self.input_records += len(block.records)
        self._left = iter(block.records)
        return self._left if self._work.trace is None else self._traced(block, self._left)

    def _traced(self, block: RecordBlock, records: Iterator[Any]) -> Iterator[Any]:
        trace = self._work.trace
        assert trace is not None
        for index, record in enumerate(records):
            trace.write(block.place(index))
            yield record


def split_pairs(pairs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Keys and values of pairs."""
    return [key for key, _ in pairs], [value for _, value in pairs]
