"""The commands of the pages, run as a reader runs them on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import docblocks
from tests.support.docblocks import Block, Reader
from tests.support.tree import ROOT, tracked_files

PAGES = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in tracked_files(".md")
    if docblocks.has_commands(page, "local")
]


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_of_a_page_sees_what_it_shows(page: Path, tmp_path: Path) -> None:
    nowhere = {
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "-p mapreduce.pytest_plugin",  # also where the package was installed before it had one
    }
    Reader(tmp_path.resolve(), environment=nowhere).follow(page, "local")


def test_a_command_that_fails_is_told_with_its_place(tmp_path: Path) -> None:
    page = ROOT / "tests" / "integration" / "a-page.md"
    reader = Reader(tmp_path)
    (tmp_path / ".cwd").write_text(str(tmp_path))
    with pytest.raises(AssertionError, match=r"a-page\.md:7: exit code 3, not 0"):
        reader._take(page, Block(7, "sh", "exit 3\n", "test: local"), "local")
    reader._take(page, Block(9, "sh", "exit 3\n", "test: local, exit 3"), "local")


def test_an_output_may_differ_in_numbers_and_not_in_words() -> None:
    said = "job 'wc' done in 4.1 s\n  input  2.7 KiB\nworker-2-58304070 left\n"
    assert docblocks.missing_lines("job 'wc' done in 0.8 s\n...\nworker-1-5a30f070 left\n", said) == ""
    assert docblocks.missing_lines("worker-2-58304070 left\njob 'wc' done in 0.8 s\n", said) == "job 'wc' done in 0.8 s"
    assert docblocks.missing_lines("job 'wc' failed\n", said) == "job 'wc' failed"
