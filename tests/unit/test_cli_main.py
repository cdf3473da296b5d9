"""The `mr` command line itself: help, errors as one line, exit codes. No coordinator, no worker."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mapreduce.errors import InvalidInput, InvalidJobSpec, JobFailed, Unreachable
from mapreduce_cli import main as cli


def mr(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mapreduce_cli", *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_page_shows_the_first_line_of_each_commands_own_help(name: str) -> None:
    module, line = cli.COMMANDS[name]
    command = importlib.import_module(f"mapreduce_cli.commands.{module}").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert (command.help or "").split("\n")[0] == line


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "wal"])
def test_every_command_has_examples_in_its_help(name: str) -> None:
    command = importlib.import_module(f"mapreduce_cli.commands.{cli.COMMANDS[name][0]}").command
    assert f"mr {name}" in (command.epilog or "")


def test_the_help_page_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from mapreduce_cli.main import invoke; invoke(['--help']); "
        "heavy = {'aiohttp', 'rich', 'yaml', 'asyncio', 'msgspec'} & set(sys.modules); "
        "own = [name for name in sys.modules if name.startswith('mapreduce_cli.commands')]; "
        "sys.exit(f'{heavy} {own}' if heavy or own else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_help_page_lists_each_command_once_below_a_title() -> None:
    page = mr("--help").stdout
    titles = re.findall(r"^(\S.*):$", page, re.MULTILINE)
    assert titles == ["Options", *cli.SECTIONS]
    assert re.findall(r"^  ([a-z]+)  ", page, re.MULTILINE) == list(cli.COMMANDS)


def test_a_misspelt_command_is_answered_with_the_nearest_one() -> None:
    done = mr("rnu")
    assert (done.returncode, done.stderr) == (2, "mr: there is no command 'rnu'; did you mean 'mr run'?\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "missing argument 'FILE'"),
        (["run", "none.py", "books", "-o", "out"], "none.py: there is no such file"),
        (["run", "none.yaml", "-o", "out"], "none.yaml: there is no such file"),
        (["run", "job.py", "-o", "out"], "no input is given"),
        (["run", "job.py", "books"], "no output folder is given; add -o FOLDER"),
        (["run", "job.py", "books", "-o", "out", "--reducers", "-1"], "'--reducers'"),
        (["run", "job.py", "books", "-o", "out", "--workers", "0"], "'--workers'"),
        (["run", "job.py", "books", "-o", "out", "--split-size", "16Mx"], "'16Mx' is not a size"),
        (["run", "job.py", "books", "-o", "out", "--lease", "soon"], "'soon' is not a duration"),
        (["run", "job.py", "books", "-o", "out", "--arg", "min"], "'min' is not of the form name=value"),
        (["run", "job.py", "books", "-o", "out", "--format", "xml"], "'xml' is not one of"),
        (["run", "job.py", "books", "-o", "out", "--inline", "--sequential"], "exclude each other"),
        (["ls", "-o", "xml"], "'xml' is not one of"),
        (["ls", "--dir", "none"], "--dir none: there is no such folder"),
        (["get", "out/"], "holds no finished result"),
        (["logs", "out/"], "holds no job of ours"),
        (["wal", "dump", "."], "holds no log"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("def mapper(line):\n    yield line, 1\n")
    (tmp_path / "books").mkdir()
    done = mr(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mr: ")
    assert words in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "job.py", "--memory-budget", "1k"], "mr: --memory-budget: is too small. Raise --memory-budget.\n"),
        (["run", "job.yaml"], "mr: spec.workers.memoryBudgetBytes: is too small. Raise workers.memoryBudgetBytes.\n"),
    ],
)
def test_a_setting_is_named_by_its_option_where_that_was_typed_and_by_its_field_where_it_was_written(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise InvalidJobSpec("spec.workers.memoryBudgetBytes", "is too small.", "Raise workers.memoryBudgetBytes.")

    monkeypatch.setattr(cli.cli, "main", refusing)
    assert cli.invoke(words) == 2
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidInput("a.txt", "does not exist."), 2, "mr: input a.txt: does not exist.\n"),
        (JobFailed("UserError", "map-3 failed"), 1, "mr: map-3 failed\n"),
        (Unreachable("nobody answers"), 3, "mr: nobody answers\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_of_ours_is_a_line_and_its_exit_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raising(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", raising)
    assert cli.invoke(["ls"]) == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.cli, "main", raising)
    with pytest.raises(ZeroDivisionError):
        cli.invoke(["ls"])
