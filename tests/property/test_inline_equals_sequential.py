"""The engine and the oracle on random jobs: any keys, values and cuts, with and without spills, give the same bytes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.inline import run_inline
from mapreduce.model import Code, Input, JobSpec, Output, Workers
from mapreduce.sequential import run_sequential
from mapreduce.userjob import UserJob

SPEC = JobSpec(code=Code(inline=""), inputs=(Input(uri="x"),), output=Output(uri="o"))

_TEXT = st.text(st.characters(codec=None), max_size=4)
_NUMBERS = (
    st.integers() | st.integers(-2, 2) | st.booleans() | st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan])
)
_SCALARS = (
    st.none() | _NUMBERS | _TEXT | st.binary(max_size=3) | st.sampled_from(["a", "b", "\udcff", "\ud800", "\n\t"])
)
_KEYS = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(_TEXT | st.integers(), inner, max_size=2)
    ),
    max_leaves=4,
)
_CUTS = st.tuples(st.integers(1, 4), st.sampled_from([1, 5, 40, 10_000]), st.sampled_from([1, 2_000, 1 << 28]))


def _outcome(run: Callable[[], object], folder: Path) -> object:
    """The parts, or the kind of refusal: a job that fails must fail both ways."""
    try:
        counters = run()
    except Exception:
        return "refused"
    parts = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("_")}
    return parts, counters


def _check(job: UserJob, lines: int, cuts: tuple[int, int, int], output_format: str = "text") -> None:
    reducers, split_size, budget = cuts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in"
        source.write_text("".join(f"{index}\n" for index in range(lines)))
        spec = msgspec.structs.replace(
            SPEC,
            inputs=(Input(uri=str(source)),),
            output=msgspec.convert({"uri": "o", "format": output_format}, Output),
            reducers=0 if job.reducer is None and job.named_reducer is None else reducers,
            split_size_bytes=split_size,
            workers=Workers(memory_budget_bytes=budget),
        )
        engine = _outcome(lambda: run_inline(spec, job, folder / "engine"), folder / "engine")
        oracle = _outcome(lambda: run_sequential(spec, job, folder / "oracle"), folder / "oracle")
        assert engine == oracle


def _emitting(pairs: list[Any], **more: Any) -> UserJob:
    def mapper(line: str) -> Iterator[Any]:
        yield pairs[int(line)]

    return UserJob("random", mapper, 1, **more)


@settings(max_examples=120, deadline=None)
@given(
    pairs=st.lists(st.tuples(_KEYS, _VALUES), max_size=30), cuts=_CUTS, output_format=st.sampled_from(["text", "jsonl"])
)
def test_all_keys_and_values_reach_the_reducer_in_the_same_order(
    pairs: list[Any], cuts: tuple[int, int, int], output_format: str
) -> None:
    def reducer(key: Any, values: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        yield key, list(values)

    _check(_emitting(pairs, reducer=reducer), len(pairs), cuts, output_format)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(_KEYS, _NUMBERS), max_size=30),
    name=st.sampled_from(["sum", "mean", "min", "max", "list", "identity"]),
    cuts=_CUTS,
)
def test_named_reducers_agree_on_numbers(pairs: list[Any], name: str, cuts: tuple[int, int, int]) -> None:
    if name in {"min", "max"}:  # NaN compares with nothing, so there is no smallest value to agree on
        pairs = [pair for pair in pairs if pair[1] == pair[1]]
    _check(_emitting(pairs, named_reducer=name), len(pairs), cuts)


@settings(max_examples=40, deadline=None)
@given(keys=st.lists(_KEYS, max_size=30), cuts=_CUTS)
def test_bare_keys_are_counted(keys: list[Any], cuts: tuple[int, int, int]) -> None:
    _check(_emitting(keys, named_reducer="count"), len(keys), cuts)


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(_KEYS, _VALUES), max_size=30), cuts=_CUTS)
def test_map_only_parts_are_the_same(pairs: list[Any], cuts: tuple[int, int, int]) -> None:
    _check(_emitting(pairs), len(pairs), cuts)


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(_KEYS, st.integers()), max_size=40), cuts=_CUTS)
def test_a_combiner_changes_nothing(pairs: list[Any], cuts: tuple[int, int, int]) -> None:
    def add(key: Any, values: Iterator[int]) -> Iterator[tuple[Any, int]]:
        yield key, sum(values)

    _check(_emitting(pairs, reducer=add, combiner=add), len(pairs), cuts)
