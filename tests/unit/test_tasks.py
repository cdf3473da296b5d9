from __future__ import annotations

import itertools
import math
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce.api import Context
from mapreduce.dataplane.collecting import COMBINE_LENGTH
from mapreduce.dataplane.combining import COMBINER_MARK
from mapreduce.dataplane.tracing import TRACE_BYTES, RecordTrace, read_trace
from mapreduce.errors import CorruptRun, TaskFailed
from tests.support.dataplane import MIB, ORACLES, Tasks, make_job, oracle


def words(line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(key: Any, values: Iterable[int]) -> Iterator[tuple[Any, int]]:
    yield key, sum(values)


LINES = [f"w{number % 700} w{number % 13} common" for number in range(5_000)]
BLOCKS = [LINES[start : start + 500] for start in range(0, len(LINES), 500)]
PAIRS = [pair for line in LINES for pair in words(line)]
SMALLEST = 20_000


@pytest.mark.parametrize("budget", [SMALLEST, 256 * MIB])
@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "list", "identity"])
def test_named_reducers_give_what_the_oracle_gives(tmp_path: Path, name: str, budget: int) -> None:
    tasks = Tasks(tmp_path, make_job(words, named=name), budget_bytes=budget)
    assert tasks.run([BLOCKS[:5], BLOCKS[5:]]) == oracle(PAIRS, ORACLES[name], 3)


@pytest.mark.parametrize("budget", [SMALLEST, 256 * MIB])
def test_count_counts_bare_keys(tmp_path: Path, budget: int) -> None:
    tasks = Tasks(tmp_path, make_job(str.split, named="count"), budget_bytes=budget)
    assert tasks.run([BLOCKS]) == oracle(PAIRS, ORACLES["sum"], 3)


@pytest.mark.parametrize("budget", [SMALLEST, 256 * MIB])
@pytest.mark.parametrize("combiner", [None, total])
def test_a_reducer_of_the_users_with_and_without_combiner(tmp_path: Path, budget: int, combiner: Any) -> None:
    tasks = Tasks(tmp_path, make_job(words, reducer=total, combiner=combiner), budget_bytes=budget)
    assert tasks.run([BLOCKS[:5], BLOCKS[5:]]) == oracle(PAIRS, ORACLES["sum"], 3)


def test_a_combiner_that_combines_nothing_does_not_become_quadratic(tmp_path: Path) -> None:
    calls = 0

    def keep(key: Any, values: Iterable[int]) -> Iterator[tuple[Any, int]]:
        nonlocal calls
        calls += 1
        return ((key, value) for value in values)

    tasks = Tasks(tmp_path, make_job(words, reducer=total, combiner=keep))
    assert tasks.run([BLOCKS]) == oracle(PAIRS, ORACLES["sum"], 3)
    assert calls < 1_000


def test_a_combiner_that_drops_all_values_of_a_key_is_not_called_without_any(tmp_path: Path) -> None:
    def drop_common(key: str, values: Iterable[int]) -> list[tuple[str, int]]:
        most = max(values)
        return [] if key == "common" else [(key, most)]

    def largest(key: str, values: Iterable[int]) -> list[tuple[str, int]]:
        return [(key, max(values))]

    block = ["common"] * COMBINE_LENGTH + ["w1"] * 5
    tasks = Tasks(tmp_path, make_job(words, reducer=largest, combiner=drop_common), partitions=1)
    assert tasks.run([[block]]) == [b'["w1", 1]\n']


def test_more_runs_than_may_be_open_are_merged_in_passes(tmp_path: Path) -> None:
    splits = [[[(number % 5, number), ("k", number)]] for number in range(150)]
    pairs = [pair for split in splits for pair in split[0]]
    tasks = Tasks(tmp_path, make_job(lambda pair: [pair], named="list"), budget_bytes=MIB)
    assert tasks.run(splits) == oracle(pairs, ORACLES["list"], 3)


def test_a_key_with_more_values_than_the_budget_streams_to_the_reducer(tmp_path: Path) -> None:
    def count_up(key: Any, values: Iterator[str]) -> list[tuple[Any, int]]:
        first = next(values)
        return [(key, len(first) + sum(map(len, values)))]

    block = [("hot", "x" * 1_000)] * 1_000
    tasks = Tasks(tmp_path, make_job(lambda pair: [pair], reducer=count_up), partitions=1, budget_bytes=MIB)
    assert tasks.run([[block] * 10, [block] * 10]) == [b'["hot", 20000000]\n']


