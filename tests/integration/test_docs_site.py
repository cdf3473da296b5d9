"""The documentation as a site: it is built strictly, holds every page, and takes nothing from anywhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT, tracked_files
from tools import docs_hooks


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in tracked_files(".md") if ROOT / "docs" in path.parents}
    names = {str(page.with_suffix(".html")).replace("README.html", "index.html") for page in pages}
    assert {name for name in names if not (site / name).exists()} == set()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = r"<(?:script|img|iframe)[^>]+src=.https?:|<link[^>]+href=.https?:|url\(.?https?:|@import"
    texts = [path for path in site.rglob("*") if path.suffix in {".html", ".css"}]
    assert [path.name for path in texts if re.search(fetched, path.read_text(encoding="utf-8"))] == []


def test_a_link_to_a_source_file_becomes_its_name_and_one_to_a_page_outside_its_copy() -> None:
    text = "[code](../../src/mapreduce/model.py), [rules](../../SECURITY.md#tokens), [here](#there), [up](../page.md)\n"
    said = "code, [rules](../about/SECURITY.md#tokens), [here](#there), [up](../page.md)\n"
    assert docs_hooks.rewritten(text, "how-to/a.md") == said


def test_marks_for_tests_and_links_in_code_are_left_out_and_alone() -> None:
    text = "<!-- test: local -->\n```sh\necho '[a](../src/b.py)'\n```\n"
    assert docs_hooks.rewritten(text, "a.md") == "```sh\necho '[a](../src/b.py)'\n```\n"
