"""How much of what the user's functions yield is held at once, counted in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce.dataplane import mapping
from mapreduce.dataplane.collecting import CollectGrouper
from mapreduce.dataplane.mapping import LONGEST_SLICE, SLICE_BYTES, next_slice
from mapreduce.dataplane.outputs import OutputWriter
from tests.support.dataplane import MIB, Tasks, make_job


class Drawn:
    """Counts pairs as they are drawn, and how many of them wait to be dealt with."""

    def __init__(self) -> None:
        self.waiting = self.most = self.total = 0

    def note(self, pairs: Iterable[Any]) -> Iterator[Any]:
        for pair in pairs:
            self.waiting += 1
            self.total += 1
            self.most = max(self.most, self.waiting)
            yield pair


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """What is drawn waits until it is written, or until memory is looked at."""
    counted = Drawn()
    write_batch, bytes_used = OutputWriter.write_batch, CollectGrouper.bytes_used

    def write(writer: OutputWriter, keys: list[Any], values: list[Any]) -> None:
        counted.waiting -= len(keys)
        write_batch(writer, keys, values)

    def look(grouper: CollectGrouper) -> int:
        counted.waiting = 0
        return bytes_used(grouper)

    monkeypatch.setattr(OutputWriter, "write_batch", write)
    monkeypatch.setattr(CollectGrouper, "bytes_used", look)
    return counted


def test_what_a_reducer_yields_for_one_key_is_written_in_pieces(tmp_path: Path, drawn: Drawn) -> None:
    def each(key: str, values: Iterator[int]) -> Iterator[tuple[str, int]]:
        return drawn.note((key, value) for value in values)

    pairs = [("hot", number) for number in range(20_000)]
    tasks = Tasks(tmp_path, make_job(lambda pair: [pair], reducer=each), partitions=1)
    (part,) = tasks.run([[pairs]])
    assert part.decode().splitlines() == [f'["hot", {number}]' for number in range(20_000)]
    assert (drawn.total, drawn.most) == (20_000, 1_024)


def test_what_a_map_only_mapper_yields_for_one_record_is_written_in_pieces(tmp_path: Path, drawn: Drawn) -> None:
    def expand(number: int) -> Iterator[tuple[int, int]]:
        return drawn.note((number, copy) for copy in range(20_000 if number == 150 else 1))

    output = Tasks(tmp_path, make_job(expand), partitions=0).map(0, [list(range(200))])
    assert output.records == drawn.total == 20_199
    assert drawn.most <= 4_096


@pytest.mark.parametrize("per_record", [3, 2_000])
def test_memory_is_looked_at_within_a_block_and_where_records_yield_much_within_a_record(
    tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch, per_record: int
) -> None:
    monkeypatch.setattr(mapping, "SLICE_BYTES", 256 << 10)

    def expand(number: int) -> Iterator[tuple[int, str]]:
        return drawn.note((number, f"{copy:0500}") for copy in range(per_record))

    records = list(range(6_000 // per_record + 100))
    tasks = Tasks(tmp_path, make_job(expand, named="list"), budget_bytes=MIB)
    output = tasks.map(0, [records])
    assert drawn.total == per_record * len(records)
    assert drawn.most <= 512
    assert "merge" in output.step_s  # it spilled in between


def test_slices_grow_while_they_are_cheap_and_shrink_with_what_they_cost() -> None:
    assert next_slice(64, 10_000, is_full=True) == 128
    assert next_slice(64, 10_000, is_full=False) == 64
    assert next_slice(64, -5, is_full=True) == 128
    assert next_slice(1_000, 2 * SLICE_BYTES, is_full=True) == next_slice(1_000, 2 * SLICE_BYTES, is_full=False) == 500
    assert next_slice(64, 1_000 * SLICE_BYTES, is_full=True) == 1
    assert next_slice(LONGEST_SLICE, 0, is_full=True) == LONGEST_SLICE
