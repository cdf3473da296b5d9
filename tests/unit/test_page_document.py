"""The page as a document: one file, allowed by digests, with data that cannot become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from mapreduce.page.assembling import SCRIPTS, page_headers, page_with_data, served_page
from tests.support.tree import ROOT

STATIC = ROOT / "src" / "mapreduce" / "page" / "static"


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_served_page_is_whole_and_holds_no_data() -> None:
    page = served_page().decode()
    assert page.startswith("<!doctype html>")
    assert "<!-- s" not in page
    assert 'id="data"' not in page
    assert all((STATIC / name).read_text() in page for name in SCRIPTS)


def test_every_script_and_style_of_the_folder_is_in_the_page() -> None:
    assert sorted(path.name for path in STATIC.iterdir()) == sorted([*SCRIPTS, "page.css", "page.html"])


def test_the_policy_allows_the_pages_own_script_and_style_by_digest_and_nothing_else() -> None:
    page = served_page().decode()
    policy = page_headers()["Content-Security-Policy"]
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert [f"'{digest(text)}'" in policy for text in (*script, *style)] == [True, True]
    assert "unsafe" not in policy
    for rule in (
        "default-src 'none'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors",
    ):
        assert rule in policy


def test_nothing_in_the_page_names_another_host_or_an_absolute_path() -> None:
    page = served_page().decode()
    assert re.findall(r"""(?:https?:)?//[a-z0-9-]+\.[a-z]+""", page) == []
    assert re.findall(r"""(?:src|href|action)="/""", page) == []
    assert re.findall(r"""(?:call|address)\([`"']/""", page) == []


def test_markup_holds_no_inline_handler_and_no_inline_style() -> None:
    markup = (STATIC / "page.html").read_text()
    assert re.findall(r"\son[a-z]+=|\sstyle=", markup) == []


def test_scripts_never_make_markup_of_text() -> None:
    made = [
        name
        for name in SCRIPTS
        if re.search(r"innerHTML\s*=[^=]|insertAdjacentHTML|document\.write|\beval\(", (STATIC / name).read_text())
    ]
    assert made == []


def test_data_in_a_file_cannot_end_the_element_that_holds_it() -> None:
    evil = {"name": "</script><script>alert(1)</script><!-- \u2028"}
    page = page_with_data(json.dumps(evil, ensure_ascii=False).encode()).decode()
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    assert json.loads(held[1]) == evil
    assert page.count("<script") == 2


def test_a_file_says_its_policy_in_its_head_and_may_connect_to_nobody() -> None:
    page = page_with_data(b"{}").decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "connect-src" not in policy[1]
    assert page.index("http-equiv") < page.index("<style")


def test_the_page_stays_small() -> None:
    assert len(served_page()) < 120_000


def test_no_script_is_longer_than_a_python_file_may_be() -> None:
    assert [path.name for path in STATIC.iterdir() if path.read_bytes().count(b"\n") >= 400] == []
