"""Reading finished output folders: merging, ranking, refusing."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.dataplane.keys import sort_key
from mapreduce.dataplane.outputs import OutputWriter
from mapreduce.errors import UsageError
from mapreduce.local import results as reading
from mapreduce.model import OutputFormat
from mapreduce.scheduling.tasks import KEY_TYPES


def finished(
    folder: Path, parts: Mapping[str, list[tuple[Any, Any]]], format_: OutputFormat = "text"
) -> reading.Results:
    """An output folder as the coordinator leaves it."""
    facts: dict[str, object] = {}
    warnings: dict[str, int] = {}
    for name, records in parts.items():
        with OutputWriter(folder / name, format_) as writer:
            for key, value in records:
                writer.write(key, value)
            output = writer.close()
        facts[name] = {
            "bytes": output.bytes,
            "records": output.records,
            "keyType": output.key_type,
            "sorted": output.is_sorted,
        }
        for warning, count in output.warnings.items():
            warnings[warning] = warnings.get(warning, 0) + count
    success = {"output": {"format": format_}, "parts": facts, "warnings": warnings}
    (folder / "_SUCCESS").write_bytes(msgspec.json.encode(success))
    return reading.open_results(folder)


def merged(results: reading.Results) -> bytes:
    into = io.BytesIO()
    reading.merge(results, into)
    return into.getvalue()


def ranked(results: reading.Results, count: int) -> list[bytes]:
    return reading.top(results, count)


@pytest.mark.parametrize(
    "keys",
    [
        ["b", "a", "é", "\ud800", "", "Z", "\U0001f600", "\uffff"],
        [b"b", b"\xff", b"", b"a"],
        [10, 9, -1, 1 << 70],
        [2.5, -0.5, float("inf"), 1e300],
        [(1, "b"), (1, "a"), (0,), (1,)],
        [True, False],
        [None, None],
    ],
    ids=["str", "bytes", "int", "float", "tuple", "bool", "none"],
)
@pytest.mark.parametrize("format_", ["text", "jsonl"])
def test_parts_merge_into_one_stream_in_the_order_of_keys(
    tmp_path: Path, keys: list[Any], format_: OutputFormat
) -> None:
    parts = {f"part-{index}": [(key, 1) for key in sorted(keys[index::2], key=sort_key)] for index in range(2)}
    results = finished(tmp_path, parts, format_)
    whole = tmp_path / "whole"
    with OutputWriter(whole, format_) as writer:
        for key in sorted(keys, key=sort_key):
            writer.write(key, 1)
        writer.close()
    assert merged(results) == whole.read_bytes()
    assert {part.key_type for part in results.success.parts.values()} <= {*KEY_TYPES[1:]} - {"mixed"}


def test_more_parts_than_open_files_merge_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_OPEN_FILES", 3)
    results = finished(tmp_path, {f"part-{index:02d}": [(f"{index % 7}{index}", index)] for index in range(20)})
    keys = [line.split(b"\t")[0] for line in merged(results).splitlines()]
    assert len(keys) == 20
    assert keys == sorted(keys)


def test_keys_of_several_types_merge_in_jsonl_only(tmp_path: Path) -> None:
    parts: dict[str, list[tuple[Any, Any]]] = {"part-0": [(1, 0)], "part-1": [("a", 0)]}
    (tmp_path / "text").mkdir()
    with pytest.raises(UsageError, match="several types"):
        merged(finished(tmp_path / "text", parts))
    (tmp_path / "jsonl").mkdir()
    assert [line[:2] for line in merged(finished(tmp_path / "jsonl", parts, "jsonl")).splitlines()] == [b"[1", b'["']


def test_parts_that_are_not_sorted_are_not_merged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="part-0 are not in ascending order"):
        merged(finished(tmp_path, {"part-0": [("b", 1), ("a", 1)]}))


@pytest.mark.parametrize("record", [("a\tb", 1), ("a", "x\ny")])
def test_ambiguous_text_lines_are_not_merged(tmp_path: Path, record: tuple[str, object]) -> None:
    with pytest.raises(UsageError, match="--output-format jsonl"):
        merged(finished(tmp_path, {"part-0": [record]}))


def test_an_empty_result_merges_to_nothing(tmp_path: Path) -> None:
    assert merged(finished(tmp_path, {})) == b""


@pytest.mark.parametrize("format_", ["text", "jsonl"])
def test_the_top_records_are_those_with_the_greatest_values_and_ties_go_by_key(
    tmp_path: Path, format_: OutputFormat
) -> None:
    results = finished(tmp_path, {"part-0": [("a", 1), ("z", 5)], "part-1": [("b", 5), ("c", 7.5)]}, format_)
    assert [b"c" in line for line in ranked(results, 1)] == [True]
    assert [line[:3].strip(b'["\t')[:1] for line in ranked(results, 3)] == [b"c", b"b", b"z"]
    assert len(ranked(results, 9)) == 4


def test_values_that_are_no_numbers_cannot_be_ranked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'two' is no number"):
        ranked(finished(tmp_path, {"part-0": [("a", "two")]}), 1)


def test_a_folder_without_success_holds_no_result(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no such folder; name the one"):
        reading.open_results(tmp_path / "none")
    with pytest.raises(UsageError, match=r"no finished result .* `mr why /"):
        reading.open_results(tmp_path)


def test_a_part_that_was_cut_or_removed_is_noticed(tmp_path: Path) -> None:
    finished(tmp_path, {"part-0": [("a", 1)]})
    (tmp_path / "part-0").write_bytes(b"a")
    with pytest.raises(UsageError, match="part-0 has 1 bytes and had 4"):
        reading.open_results(tmp_path)
    (tmp_path / "part-0").unlink()
    with pytest.raises(UsageError, match="part-0 is missing"):
        reading.open_results(tmp_path)
