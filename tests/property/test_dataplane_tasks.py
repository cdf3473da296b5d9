"""Merging and whole tasks against the naive way, over random data, budgets and partitions; damaged runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.dataplane.groups import Groups, make_groups
from mapreduce.dataplane.keys import intern_nans, sort_key
from mapreduce.dataplane.merging import each_key, merge_groups
from mapreduce.dataplane.runreader import RunReader
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.runwriter import RunWriter
from mapreduce.dataplane.values import Codec
from mapreduce.errors import CorruptRun
from tests.support.dataplane import MIB, ORACLES, Tasks, make_job, oracle
from tests.support.dataplanedata import CLOSE_KEYS, FLOATS, VALUES

PAIRS = st.lists(st.tuples(CLOSE_KEYS, st.integers()), max_size=30)


def grouped(pairs: list[tuple[Any, int]]) -> list[tuple[Any, list[int]]]:
    """Sorted groups in the naive way."""
    found: dict[Any, tuple[Any, list[int]]] = {}
    for key, value in pairs:
        found.setdefault(sort_key(key), (intern_nans(key), []))[1].append(value)
    return [found[rank] for rank in sorted(found)]


def blocks(pairs: list[tuple[Any, int]], size: int, pieces: int) -> list[Groups]:
    """A source's batches of at most `size` keys; keys with many values go on in further batches."""
    made: list[Groups] = []
    batch: list[tuple[Any, list[int]]] = []
    for key, values in grouped(pairs):
        cut = [values[start : start + pieces] for start in range(0, len(values), pieces)]
        for index, part in enumerate(cut):
            batch.append((key, part))
            continues = index < len(cut) - 1
            if continues or len(batch) >= size:
                made.append(make_groups([key for key, _ in batch], [part for _, part in batch], continues=continues))
                batch = []
    if batch:
        made.append(make_groups([key for key, _ in batch], [part for _, part in batch]))
    return made


@given(st.lists(PAIRS, max_size=6), st.integers(1, 5), st.integers(1, 4))
def test_merging_is_sorting_and_grouping_everything(sources: list[list[Any]], size: int, pieces: int) -> None:
    merged = merge_groups([iter(blocks(pairs, size, pieces)) for pairs in sources])
    found = [(key, list(values)) for key, values in each_key(merged)]
    assert repr(found) == repr(grouped([pair for pairs in sources for pair in pairs]))


def total(key: Any, values: Iterable[int]) -> list[tuple[Any, int]]:
    return [(key, sum(values))]


SPLITS = st.lists(st.lists(PAIRS.map(lambda pairs: [[pair] for pair in pairs]), max_size=4), min_size=1, max_size=4)
BUDGETS = st.sampled_from([1, 500, 4_000, 256 * MIB])


def emitted(splits: list[list[list[list[Any]]]]) -> list[tuple[Any, Any]]:
    return [pair for split in splits for block in split for record in block for pair in record]


@settings(max_examples=60, deadline=None)
@given(SPLITS, BUDGETS, st.integers(1, 4), st.sampled_from(["sum", "mean", "min", "max", "list", "identity", "user"]))
def test_tasks_give_what_the_oracle_gives(splits: list[Any], budget: int, partitions: int, name: str) -> None:
    job = make_job(reducer=total, combiner=total) if name == "user" else make_job(named=name)
    expected = oracle(emitted(splits), ORACLES["sum" if name == "user" else name], partitions)
    with tempfile.TemporaryDirectory() as folder:
        assert Tasks(Path(folder), job, partitions, budget).run(splits) == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), FLOATS | st.integers()), max_size=40), st.integers(1, 9))
def test_spill_points_and_splits_do_not_change_sums_means_and_extremes(pairs: list[Any], size: int) -> None:
    records = [[pair] for pair in pairs]
    cut = [records[start : start + size] for start in range(0, len(records), size)]
    for name in ("sum", "mean", "min", "max"):
        with tempfile.TemporaryDirectory() as folder:
            whole = Tasks(Path(folder), make_job(named=name), 2).run([[records]])
            assert Tasks(Path(folder), make_job(named=name), 2, 1).run([cut]) == whole
            assert Tasks(Path(folder), make_job(named=name), 2, 1).run([[block] for block in cut]) == whole


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_to_a_run_is_detected(data: st.DataObject) -> None:
    keys = sorted(data.draw(st.sets(st.text(max_size=4), min_size=1, max_size=20)))
    lists = [data.draw(st.lists(VALUES, min_size=1, max_size=3)) for _ in keys]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with RunWriter(path, RunHeader(1, 1, 1, 1), 2, Codec()) as writer:
            writer.write(1, make_groups(keys, lists))
            digest = writer.close().digest
        with RunReader(path, "run", Codec(), digest) as reader:
            found = [(key, list(values)) for key, values in each_key(reader.groups(1))]
        assert repr(found) == repr(list(zip(keys, lists, strict=True)))
        whole = path.read_bytes()
        position = data.draw(st.integers(0, len(whole) - 1))
        flipped = whole[position] ^ data.draw(st.integers(1, 255))
        for damaged in (whole[:position], whole[:position] + bytes([flipped]) + whole[position + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(CorruptRun):
                read_all(path, digest)


def read_all(path: Path, digest: int) -> None:
    with RunReader(path, "run", Codec(), digest) as reader:
        for _ in reader.groups(1):
            pass