@pytest.mark.parametrize("budget", [SMALLEST, 256 * MIB])
def test_float_sums_and_means_are_exact_and_depend_on_no_spill(tmp_path: Path, budget: int) -> None:
    values = [0.1, 1e300, 7, -1e300, 2**60, 1e-300]
    pairs = [(f"k{number % 50}", values[number % 6] * (1 + number % 3)) for number in range(3_000)]
    splits = [[pairs[start : start + 100] for start in range(0, 3_000, 100)]] * 2
    for name in ("sum", "mean"):
        tasks = Tasks(tmp_path, make_job(lambda pair: [pair], named=name), budget_bytes=budget)
        assert tasks.run(splits) == oracle(pairs * 2, ORACLES[name], 3)


@pytest.mark.parametrize("name", ["min", "max"])
@pytest.mark.parametrize(
    "values",
    [
        [3, 1, 2],
        [1, True, 1.0],
        [math.nan, 1, math.nan, 2],
        ["b", 1, None],
        [(2, "a"), (1, None)],
        [b"a", b"b"],
        [None, None],
    ],
)
def test_extremes_follow_the_order_of_keys(tmp_path: Path, name: str, values: list[Any]) -> None:
    for order in itertools.permutations(values):
        pairs = [("k", value) for value in order]
        tasks = Tasks(tmp_path, make_job(lambda pair: [pair], named=name), partitions=1)
        assert tasks.run([[pairs]]) == oracle(pairs, ORACLES[name], 1)


@pytest.mark.parametrize("named", ["sum", "list", "count"])
def test_nan_and_equal_keys_are_one_group_named_by_the_first(tmp_path: Path, named: str) -> None:
    nan = float("nan")
    keys = [nan, float("nan"), 1, 1.0, True, -0.0, 0, (1, nan), (True, float("nan")), nan]
    pairs = [(key, number) for number, key in enumerate(keys)]
    if named == "count":
        mapper: Any = lambda pair: [pair[0]]  # noqa: E731
        expected = oracle([(key, 1) for key in keys], ORACLES["sum"], 3)
    else:
        mapper = lambda pair: [pair]  # noqa: E731
        expected = oracle(pairs, ORACLES[named], 3)
    assert Tasks(tmp_path, make_job(mapper, named=named)).run([[pairs]]) == expected


def test_a_list_as_value_is_one_value(tmp_path: Path) -> None:
    pairs: list[tuple[str, Any]] = [("a", [1, 2]), ("a", [3]), ("b", [4]), ("c", [[5]]), ("c", (6, [7]))]
    tasks = Tasks(tmp_path, make_job(lambda pair: [pair], named="list"))
    assert tasks.run([[pairs]]) == oracle(pairs, ORACLES["list"], 3)


def test_a_mapper_may_return_none_or_a_list_and_take_the_key(tmp_path: Path) -> None:
    def odd(key: int, record: str) -> list[tuple[str, int]] | None:
        return [(record, key)] if key % 2 else None

    tasks = Tasks(tmp_path, make_job(odd, arity=2, named="list"), partitions=1)
    assert tasks.run([[["a"] * 200]]) == [b'["a", [' + ", ".join(map(str, range(1, 200, 2))).encode() + b"]]\n"]


def test_a_split_mapper_is_called_once_with_all_records(tmp_path: Path) -> None:
    def count_all(lines: Iterator[str]) -> Iterator[tuple[str, int]]:
        seen = 0
        for line in lines:
            seen += 1
            yield from words(line)
        yield "records", seen

    tasks = Tasks(tmp_path, make_job(count_all, per="split", named="sum"), budget_bytes=SMALLEST)
    assert tasks.run([BLOCKS]) == oracle([*PAIRS, ("records", len(LINES))], ORACLES["sum"], 3)
    assert Tasks(tmp_path, make_job(count_all, per="split", named="sum"), partitions=1).run([[]]) == [
        b'["records", 0]\n'
    ]


def test_a_map_only_job_writes_records_in_order_of_emission(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path, make_job(words), partitions=0, output_format="text")
    output = tasks.map(0, BLOCKS)
    assert tasks.run_path(0).read_bytes() == "".join(f"{word}\t1\n" for word, _ in PAIRS).encode()
    assert (output.records, output.input_records, output.key_type) == (len(PAIRS), len(LINES), "str")
    assert not output.is_sorted


def test_an_attempt_without_records_leaves_no_file(tmp_path: Path) -> None:
    for partitions in (0, 3):
        output = Tasks(tmp_path, make_job(lambda _: None, named="sum"), partitions=partitions).map(0, BLOCKS)
        assert not output.has_file
        assert output.input_records == len(LINES)
    assert not Tasks(tmp_path, make_job(words, named="sum")).reduce(0, []).has_file
    assert list(tmp_path.iterdir()) == []


