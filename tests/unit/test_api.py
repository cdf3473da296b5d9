"""What users import: how fast, what the decorators do, and what comes back from a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mapreduce
from mapreduce import manifest
from mapreduce.errors import InvalidJobSpec, InvalidUserCode, JobFailed
from mapreduce.model import Code, JobSpec
from mapreduce.result import Result

counting = mapreduce.job("counting", reducer="sum", reducers=2, args={"a": 1})


@counting.mapper
def numbers(line: str) -> Iterator[tuple[str, int]]:
    yield line, 1


def test_importing_the_package_imports_only_the_standard_library() -> None:
    script = "import sys; before = set(sys.modules); import mapreduce; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign == {"mapreduce"}
    assert {name for name in loaded if name.startswith("mapreduce")} == {
        "mapreduce",
        "mapreduce.api",
        "mapreduce.version",
    }
    assert not {"asyncio", "inspect", "pathlib", "dataclasses", "json", "subprocess"} & set(loaded)


def test_decorators_return_the_function_unchanged() -> None:
    def function(*values: object) -> Any: ...

    made = mapreduce.job("x")
    assert made.mapper(function) is function
    assert made.reducer(combiner=True)(function) is function
    assert mapreduce.job("y").mapper(per="split")(function) is function
    assert mapreduce.job("z").combiner(function) is function


def test_a_mapper_runs_per_record_or_per_split_only() -> None:
    with pytest.raises(ValueError, match="per is"):
        mapreduce.job("x").mapper(per="line")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="with_keys=True"):
        mapreduce.job("x").mapper(with_keys=True)


def _pretend_to_run(monkeypatch: pytest.MonkeyPatch, state: str = "Complete") -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def run_job(spec: JobSpec, **facts: Any) -> Any:
        calls.append({"spec": spec, **facts})
        return SimpleNamespace(state=state, reason="UserError", message="mapper raised", counters={"seen": 3})

    module = ModuleType("mapreduce.local.run")
    module.run_job = run_job  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mapreduce.local.run", module)
    return calls


def test_run_hands_the_whole_job_to_the_local_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = _pretend_to_run(monkeypatch)
    monkeypatch.chdir(tmp_path)
    result = counting.run(["a.txt", Path("b")], output="out", args={"b": 2}, workers=3, overwrite=True)
    (call,) = calls
    spec = call["spec"]
    assert (call["name"], call["workers"], call["py_files"]) == ("counting", 3, ())
    assert call["source"] == Path(__file__).resolve()
    assert spec.code == Code(volume_path=str(Path(__file__).resolve()))
    assert [source.uri for source in spec.inputs] == [str(tmp_path / "a.txt"), str(tmp_path / "b")]
    assert (spec.mapper, spec.reducer, spec.reducers) == ("numbers", "sum", 2)
    assert spec.args == {"a": "1", "b": "2"}
    assert spec.output.overwrite == "Replace"
    assert (result.output, result.counters) == (tmp_path / "out", {"seen": 3})


def test_a_failed_run_raises_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_to_run(monkeypatch, state="Failed")
    with pytest.raises(JobFailed, match="mapper raised") as caught:
        counting.run("in", output="out")
    assert caught.value.reason == "UserError"


def test_a_job_writes_its_own_manifest() -> None:
    read = manifest.from_yaml(counting.manifest("in/*.txt", output="out"))
    assert read.metadata.name == "counting"
    assert read.spec.code.inline == Path(__file__).read_text()
    assert [source.uri for source in read.spec.inputs] == ["in/*.txt"]
    assert read.spec.reducer == "sum"


def test_a_job_that_is_read_from_standard_input_says_that_it_needs_a_file(tmp_path: Path) -> None:
    script = "import mapreduce\njob = mapreduce.job('x')\njob.mapper(lambda line: [])\njob.run('in', output='out')\n"
    ran = subprocess.run([sys.executable, "-"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "is not written in a file, so that no worker could import it. Save it as a .py file" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_job_without_mapper_or_file_cannot_run() -> None:
    with pytest.raises(InvalidUserCode, match="has no mapper"):
        mapreduce.job("x").run("in", output="out")
    made = mapreduce.job("x")
    scope: dict[str, Any] = {"__name__": "typed_in", "made": made}
    exec("made.mapper(lambda value: [])", scope)
    with pytest.raises(InvalidUserCode, match="is not written in a file"):
        made.run("in", output="out")


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidJobSpec, match="Did you mean reducers"):
        mapreduce.job("x", reducer_s=3)


def test_a_result_iterates_over_its_parts_in_order(tmp_path: Path) -> None:
    for name, content in (("part-10", b"c\t3\n"), ("part-9", b"a\t1\tx\nb\n"), ("notes.txt", b"of somebody else")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "_SUCCESS").write_text('{"parts": {"part-10": {}, "part-9": {}}}')
    assert repr(Result(tmp_path, "text", {"seen": 2})).endswith("format='text', counters={'seen': 2})")
    assert list(Result(tmp_path, "text", {})) == [("a", "1\tx"), ("b", ""), ("c", "3")]
    for name in ("part-9", "part-10"):
        (tmp_path / name).write_bytes(b'["k\\u2028", [1, null]]\n')
    assert list(Result(tmp_path, "jsonl", {})) == [("k\u2028", [1, None])] * 2


def test_text_that_is_not_utf8_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "part-0").write_bytes(b"\xff\r\x85\t\xfe\n")
    (tmp_path / "_SUCCESS").write_text('{"parts": {"part-0": {}}}')
    ((key, value),) = Result(tmp_path, "text", {})
    assert (key.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")) == (
        b"\xff\r\x85",
        b"\xfe",
    )
