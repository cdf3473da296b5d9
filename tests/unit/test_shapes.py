"""What a mapper or reducer returns wrongly is refused, by the same words, in every way to run a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.errors import TaskFailed
from mapreduce.inline import run_inline
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.sequential import run_sequential
from mapreduce.userjob import UserJob
from tests.support.dataplane import Tasks
from tests.support.jobs import user_job

LINES = ["ab,cd,ef", "gh,ij,kl"] * 100


def run_as_task(spec: JobSpec, job: UserJob, folder: Path) -> None:
    """The tasks as a worker runs them."""
    folder.mkdir()
    Tasks(folder, job, partitions=1 if spec.reducers is None else spec.reducers).run([[LINES]])


def failure_of_run(run: Any, tmp_path: Path, source: str, **more: Any) -> TaskFailed:
    text = tmp_path / "in.txt"
    text.write_text("\n".join(LINES) + "\n")
    spec = JobSpec(code=Code(inline=""), inputs=(Input(uri=str(text)),), output=Output(uri="o"))
    spec = msgspec.structs.replace(spec, **more)
    with pytest.raises(TaskFailed) as caught:
        run(spec, user_job(tmp_path, source), tmp_path / "out")
    assert caught.value.failure_class == "user"
    return caught.value


WAYS = pytest.mark.parametrize("run", [run_as_task, run_inline, run_sequential], ids=["task", "inline", "sequential"])

KEYS = "the mapper must return an iterable of keys (the reducer is count), not "
PAIRS = "the mapper must return an iterable of (key, value) pairs, not "
PAIR = "the mapper must yield (key, value) pairs, not "
DICT = " Of a dict return .items()."
SET = " A set has another order in each process: return sorted(...)."


@WAYS
@pytest.mark.parametrize(
    ("body", "reducer", "said"),
    [
        ("return line.split(',')[2]", "'count'", f"{KEYS}'ef'."),
        ("return {line: 1}", "'count'", f"{KEYS}{{'ab,cd,ef': 1}}. Of a dict return list(...)."),
        ("return line[:2], 1", "'count'", f"{KEYS}('ab', 1). If the tuple is one key, return it in a list"),
        ("return line[:2]", "'list'", f"{PAIRS}'ab'."),
        ("return {line[:2]: 1}", "'list'", f"{PAIRS}{{'ab': 1}}.{DICT}"),
        ("return {(line, 1)}", "'list'", f"{PAIRS}{{('ab,cd,ef', 1)}}.{SET}"),
        ("return line[:2], line[3:5]", "'list'", f"{PAIR}'ab'."),
        ("yield line[:2]", "'list'", f"{PAIR}'ab'."),
        ("yield line[:2]", "'max'", f"{PAIR}'ab'."),
        ("yield {'k': 1, 'v': 2}", "'list'", f"{PAIR}{{'k': 1, 'v': 2}}."),
        ("yield line[:2]", "None", f"{PAIR}'ab'."),
        ("return 5", "'sum'", f"{PAIRS}5."),
    ],
)
def test_a_mapper_that_returns_something_else_is_refused(
    tmp_path: Path, run: Any, body: str, reducer: str, said: str
) -> None:
    more = {"reducers": 0} if reducer == "None" else {}
    source = f"def mapper(line):\n    {body}\n" + (f"reducer = {reducer}\n" if not more else "")
    assert str(failure_of_run(run, tmp_path, source, **more)).startswith(said)


@WAYS
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("yield 'ab'", "pairs, not 'ab'."),
        ("return 'ab'", "pairs, not 'ab'."),
        ("return {('a', 1): 2}", f"pairs, not {{('a', 1): 2}}.{DICT}"),
        ("return {('a', 1)}", f"pairs, not {{('a', 1)}}.{SET}"),
        ("return 5", "pairs, not 5."),
    ],
)
def test_a_reducer_that_returns_something_else_is_refused(tmp_path: Path, run: Any, body: str, said: str) -> None:
    source = f"def mapper(line):\n    yield 'k', 1\ndef reducer(key, values):\n    {body}\n"
    failure = failure_of_run(run, tmp_path, source)
    assert str(failure).startswith("the reducer must ")
    assert str(failure).endswith(said)
    assert failure.record == "partition 0, key 'k'"


@WAYS
@pytest.mark.parametrize(
    "body",
    [
        "return",
        "return ''",
        "return line and [('k', 1)]",
        "return [['k', 1]]",
        "return {'k': 1}.items()",
        "return ('k', 1), ('l', 2)",
        "return [namedtuple('Pair', 'key value')('k', 1)]",
    ],
)
def test_what_can_be_meant_in_one_way_only_is_taken(tmp_path: Path, run: Any, body: str) -> None:
    text = tmp_path / "in.txt"
    text.write_text("\n".join(LINES) + "\n")
    spec = JobSpec(code=Code(inline=""), inputs=(Input(uri=str(text)),), output=Output(uri="o"))
    source = f"from collections import namedtuple\ndef mapper(line):\n    {body}\nreducer = 'sum'\n"
    run(spec, user_job(tmp_path, source), tmp_path / "out")


@WAYS
def test_a_set_of_keys_that_are_only_counted_is_taken(tmp_path: Path, run: Any) -> None:
    text = tmp_path / "in.txt"
    text.write_text("\n".join(LINES) + "\n")
    spec = JobSpec(code=Code(inline=""), inputs=(Input(uri=str(text)),), output=Output(uri="o"))
    run(
        spec,
        user_job(tmp_path, "def mapper(line):\n    return set(line.split(','))\nreducer = 'count'\n"),
        tmp_path / "out",
    )
