"""What `mr check` finds in code on a sample of its input, in processes of their own; each with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checks import Checks
from tests.support.tree import ROOT

REDUCER = "\ndef reducer(key, values):\n    yield key, sum(1 for _ in values)\n"
WORDS = "def mapper(line):\n    for word in line.split():\n        yield word, 1\n"


@pytest.fixture
def check(tmp_path: Path) -> Checks:
    return Checks(tmp_path)


def test_good_code_has_no_findings(check: Checks) -> None:
    done = check(WORDS + "\ndef reducer(word, counts):\n    yield word, sum(counts)\n\ncombiner = reducer\n")
    assert done.exit_code == 0
    assert "the same by the engine and by the reference" in done.said
    assert not {"problem:", "warning:", "note:"} & set(done.said.split())


def test_the_shipped_examples_have_no_problems(check: Checks) -> None:
    done = check((ROOT / "examples" / "log_analysis.py").read_text(), "--arg", "slow_s=1")
    assert done.exit_code == 0, done.said


@pytest.mark.parametrize(
    ("code", "said", "fix"),
    [
        pytest.param(
            "def mapper(line):\n    for word in set(line.split()):\n        yield len(line), word\n"
            "def reducer(key, values):\n    yield key, list(values)\n",
            "the mapper is not deterministic",
            "sorted(...)",
            id="order of a set",
        ),
        pytest.param(
            "import random\n" + WORDS + "def reducer(key, values):\n    yield key, random.random()\n",
            "the reducer is not deterministic",
            "seed `random.Random` from the record",
            id="random numbers",
        ),
        pytest.param(
            "def mapper(line):\n    yield from line.split()\n" + REDUCER,
            "the mapper yields 'sea', which is no (key, value) pair",
            "yield word, 1",
            id="no pairs",
        ),
        pytest.param(
            "def mapper(line):\n    return len(line)\n" + REDUCER,
            "the mapper returned 25",
            "yield key, value",
            id="returns a number",
        ),
        pytest.param(
            "def mapper(line):\n    yield line, {'tags': [1, {2}]}\n" + REDUCER,
            "value['tags'][1] of ",
            "sorted(...)",
            id="unstorable member, by its place",
        ),
        pytest.param(
            "from dataclasses import dataclass\n@dataclass\nclass Hit:\n    url: str\n    seen: object\n"
            "def mapper(line):\n    yield line, Hit(line, frozenset())\n" + REDUCER,
            "it is in field 'seen' of _mapreduce_job:Hit",
            "sorted(...)",
            id="unstorable field, by its name",
        ),
        pytest.param(
            WORDS + "def reducer(key, values):\n    yield key, sum(values) / max(1, len(list(values)))\n",
            "the reducer reads its values twice",
            "values = list(values)",
            id="values read twice",
        ),
        pytest.param(
            WORDS + "def reducer(key, values):\n    yield key, len(values)\n",
            "has no len()",
            "values = list(values)",
            id="length of an iterator",
        ),
        pytest.param(
            "count = 0\ndef mapper(line):\n    global count\n    count += 1\n    yield count, line\n" + REDUCER,
            "tasks depend on one another",
            "Keep it in keys and values",
            id="numbering records by a global",
        ),
        pytest.param(
            "def mapper(line):\n    found = []\n    for word in line.split():\n        found.append(word)\n"
            "        yield word, found\n" + REDUCER,
            "changes a value after it has yielded it",
            "Yield a copy",
            id="a list that grows after it was yielded",
        ),
        pytest.param(
            WORDS
            + "def reducer(key, values):\n    values = list(values)\n    yield key, sum(values) / len(values) + 1\n"
            "combiner = reducer\n",
            "the combiner changes the result",
            "combine (sum, count) pairs",
            id="mean as a combiner",
        ),
        pytest.param(
            WORDS + "def combiner(key, values):\n    yield key[:1], sum(values)\n" + REDUCER,
            "must keep the key",
            "",
            id="combiner that changes keys",
        ),
    ],
)
def test_a_problem_is_said_in_plain_words_with_the_fix(check: Checks, code: str, said: str, fix: str) -> None:
    done = check(code)
    assert done.exit_code == 1, done.said
    assert "problem: " in done.said
    assert said in done.said
    assert fix in done.said
    assert "mapreduce-check-" not in done.said, "files are called as the user calls them"


def test_a_combiner_that_adds_floats_is_noted_as_approximate(check: Checks) -> None:
    code = "def mapper(line):\n    for word in line.split():\n        yield word[0], 0.1 * len(word)\n"
    done = check(code + "def reducer(key, values):\n    yield key, sum(values)\n\ncombiner = reducer\n")
    assert "note: the combiner adds floats: its results are approximate" in done.said


def test_a_combiner_that_depends_on_order_is_a_warning_for_the_engine_keeps_the_order(check: Checks) -> None:
    code = "def mapper(line):\n    for word in line.split():\n        yield word[0], word\n"
    done = check(code + "def reducer(key, values):\n    yield key, '-'.join(values)\n\ncombiner = reducer\n")
    assert done.exit_code == 0, done.said
    assert "warning: the combiner is not commutative" in done.said


def test_warnings_are_problems_when_asked_for(check: Checks) -> None:
    code = "seen = {}\ndef mapper(line):\n    seen[line] = 1\n    yield line, 1\n" + REDUCER
    assert check(code).exit_code == 0
    done = check(code, "--strict")
    assert done.exit_code == 1
    assert "change the global variable seen" in done.said


def test_a_mapper_that_yields_nothing_at_all_is_a_warning(check: Checks) -> None:
    done = check("def mapper(line):\n    if line == 'never':\n        yield line, 1\n" + REDUCER)
    assert "warning: the mapper yielded nothing for any of 120 records" in done.said


def test_code_that_never_ends_is_shown_with_its_line(check: Checks) -> None:
    done = check("def mapper(line):\n    while True:\n        pass\n" + REDUCER, "--timeout", "1s")
    assert done.exit_code == 1
    assert "the mapper was still running after 1 s" in done.said
    assert 'File "job.py", line' in done.said


def test_code_that_ends_its_process_is_a_problem_and_no_crash_of_ours(check: Checks) -> None:
    done = check("import os\ndef mapper(line):\n    os._exit(7)\n" + REDUCER)
    assert done.exit_code == 1
    assert "ended the process that ran it (exit code 7)" in done.said


def test_annotations_are_looked_at_without_any_sample(check: Checks) -> None:
    code = (
        "from collections.abc import Iterator\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Hit:\n    url: str\n    tags: set[str]\n"
        "def mapper(line: str) -> Iterator[tuple[list[str], Hit]]:\n    yield [line], Hit(line, set())\n" + REDUCER
    )
    done = check(code, text=None)
    assert done.exit_code == 1
    assert "as value.tags, which cannot be stored" in done.said
    assert "as key, which cannot be stored" in done.said


def test_code_that_cannot_be_imported_is_refused_as_everywhere(check: Checks) -> None:
    with pytest.raises(Exception, match="nonsense") as refused:
        check("import nonsense_that_is_not_there\n")
    assert getattr(refused.value, "exit_code", 0) == 2
