"""What comes back from a run: records in Python's types, tables, and what a notebook shows."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mapreduce.dataplane.recordformats import format_record
from mapreduce.errors import UsageError
from mapreduce.model import OutputFormat
from mapreduce.result import Result


def _result(folder: Path, pairs: list[tuple[Any, Any]], kind: OutputFormat = "jsonl", **facts: Any) -> Result:
    content = b"".join(format_record(key, value, kind) for key, value in pairs)
    (folder / "part-00000").write_bytes(content)
    output = {"records": len(pairs), "bytes": len(content), "format": kind}
    (folder / "_SUCCESS").write_text(json.dumps({"parts": {"part-00000": {}}, "output": output}))
    return Result(folder, kind, facts.pop("counters", {}), **facts)


@pytest.mark.parametrize("key", ["word", 3, 2.5, None, True, b"\xff", ("a", 1, (b"x", None)), "\udcff", 10**30])
def test_keys_come_back_as_they_were_emitted(tmp_path: Path, key: Any) -> None:
    ((found, _),) = _result(tmp_path, [(key, 1)])
    assert (found, type(found)) == (key, type(key))


def test_values_come_back_as_json_has_them(tmp_path: Path) -> None:
    value = {"list": [1, (2, b"x")], "dict": {1: {"$odd": 2}}, "none": None}
    ((_, found),) = _result(tmp_path, [("k", value)])
    assert found == {"list": [1, [2, b"x"]], "dict": {1: {"$odd": 2}}, "none": None}


def test_text_comes_back_as_str(tmp_path: Path) -> None:
    assert list(_result(tmp_path, [(1, 2.5), ("a", "b\tc")], "text")) == [("1", "2.5"), ("a", "b\tc")]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("to_arrow", "pyarrow is not installed; pip install 'pyarrow>=17'"),
        ("to_pandas", "pandas is not installed; pip install pandas"),
    ],
)
def test_a_missing_package_is_said_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, said: str
) -> None:
    def refuse(name: str) -> ModuleType:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UsageError, match=re.escape(said)):
        getattr(_result(tmp_path, [("a", 1)]), method)()


def test_a_package_that_misses_something_of_its_own_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> ModuleType:
        raise ModuleNotFoundError("no numpy", name="numpy")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        _result(tmp_path, []).to_pandas()


def test_an_arrow_table_has_the_types_of_the_records(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = _result(tmp_path, [("a", 1), ("b", 2)]).to_arrow()
    assert table.schema == arrow.schema([("key", arrow.string()), ("value", arrow.int64())])
    assert _result(tmp_path, [(("a", "b"), "\udcff")]).to_arrow().to_pylist() == [{"key": ["a", "b"], "value": "���"}]
    assert _result(tmp_path, []).to_arrow().num_rows == 0
    with pytest.raises(UsageError, match="column value has values of several types"):
        _result(tmp_path, [("a", 1), ("b", "two")]).to_arrow()


def test_a_data_frame_has_a_column_of_keys_and_one_of_values(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    frame = _result(tmp_path, [("a", 1), ("b", "two")]).to_pandas()
    assert frame.to_dict("list") == {"key": ["a", "b"], "value": [1, "two"]}


def test_a_notebook_shows_sizes_counters_and_ten_records_and_escapes_them(tmp_path: Path) -> None:
    pairs = [(f"<b>{number:02}", "x" * 500) for number in range(40)]
    shown = _result(tmp_path, pairs, counters={"bad & ugly": 1_234}, name="wc", seconds=3.21)._repr_html_()
    assert "wc: 40 records" in shown
    assert "1 part in 3.2 s" in shown
    assert "bad &amp; ugly" in shown
    assert "1,234" in shown
    assert "&lt;b&gt;09" in shown
    assert "<b>0" not in shown
    assert "&lt;b&gt;10" not in shown
    assert "x" * 200 not in shown
