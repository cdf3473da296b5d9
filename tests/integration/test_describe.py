"""Describing a job's file in a process of its own: real children, and every way they can end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.describe import describe_in_child, start_describing
from mapreduce.errors import InvalidUserCode
from mapreduce.jobspec import Options
from mapreduce.userjob import Names
from tests.support.jobs import write_job


def test_a_file_is_described_and_what_it_prints_does_not_disturb(tmp_path: Path) -> None:
    path = write_job(
        tmp_path,
        """
        import os
        from mapreduce import job
        from helper import split
        print("noise"); os.write(1, b"more noise")
        j = job("words", reducer="sum", reducers=3, format="csv")
        @j.mapper
        def words(row): yield from split(row)
        """,
    )
    helper = write_job(tmp_path, "def split(row): yield row, 1\n", "helper.py")
    description = describe_in_child(path, [helper])
    assert description.problem is None
    assert (description.name, description.mapper, description.reducer) == ("words", "words", "sum")
    assert description.options == Options(reducers=3, format="csv")


def test_a_module_that_only_pythonpath_names_is_missing_as_it_is_for_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_job(tmp_path, "import only_here\ndef mapper(line): ...\n")
    (tmp_path / "elsewhere").mkdir()
    write_job(tmp_path / "elsewhere", "", "only_here.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    problem = describe_in_child(path).problem
    assert problem is not None
    assert "--py-files" in problem.message


def test_an_import_error_is_data_with_the_users_traceback(tmp_path: Path) -> None:
    path = write_job(tmp_path, "def mapper(line): ...\n1 / 0\n")
    problem = describe_in_child(path).problem
    assert problem is not None
    assert problem.message == "job.py cannot be imported: ZeroDivisionError: division by zero."
    assert problem.traceback.splitlines()[1].strip() == f'File "{path}", line 2, in <module>'
    assert "mapreduce/loading.py" not in problem.traceback


def test_neighbours_of_the_file_and_of_the_current_folder_are_not_importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_job(tmp_path, "", "helper.py")
    problem = describe_in_child(write_job(tmp_path, "import helper\ndef mapper(x): ...\n")).problem
    assert problem is not None
    assert "--py-files" in problem.message


def test_functions_are_chosen_by_name_and_modules_by_theirs(tmp_path: Path) -> None:
    path = write_job(tmp_path, "def one(x): ...\ndef two(k, v): ...\n")
    description = describe_in_child(path, names=Names(mapper="one", reducer="two"))
    assert (description.mapper, description.reducer) == ("one", "two")
    module = describe_in_child("textwrap", names=Names(mapper="dedent"), is_module=True)
    assert (module.name, module.mapper, module.problem) == ("textwrap", "dedent", None)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os\nos._exit(7)\n", "exit code 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL"),
        ("import os, sys\nsys.stderr.write('last words')\nsys.stderr.flush()\nos.abort()\n", "last words"),
    ],
)
def test_a_file_that_kills_its_process_is_named(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(InvalidUserCode, match="ended the process that imported it") as caught:
        describe_in_child(write_job(tmp_path, source))
    assert said in str(caught.value)


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    child = start_describing(write_job(tmp_path, "import signal\nsignal.pause()\n"))
    with pytest.raises(InvalidUserCode, match="was still being imported"):
        child.read(timeout_s=0.5)
    assert child.process.returncode == -9


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "gone.py", "is no file"), (tmp_path, "is no file")):
        problem = describe_in_child(path).problem
        assert problem is not None
        assert said in problem.message
    odd = write_job(tmp_path, "raise Exception('\\udcff')\n")
    assert describe_in_child(odd).problem is not None
    path = write_job(tmp_path, "def mapper(x): ...\n")
    problem = describe_in_child(path, [tmp_path / "gone.py"]).problem
    assert problem is not None
    assert "--py-files" in problem.message


def test_the_child_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write_job(tmp_path, "import sys\nprint(*sys.modules)\ndef mapper(x): ...\n")
    made = subprocess.run(
        [sys.executable, "-m", "mapreduce.describe", str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert made.stdout.startswith('{"name":"job"')
    assert not {"aiohttp", "click", "rich", "asyncio", "yaml", "xxhash"} & set(made.stderr.split())