def test_an_attempt_says_what_it_made_and_where_its_time_went(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path, make_job(words, named="sum"), budget_bytes=SMALLEST)
    output = tasks.map(0, BLOCKS)
    assert output.bytes == tasks.run_path(0).stat().st_size
    assert sum(part.records for part in output.partitions) == output.records == 701
    assert {"read", "map", "spill", "merge", "write"} <= output.step_s.keys()
    reduced = tasks.reduce(1, [tasks.source(0, output)])
    assert (reduced.is_sorted, reduced.key_type) == (True, "str")
    assert {"merge", "reduce", "write"} <= reduced.step_s.keys()
    assert {path.name for path in tmp_path.iterdir()} == {"map-0.run", "part-1"}


def test_a_repeated_map_has_the_same_digest_and_a_changed_one_another(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path, make_job(words, named="sum"), budget_bytes=SMALLEST)
    first = tasks.map(0, BLOCKS)
    assert tasks.map(0, BLOCKS).digest == first.digest != tasks.map(0, BLOCKS[1:]).digest


def test_counters_are_those_of_the_attempt_that_counts(tmp_path: Path) -> None:
    context = Context()

    def mapper(line: str, ctx: Context) -> Iterator[tuple[str, float]]:
        ctx.count("lines")
        yield line.split()[0], 0.5  # a float: the task starts over in exact arithmetic

    def combiner(key: str, values: Iterable[float]) -> list[tuple[str, float]]:
        context.count("combined")
        return [(key, sum(values))]

    tasks = Tasks(tmp_path, make_job(mapper, named="sum", wants_ctx=True), context=context)
    assert tasks.map(0, BLOCKS).counters == {"lines": len(LINES)}
    context.counters.clear()
    tasks = Tasks(tmp_path, make_job(mapper, reducer=total, combiner=combiner, wants_ctx=True), context=context)
    assert tasks.map(0, BLOCKS).counters == {"lines": len(LINES), "combined" + COMBINER_MARK: 700}
    assert context.input_file == "block9"


# ------------------------------------------------------------------------------------------------------------ failures


def failure_of_map(tmp_path: Path, mapper: Any, blocks: list[list[Any]], **options: Any) -> TaskFailed:
    tasks = Tasks(tmp_path, make_job(mapper, **options), budget_bytes=SMALLEST)
    with pytest.raises(TaskFailed) as failure:
        tasks.map(0, blocks)
    assert list(tmp_path.iterdir()) == []
    return failure.value


