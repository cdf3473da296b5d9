"""`mr init`: every pair of answers gives a job that runs, a test that passes, and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from mapreduce.errors import UsageError
from mapreduce.testing import run_job
from mapreduce_cli.commands.init import command
from mapreduce_cli.main import COMMANDS
from mapreduce_cli.starting.kinds import COMPUTE, KINDS, RECORDS, Compute, Records
from mapreduce_cli.starting.writing import Plan, files_of, name_for, write


@pytest.mark.parametrize("records", get_args(Records))
@pytest.mark.parametrize("compute", get_args(Compute))
def test_every_new_job_runs_on_its_own_sample(tmp_path: Path, records: Records, compute: Compute) -> None:
    write(Plan("new", records, compute, "cluster"), tmp_path)
    outcome = run_job(tmp_path / "job.py", tmp_path / "data", engine="inline", splits=2)
    assert outcome.records == run_job(tmp_path / "job.py", tmp_path / "data").records
    assert outcome.records
    compile((tmp_path / "test_job.py").read_text(), "test_job.py", "exec")


@pytest.mark.parametrize(
    ("records", "compute", "expected"),
    [
        ("lines", "count", "{'a': 2, 'is': 1, 'rose': 2}"),
        ("jsonl", "mean", "{'flower': 2.5}"),
        ("csv", "sum", "{'flower': 5}"),
        ("files", "group", "'is': ['one.txt']"),
        ("lines", "filter", "{'a rose is': 9, 'a rose': 6}"),
    ],
)
def test_its_test_expects_what_a_person_would(records: Records, compute: Compute, expected: str) -> None:
    assert expected in files_of(Plan("new", records, compute, "here"))["test_job.py"]


def test_its_readme_names_commands_that_exist() -> None:
    readme = files_of(Plan("new", "lines", "count", "cluster"))["README.md"]
    assert set(re.findall(r"^mr (\w+)", readme, re.MULTILINE)) <= set(COMMANDS)


def test_every_answer_has_its_code_and_its_meaning() -> None:
    assert (*RECORDS,) == get_args(Records) == (*KINDS,)
    assert (*COMPUTE,) == get_args(Compute)


@pytest.mark.parametrize("name", ["job.py", "README.md", "data/sample.txt"])
def test_nothing_is_overwritten_and_then_nothing_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} is there already"):
        write(Plan("new", "lines", "count", "here"), tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write(Plan("new", "lines", "count", "here"), tmp_path / "file" / "below")


@pytest.mark.parametrize(("folder", "name"), [("My Hits", "my-hits"), ("...", "job"), ("x" * 80, "x" * 50)])
def test_the_name_is_one_that_kubernetes_takes(folder: str, name: str) -> None:
    assert name_for(Path("/tmp") / folder) == name


def test_without_a_terminal_the_missing_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"give --compute count\|sum"):
        CliRunner().invoke(
            command, [str(tmp_path / "x"), "--records", "csv"], standalone_mode=False, catch_exceptions=False
        )
    assert not (tmp_path / "x").exists()
