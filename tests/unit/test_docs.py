"""Pages that must not drift from the code: generated ones equal their source, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from mapreduce_cli.main import COMMANDS, cli
from tests.support import docblocks
from tests.support.pages import anchors, make_targets, mr_lines, without_fences
from tests.support.tree import ROOT, tracked_files
from tools import draw_cli, draw_crd, draw_defaults, draw_states, draw_troubleshooting, draw_values

README = ROOT / "README.md"
PAGES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in tracked_files(".md")]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH = re.compile(r"`((?:src|worker|tests|docs|benchmarks|examples|tools)/[\w./-]+)`")


def test_the_page_of_states_is_what_the_tables_say() -> None:
    assert draw_states.PAGE.read_text(encoding="utf-8") == draw_states.render()


def test_the_page_of_the_resource_is_what_the_code_says() -> None:
    assert draw_crd.PAGE.read_text(encoding="utf-8") == draw_crd.render()


def test_the_page_of_commands_is_what_their_help_says() -> None:
    assert draw_cli.PAGE.read_text(encoding="utf-8") == draw_cli.render()


def test_the_page_of_troubles_is_what_the_reasons_say() -> None:
    assert draw_troubleshooting.PAGE.read_text(encoding="utf-8") == draw_troubleshooting.render()
    assert draw_troubleshooting.unsorted() == set()


def test_the_page_of_troubles_quotes_what_a_diagnosis_says() -> None:
    diagnosis = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/mapreduce/diagnosis").glob("*.py"))
    assert [words for words, _, _ in draw_troubleshooting.DIAGNOSES if words not in diagnosis] == []


def test_the_table_of_defaults_is_what_the_model_says() -> None:
    page = draw_defaults.PAGE.read_text(encoding="utf-8")
    assert page == draw_defaults.page_with_table(page)


def test_the_table_of_the_charts_values_is_what_values_yaml_says() -> None:
    page = draw_values.PAGE.read_text(encoding="utf-8")
    assert page == draw_values.page_with_table(page)
    assert all(row.split("|")[3].strip() for row in draw_values.render().splitlines()[2:])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(without_fences(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(path), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_tree_that_a_page_names_exists(page: Path) -> None:
    for name in CODE_PATH.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_says_how_it_is_tested(page: Path) -> None:
    assert [block.line for block in docblocks.blocks(page) if block.is_shell and not block.is_marked] == []


@pytest.mark.parametrize("command", sorted(mr_lines(tracked_files(".md"))))
def test_every_mr_command_line_in_a_page_would_be_understood(command: str) -> None:
    words = command.split()
    assert words[1] in COMMANDS, f"there is no command {words[1]!r}"
    known = _options(words[1])
    options = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
    assert options - known == set()


@pytest.mark.parametrize("target", sorted(make_targets(tracked_files(".md"))))
def test_every_make_target_in_a_page_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readme_lists_every_command() -> None:
    page = README.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"`mr {name}\b", page)] == []


def test_every_exit_code_is_documented() -> None:
    assert re.search(r"Exit codes: 0 .* 1 .* 2 .* 3 .* 130 ", README.read_text(encoding="utf-8"))


def test_decisions_are_numbered_without_gaps_and_all_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("0*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    listed = (folder / "README.md").read_text()
    for name in names:
        assert f"]({name})" in listed
        page = (folder / name).read_text()
        assert all(f"**{part}.**" in page for part in ("Context", "Decision", "Consequences"))


def test_every_page_of_the_documentation_can_be_reached_from_its_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.split("#")[0]).resolve() for target in LINK.findall(index.read_text())}
    pages = {path for path in tracked_files(".md") if index.parent in path.parents and path != index}
    decisions = {path for path in pages if path.parent.name == "decisions"}  # listed by a page of their own
    assert pages - decisions - linked == set()


def _options(name: str) -> set[str]:
    """Every spelling of every option of a command, and the help options."""
    command = importlib.import_module(f"mapreduce_cli.commands.{COMMANDS[name][0]}").command
    assert isinstance(command, click.Command)
    context = click.Context(command, info_name=name, parent=click.Context(cli, info_name="mr"))
    spellings = {"--help", "-h"}
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option):
            spellings |= {*parameter.opts, *parameter.secondary_opts}
    if isinstance(command, click.Group):
        for below in command.commands.values():
            spellings |= {spelling for parameter in below.params for spelling in parameter.opts}
    return spellings
