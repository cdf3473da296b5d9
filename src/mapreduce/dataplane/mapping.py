"""Driving the user's mapper over the blocks of a split, and knowing at any moment which record it has.

The mapper is called by `map` over a plain list iterator; how many records are left in that iterator tells the record
at fault after an exception, at no cost before it. What it yields is taken in slices with a look at memory after each:
slices of records, which cost nothing; or, where one call may yield very much (a mapper called once a split, few large
records, records from which much has come so far), of pairs. How long a slice is follows from how much the slices before
it grew the memory: a function of the input and the code, so the points at which memory is looked at are too.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import length_hint
from typing import Any, Final

from mapreduce.dataplane.checking import as_pair, check_of, members_of
from mapreduce.dataplane.grouping import Mode
from mapreduce.dataplane.stopwatch import Stopwatch, Watched
from mapreduce.dataplane.values import Codec
from mapreduce.dataplane.work import MapWork, RecordBlock

CHECKED_RECORDS: Final = 64
CHECKED_PAIRS: Final = 1_024
"""Results of the first records of a task, and pairs in them, that are checked in every mode: a mapper that yields what
it should not usually does so from the start, and the fast loops would take much of it for something else."""

FEW_RECORDS: Final = 64
"""Fewer records than this in a block, or in a slice that may grow the memory by `SLICE_BYTES`, are large ones."""
FIRST_SLICE: Final = 64
LONGEST_SLICE: Final = 1 << 18
SLICE_BYTES: Final = 32 << 20
"""By how much a slice should grow the memory at most, going by the slices before."""

Consume = Callable[[Iterable[Any]], None]
Look = Callable[[], int]


class MapDriver:
    """Calls the mapper on all records and hands what it yields to `consume`.

    `look` is called after each slice, and says by how many bytes it grew the memory.
    """

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
        self._slice_records = self._slice_pairs = FIRST_SLICE
        self._has_more = False

    def run(self, consume: Consume, look: Look) -> None:
        """Maps the whole split."""
        if self._work.job.mapper_per == "split":
            self._map_in_pairs(iter([self._call(self._feed())]), consume, look, is_first=True)
        else:
            for block in self._blocks:
                self._map(block, consume, look)
        self._blocks.check()

    def place(self) -> str:
        """The record that the mapper got last; "" before the first one."""
        if self._block is None or not self._block.records:
            return ""
        return self._block.place(max(0, len(self._block.records) - length_hint(self._left) - 1))

    def _map(self, block: RecordBlock, consume: Consume, look: Look) -> None:
        is_first = self.input_records < CHECKED_RECORDS
        results = self._results(block)
        if self._mode == Mode.CAREFUL or len(block.records) < FEW_RECORDS:
            self._map_in_pairs(results, consume, look, is_first=is_first)
            return
        if is_first:
            first = itertools.islice(results, CHECKED_RECORDS)
            grown_bytes = self._map_in_pairs(first, consume, look, is_first=True)
            self._slice_records = next_slice(CHECKED_RECORDS, grown_bytes, is_full=True)
        while self._slice_records >= FEW_RECORDS and length_hint(self._left):
            consume(itertools.islice(results, self._slice_records))
            is_full = length_hint(self._left) > 0
            self._slice_records = next_slice(self._slice_records, look(), is_full=is_full)
        if length_hint(self._left):
            self._map_in_pairs(results, consume, look, is_first=False)

    def _map_in_pairs(self, results: Iterator[Any], consume: Consume, look: Look, *, is_first: bool) -> int:
        """By how many bytes the memory grew."""
        grown_bytes = 0
        self._has_more = True
        pairs = self._pairs(itertools.chain(results, self._end()), is_first=is_first)
        while self._has_more:
            consume((itertools.islice(pairs, self._slice_pairs),))
            slice_bytes = look()
            grown_bytes += slice_bytes
            self._slice_pairs = next_slice(self._slice_pairs, slice_bytes, is_full=self._has_more)
        return grown_bytes

    def _end(self) -> Iterator[Any]:
        """No results; to ask for them is to be through with those before."""
        self._has_more = False
        yield from ()

    def _pairs(self, results: Iterator[Any], *, is_first: bool) -> Iterator[Any]:
        flatten = itertools.chain.from_iterable
        if not is_first and self._mode < Mode.CAREFUL:
            return flatten(filter(None, results))
        reducer, is_map_only = self._work.job.named_reducer, not self._work.partitions
        members = functools.partial(members_of, is_count=reducer == "count")
        if self._mode == Mode.CAREFUL:
            return map(check_of(reducer, self._codec), flatten(map(members, results)))
        pairs = flatten(map(members, results))
        check = as_pair if is_map_only else check_of(reducer, self._codec)
        return itertools.chain(map(check, itertools.islice(pairs, CHECKED_PAIRS)), pairs)

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


def next_slice(length: int, grown_bytes: int, *, is_full: bool) -> int:
    """The length of the next slice: twice that of the last, unless that was not full or grew the memory too much."""
    fitting = length * SLICE_BYTES // max(1, grown_bytes)
    return max(1, min(fitting, 2 * length if is_full else length, LONGEST_SLICE))


def split_pairs(pairs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Keys and values of pairs."""
    return [key for key, _ in pairs], [value for _, value in pairs]
