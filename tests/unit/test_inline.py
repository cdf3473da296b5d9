"""The engine in one process: true exceptions, places, counters, formats, and the shapes of functions."""

from __future__ import annotations

import gzip
import json
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.api import Context
from mapreduce.errors import InvalidInput, TaskFailed
from mapreduce.inline import run_inline
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.sequential import run_sequential
from mapreduce.userjob import UserJob
from tests.support.jobs import user_job

RUNNERS = pytest.mark.parametrize("run", [run_inline, run_sequential], ids=["engine", "oracle"])


def _spec(tmp_path: Path, content: bytes = b"a b\nb\n", **more: Any) -> JobSpec:
    source = tmp_path / "in.txt"
    source.write_bytes(content)
    spec = JobSpec(code=Code(inline=""), inputs=(Input(uri=str(source)),), output=Output(uri="o"), reducers=1)
    return msgspec.structs.replace(spec, **more)


def _output(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*")))


@RUNNERS
def test_an_exception_of_the_users_comes_through_as_it_is(tmp_path: Path, run: Any) -> None:
    job = user_job(tmp_path, "def mapper(line):\n    return int(line)\n")
    with pytest.raises(ValueError, match="invalid literal") as caught:
        run(_spec(tmp_path, b"x\n"), job, tmp_path / "out")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename == str(tmp_path / "job.py")
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_note_names_the_record_and_no_second_exception_is_shown(tmp_path: Path) -> None:
    job = user_job(tmp_path, "def mapper(line):\n    return 1 / len(line)\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_inline(_spec(tmp_path, b"\n"), job, tmp_path / "out")
    assert caught.value.__notes__ == [f"record: {tmp_path}/in.txt, byte 0: ''"]
    assert "TaskFailed" not in "".join(traceback.format_exception(caught.value))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_reducers_exception_names_the_key(tmp_path: Path) -> None:
    job = user_job(tmp_path, "def mapper(line): yield line, 1\ndef reducer(key, values): raise KeyError(key)\n")
    with pytest.raises(KeyError) as caught:
        run_inline(_spec(tmp_path), job, tmp_path / "out")
    assert "key 'a b'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("source", "failure_class", "said"),
    [
        ("def mapper(line): yield line\nreducer = 'sum'", "user", "in.txt, byte 0"),
        ("def mapper(line): yield {}, 1\nreducer = 'list'", "unstorable", "key of type dict"),
        ("def mapper(line): yield line, {1}\nreducer = 'list'", "unstorable", "value of type set"),
    ],
)
def test_what_is_emitted_wrongly_is_explained(tmp_path: Path, source: str, failure_class: str, said: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        run_inline(_spec(tmp_path), user_job(tmp_path, source), tmp_path / "out")
    assert caught.value.failure_class == failure_class
    assert said in str(caught.value) + caught.value.record


@RUNNERS
def test_a_missing_input_is_refused(tmp_path: Path, run: Any) -> None:
    job = user_job(tmp_path, "def mapper(line): yield line, 1\n")
    with pytest.raises(InvalidInput):
        run(_spec(tmp_path, inputs=(Input(uri=str(tmp_path / "gone")),)), job, tmp_path / "out")


@RUNNERS
def test_the_context_says_where_the_function_runs(tmp_path: Path, run: Any) -> None:
    source = """
        def mapper(line, ctx):
            ctx.count("lines")
            yield ctx.input_file.rsplit("/", 1)[1], [ctx.job_name, ctx.task_id, ctx.args["x"], ctx.attempt,
            ctx.partition]

        def reducer(key, values, ctx):
            ctx.count("keys", 5)
            yield key, [list(values), ctx.task_id, ctx.partition, ctx.input_file]
    """
    spec = _spec(tmp_path, args={"x": "y"}, output=Output(uri="o", format="jsonl"), split_size_bytes=4)
    counters = run(spec, user_job(tmp_path, source), tmp_path / "out")
    assert counters == {"lines": 2, "keys": 5}
    first, second = (["job", task, "y", 1, None] for task in ("map-0", "map-1"))
    assert json.loads(_output(tmp_path / "out")) == ["in.txt", [[first, second], "reduce-0", 0, ""]]


@RUNNERS
def test_a_mapper_once_a_split_sees_its_records_or_its_pairs(tmp_path: Path, run: Any) -> None:
    def lengths(records: Any, ctx: Context) -> Any:
        yield ctx.task_id, [list(record) if isinstance(record, tuple) else record for record in records]

    for arity, expected in ((1, '["a b"]\nmap-1\t["b"]'), (2, '[[0, "a b"]]\nmap-1\t[[4, "b"]]')):
        job = UserJob("x", lengths, arity, True, "split")  # type: ignore[arg-type]
        run(_spec(tmp_path, reducers=0, split_size_bytes=4), job, tmp_path / f"out{arity}")
        assert _output(tmp_path / f"out{arity}").decode() == f"map-0\t{expected}\n"


@RUNNERS
def test_keys_that_are_equal_in_python_are_one_group_named_by_the_first(tmp_path: Path, run: Any) -> None:
    keys = [True, 1, 1.0, 0.0, -0.0, float("nan"), float("nan"), "1", b"1", None, (1, True), (1.0, 1)]
    job = UserJob("x", lambda line: [(key, 1) for key in keys], 1, named_reducer="sum")
    run(_spec(tmp_path, b"go\n"), job, tmp_path / "out")
    assert _output(tmp_path / "out").decode().splitlines() == [
        "null\t1",
        "0.0\t2",
        "true\t3",
        "NaN\t2",
        "1\t1",
        "1\t1",
        "[1, true]\t2",
    ]


@RUNNERS
def test_sums_of_floats_are_exact(tmp_path: Path, run: Any) -> None:
    values: list[float] = [1e16, 1.0, -1e16, 0.1, 2, 1e308, 1e308, -1e308, -1e308]
    job = UserJob("x", lambda line: [("s", value) for value in values], 1, named_reducer="sum")
    run(_spec(tmp_path, b"go\n"), job, tmp_path / "out")
    assert _output(tmp_path / "out") == b"s\t3.1\n"


@RUNNERS
@pytest.mark.parametrize(
    ("kind", "content", "name", "expected"),
    [
        ("lines", b"a\r\nb", "in", b'0\t"a"\n3\t"b"\n'),
        ("lines", gzip.compress(b"a\nb\n", mtime=0), "in.gz", b'0\t"a"\n2\t"b"\n'),
        ("jsonl", b'{"k": 1}\n\n[2]\n', "in", b'0\t{"k": 1}\n10\t[2]\n'),
        ("csv", b'a,"b\nc"\n\nd,e\n', "in", b'0\t["a", "b\\nc"]\n9\t["d", "e"]\n'),
        ("files", b"x\ny\n", "in", b'in\t"x\\ny\\n"\n'),
    ],
)
def test_formats_give_their_keys_and_values(
    tmp_path: Path, run: Any, kind: str, content: bytes, name: str, expected: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    inputs = (msgspec.convert({"uri": str(tmp_path / name), "format": kind}, Input),)
    job = user_job(tmp_path, "import json, os\ndef mapper(k, v): yield os.path.basename(str(k)), json.dumps(v)\n")
    run(_spec(tmp_path, inputs=inputs, reducers=0), job, tmp_path / "out")
    assert _output(tmp_path / "out") == expected


@RUNNERS
def test_a_quote_that_is_never_closed_is_refused(tmp_path: Path, run: Any) -> None:
    (tmp_path / "in").write_bytes(b'id,name\n1,"a\n')
    inputs = (Input(uri=str(tmp_path / "in"), format="csv"),)
    job = user_job(tmp_path, "def mapper(row): yield row[0], row[1]\n")
    with pytest.raises(Exception, match=r"byte 8.*never closed"):
        run(_spec(tmp_path, inputs=inputs, reducers=0), job, tmp_path / "out")


@RUNNERS
def test_no_bytes_give_a_finished_output_without_parts(tmp_path: Path, run: Any) -> None:
    job = user_job(tmp_path, "def mapper(line): yield line, 1\nreducer = 'sum'\n")
    assert run(_spec(tmp_path, b"", reducers=3), job, tmp_path / "out") == {}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_SUCCESS"]
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text())["parts"] == {}
