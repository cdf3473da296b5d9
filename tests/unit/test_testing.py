"""`mapreduce.testing` in this process: jobs named in every way, records of every format, differences in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapreduce import Context, job
from mapreduce.errors import InvalidUserCode, UsageError
from mapreduce.testing import Engine, assert_counters, assert_output, assert_same_output, run_job
from tests.support.tree import ROOT

ENGINES: tuple[Engine, ...] = ("oracle", "inline")

words = job("words")


@dataclass
class Hit:
    url: str
    times: int


@words.mapper
def split(line: str, ctx: Context) -> Iterator[tuple[str, int]]:
    ctx.count("lines")
    yield from ((word, 1) for word in line.split())


@words.reducer(combiner=True)
def total(word: str, counts: Iterable[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


hits = job("hits", reducer="list", format="jsonl")


@hits.mapper
def hit(record: dict[str, object]) -> Iterator[tuple[tuple[str, int], Hit]]:
    yield (str(record["url"]), 1), Hit(str(record["url"]), 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_of_this_very_file_is_run_in_this_process(engine: Engine) -> None:
    outcome = run_job(words, ["a b a", "b"], engine=engine, splits=2, reducers=2)
    assert_output(outcome, {"a": 2, "b": 2})
    assert_counters(outcome, lines=2, never_raised=0)
    assert len(outcome) == 2


def test_a_job_is_named_by_its_file_or_module_too(tmp_path: Path) -> None:
    file = ROOT / "examples" / "wordcount.py"
    assert_output(run_job(str(file), ["x y x"]), {"x": 2, "y": 1})
    assert_output(run_job(file, ["x enough"], mapper="long_words"), [("enough", 1)])
    with pytest.raises(InvalidUserCode, match="no such file"):
        run_job(tmp_path / "missing.py", ["x"])


def test_values_are_compared_as_the_output_has_them() -> None:
    outcome = run_job(hits, [{"url": "/a"}, {"url": "/a"}], engine="inline")
    assert outcome.as_dict() == {("/a", 1): [{"url": "/a", "times": 2}] * 2}
    assert_output(outcome, {("/a", 1): [Hit("/a", 2), Hit("/a", 2)]})


def test_rows_contents_and_files_are_records_too(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("def mapper(key, value):\n    yield value, str(key)[-5:]\n")
    file = tmp_path / "job.py"
    with pytest.raises(Exception, match="list cannot be stored"):
        run_job(file, [["a", "b,c"]], format="csv", engine="inline", reducers=1)
    assert run_job(file, {"x.txt": "one\n", "y.txt": b"two"}, format="files").records == [
        ("one\n", "x.txt"),
        ("two", "y.txt"),
    ]
    (tmp_path / "there.txt").write_text("line\n")
    assert run_job(file, tmp_path / "there.txt").records == [("line", "0")]


@pytest.mark.parametrize(
    ("records", "problem"),
    [("one string", "give a list"), (["two\nlines"], "newline"), ([3], "neither str nor bytes")],
)
def test_records_of_another_shape_are_refused_in_words(records: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        run_job(words, records)  # type: ignore[arg-type]


def test_a_difference_is_said_key_by_key() -> None:
    outcome = run_job(words, ["a a c"])
    with pytest.raises(AssertionError) as failed:
        assert_output(outcome, {"a": 3, "b": 1})
    assert str(failed.value) == (
        "the output is not what was expected, at 3 keys (of 2 records):\n"
        "  key 'a': expected 3, got 2\n"
        "  key 'b': expected 1, got nothing\n"
        "  key 'c': expected nothing, got 1"
    )


def test_many_differences_are_counted_and_ten_are_shown() -> None:
    with pytest.raises(AssertionError, match="at 30 keys") as failed:
        assert_same_output([(number, 1) for number in range(30)], {})
    assert str(failed.value).count("\n") == 11
    assert str(failed.value).endswith("... and 20 more")


def test_order_matters_only_when_asked_for() -> None:
    outcome = run_job(words, ["b a"])
    assert_output(outcome, [("b", 1), ("a", 1)])
    with pytest.raises(AssertionError, match=re.escape("record 0 is ('a', 1) and should be ('b', 1)")):
        assert_output(outcome, [("b", 1), ("a", 1)], in_order=True)


def test_a_counter_that_differs_is_shown_with_all_that_there_are() -> None:
    with pytest.raises(AssertionError, match=r"counter 'lines': expected 5, got 1\n  there are: lines 1"):
        assert_counters(run_job(words, ["a"]), lines=5)


def test_what_the_functions_raise_comes_through_as_it_is() -> None:
    broken = job("broken", reducer="sum")

    @broken.mapper
    def fail(line: str) -> Iterator[tuple[str, int]]:
        raise KeyError(line)

    with pytest.raises(KeyError, match="record"):
        run_job(broken, ["record"])