@pytest.mark.parametrize("options", [{"named": "sum"}, {"named": "list"}, {"named": "sum", "per": "split"}])
@pytest.mark.parametrize("size", [10, 500])
def test_the_record_at_fault_is_named_with_the_users_part_of_the_traceback(
    tmp_path: Path, options: dict[str, Any], size: int
) -> None:
    def divide(number: int) -> list[tuple[int, float]]:
        return [(number, 1 // (number - 777))]

    def divide_all(numbers: Iterator[int]) -> Iterator[tuple[int, float]]:
        for number in numbers:
            yield from divide(number)

    mapper = divide_all if "per" in options else divide
    blocks = [list(range(start, start + size)) for start in range(0, 1_000, size)]
    failure = failure_of_map(tmp_path, mapper, blocks, **options)
    assert failure.failure_class == "user"
    assert "the mapper raised ZeroDivisionError" in str(failure)
    assert failure.record == f"block{777 // size}, record {777 % size}: 777"
    assert failure.traceback.splitlines()[1].endswith(f"in {mapper.__name__}")
    assert "dataplane/map" not in failure.traceback


@pytest.mark.parametrize(
    ("result", "failure_class", "message"),
    [
        (5, "user", "must return an iterable of"),
        ("ab", "user", "must return an iterable of"),
        (["word"], "user", "must yield (key, value) pairs, not 'word'"),
        ([("a", 1, 2)], "user", "must yield (key, value) pairs"),
        ([("a", "x")], "user", "the reducer sum needs numbers"),
        ([(["a"], 1)], "unstorable", "a key of type list"),
        ([(("a", {1: 2}), 1)], "unstorable", "a key of type dict"),
        ([("a", 1j)], "user", "the reducer sum needs numbers"),
    ],
)
def test_results_of_a_wrong_shape_name_their_record(
    tmp_path: Path, result: Any, failure_class: str, message: str
) -> None:
    blocks: list[list[Any]] = [[[("a", 1)]] * 300, [*[[("b", 1)]] * 99, result, *[[("c", 1)]] * 99]]
    failure = failure_of_map(tmp_path, lambda record: record, blocks, named="sum")
    assert failure.failure_class == failure_class
    assert message in str(failure)
    assert failure.record.startswith("block1, record 99: ")


@pytest.mark.parametrize("value", [{1}, [object()], {"a": 1j}, "x" * (65 * MIB)])
def test_an_unstorable_value_names_its_record(tmp_path: Path, value: Any) -> None:
    blocks = [[1] * 300, [1] * 150 + [2] + [1] * 150]
    failure = failure_of_map(tmp_path, lambda number: [("k", value if number == 2 else 0)], blocks, named="list")
    assert failure.failure_class == "unstorable"
    assert failure.record == "block1, record 150: 2"


def test_an_exit_of_the_mapper_is_the_users_error_and_memory_is_not(tmp_path: Path) -> None:
    assert failure_of_map(tmp_path, lambda _: sys.exit(3), [[1]], named="sum").failure_class == "user"

    def hungry(_: int) -> None:
        raise MemoryError

    assert failure_of_map(tmp_path, hungry, [[1]], named="sum").failure_class == "memory"


def test_a_combiner_has_to_keep_the_key(tmp_path: Path) -> None:
    def rename(key: str, values: Iterable[int]) -> list[tuple[str, int]]:
        return [(key.upper(), sum(values))]

    failure = failure_of_map(tmp_path, words, BLOCKS, reducer=total, combiner=rename)
    assert "the combiner must keep the key" in str(failure)


def test_a_failing_reducer_names_its_key(tmp_path: Path) -> None:
    def fail(key: str, values: Iterable[int]) -> Iterator[tuple[str, int]]:
        if key == "w7":
            raise RuntimeError("no sevens")
        yield key, 1

    tasks = Tasks(tmp_path, make_job(words, reducer=fail), partitions=1)
    source = tasks.source(0, tasks.map(0, BLOCKS))
    with pytest.raises(TaskFailed, match="the reducer raised RuntimeError: no sevens") as failure:
        tasks.reduce(0, [source])
    assert failure.value.record == "partition 0, key 'w7'"
    assert not tasks.part_path(0).exists()


def test_a_reducer_that_yields_no_pairs_is_told(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path, make_job(words, reducer=lambda key, values: (key, sum(values))), partitions=1)
    source = tasks.source(0, tasks.map(0, BLOCKS))
    with pytest.raises(TaskFailed, match=r"must return or yield \(key, value\) pairs, not 'common'"):
        tasks.reduce(0, [source])


def test_a_damaged_run_is_reported_even_if_the_reducer_swallows_the_error(tmp_path: Path) -> None:
    def careless(key: str, values: Iterator[str]) -> list[tuple[str, int]]:
        seen = 0
        try:
            for _ in values:
                seen += 1
        except Exception:
            pass
        return [(key, seen)]

    block = [("hot", os.urandom(500).hex()) for _ in range(5_000)]
    tasks = Tasks(tmp_path, make_job(lambda pair: [pair], reducer=careless), partitions=1)
    source = tasks.source(0, tasks.map(0, [block]))
    data = bytearray(source.path.read_bytes())
    data[len(data) // 2] ^= 1
    source.path.write_bytes(data)
    with pytest.raises(CorruptRun) as failure:
        tasks.reduce(0, [source])
    assert failure.value.name == "map-0"
    assert not tasks.part_path(0).exists()


def test_the_trace_holds_the_record_that_the_mapper_has(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    seen: list[str] = []

    def mapper(number: int) -> list[tuple[int, int]]:
        seen.append(read_trace(path))
        return [(number, 1)]

    with RecordTrace(path) as trace:
        Tasks(tmp_path, make_job(mapper, named="sum")).map(0, [[7, 8], [9]], trace)
    assert seen == ["block0, record 0: 7", "block0, record 1: 8", "block1, record 0: 9"]
    assert read_trace(path) == seen[-1]


def test_a_trace_is_cut_and_an_absent_one_is_empty(tmp_path: Path) -> None:
    with RecordTrace(tmp_path / "trace") as trace:
        assert read_trace(tmp_path / "trace") == ""
        trace.write("é" * mmap.PAGESIZE)
    assert len(read_trace(tmp_path / "trace")) == (TRACE_BYTES - 4) // 2
    assert read_trace(tmp_path / "none") == ""


def test_memory_that_runs_out_in_our_own_loop_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def mapper(_: int) -> list[tuple[str, int]]:
        nonlocal reads
        reads += 1
        return [("a", 1)]

    def run_out(*_: Any) -> int:
        raise MemoryError

    monkeypatch.setattr("mapreduce.dataplane.grouping.footprint", run_out)
    assert failure_of_map(tmp_path, mapper, [[1]], named="sum").failure_class == "memory"
    assert reads == 1
