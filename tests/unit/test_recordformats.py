from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mapreduce.dataplane.outputs import OutputWriter
from mapreduce.dataplane.recordformats import format_batch, format_record
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.errors import TaskFailed
from mapreduce.model import OutputFormat


@dataclass(frozen=True)
class Point:
    x: int
    y: Any = None


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("a", 1, b"a\t1\n"),
        ("é", "ü", "é\tü\n".encode()),
        ("\udcff", b"\xfe", b"\xff\t\xfe\n"),
        ("\ud800", None, b"\xed\xa0\x80\tnull\n"),
        (1, True, b"1\ttrue\n"),
        ((1, "a"), [1.5, None], b'[1, "a"]\t[1.5, null]\n'),
        (b"k", {"a": (1,)}, b'k\t{"a": [1]}\n'),
        ("p", Point(1, "é"), 'p\t{"x": 1, "y": "é"}\n'.encode()),
        ("nan", math.nan, b"nan\tNaN\n"),
        ("", "", b"\t\n"),
    ],
)
def test_text_writes_strings_as_they_are_and_all_else_as_json(key: Any, value: Any, line: bytes) -> None:
    assert format_record(key, value, "text") == line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tab\tnewline\n", "tab\tnewline\n"),
        (b"\xff", {"$bytes": "/w=="}),
        ({1: "a"}, {"$dict": [[1, "a"]]}),
        ({"$bytes": 1}, {"$dict": [["$bytes", 1]]}),
        ((1, (2,)), [1, [2]]),
        ("\udcff", "\udcff"),
        (2**70, 2**70),
        (Point(1), {"x": 1, "y": None}),
        (-0.0, -0.0),
    ],
)
def test_jsonl_is_exact_json_on_one_line(value: Any, shown: Any) -> None:
    line = format_record("k", value, "jsonl")
    assert line.count(b"\n") == 1
    assert json.loads(line) == ["k", shown]


@pytest.mark.parametrize("output_format", ["text", "jsonl"])
@pytest.mark.parametrize("values", [[1, 2], ["x", "y\udcff"], ["\ud800", 1], [True, 1], [1.5, None], ["a", '"\\']])
def test_a_batch_has_the_bytes_of_its_records(output_format: OutputFormat, values: list[Any]) -> None:
    for keys in (["a", "b"], ["\udcff", 'q"'], [1, "b"]):
        single = b"".join(format_record(key, value, output_format) for key, value in zip(keys, values, strict=True))
        assert format_batch(keys, values, output_format) == single


@pytest.mark.parametrize("value", [{1, 2}, object(), [1j], [10**5_000]])
def test_what_no_format_holds_is_refused(value: Any) -> None:
    with pytest.raises(UnstorableValue):
        format_record("k", value, "jsonl")


def test_an_output_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with OutputWriter(path, "text") as writer:
        writer.write("a", 1)
        writer.write_batch(["b", "c\td", "e\n"], ["tabs\tare\tfine", "x\ny", 3])
        facts = writer.close()
    assert path.read_bytes() == b"a\t1\nb\ttabs\tare\tfine\nc\td\tx\ny\ne\n\t3\n"
    assert (facts.bytes, facts.records, facts.has_file) == (path.stat().st_size, 4, True)
    assert (facts.key_type, facts.is_sorted) == ("str", True)
    assert facts.warnings == {"text_separator_in_key": 2, "text_separator_in_value": 1}


def test_order_and_key_type_are_noticed_across_batches(tmp_path: Path) -> None:
    with OutputWriter(tmp_path / "out", "jsonl") as writer:
        writer.write_batch(["b"], [1])
        writer.write_batch(["a"], [1])
        facts = writer.close()
    assert not facts.is_sorted
    with OutputWriter(tmp_path / "mixed", "jsonl") as writer:
        writer.write_batch([1, 1.5], [1, 1])
        writer.write_batch(["a"], [1])
        facts = writer.close()
    assert (facts.is_sorted, facts.key_type) == (True, "mixed")


def test_an_output_without_records_leaves_no_file(tmp_path: Path) -> None:
    with OutputWriter(tmp_path / "out", "text") as writer:
        assert not writer.close().has_file
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_failed_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with OutputWriter(tmp_path / "out", "text") as writer:
            writer.write_batch(["x" * 2_000_000], [1])
            writer.write_batch([[1]], [1])

    with pytest.raises(UnstorableValue):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_failure_of_the_system_that_names_the_file() -> None:
    writer = OutputWriter(Path("/dev/full"), "text")  # not as a context manager, which would remove the device
    with pytest.raises(TaskFailed, match=r"/dev/full: No space left") as failure:
        writer.write_batch(["a"], ["x" * 3_000_000])
    assert failure.value.failure_class == "system"
