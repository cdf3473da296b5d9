"""What `make docs` adds to mkdocs: pages that lie outside docs/, and links out of docs/ that a site can follow.

Pages are written for people who read them in the source tree: a link leads to a file there. In the site a link to a
page outside docs/ leads to its copy, one to a source file becomes the file's name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final, Protocol

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[1]
OUTSIDE: Final = {
    "README.md": "about/README.md",
    "SECURITY.md": "about/SECURITY.md",
    "CONTRIBUTING.md": "about/CONTRIBUTING.md",
    "CHANGELOG.md": "about/CHANGELOG.md",
    "benchmarks/README.md": "benchmarks/README.md",
}
"""Pages outside docs/, by their path in the tree, and where they are in the site."""
_LINK: Final = re.compile(r"\[(?P<text>(?:!\[[^\]]*\]\([^)]*\)|[^\]])*)\]\((?P<target>[^)\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_MARKER: Final = re.compile(r"^<!-- (?:test|file|output)\b.*-->\n", re.MULTILINE)


class _Page(Protocol):
    file: File


def slug(text: str, separator: str) -> str:
    """The anchor of a heading, as hosts of source code make it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the menu."""
    config.nav = navigation((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: _Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the tree into links of the site."""
    return rewritten(markdown, page.file.src_uri)


def rewritten(markdown: str, place: str) -> str:
    """A page's text for the site; `place` is the page's path below docs/ or one of `OUTSIDE`'s places."""
    in_tree = {site: tree for tree, site in OUTSIDE.items()}.get(place, f"docs/{place}")
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(markdown):
        parts += [_links(markdown[end : fence.start()], in_tree, place), fence[0]]
        end = fence.end()
    parts.append(_links(markdown[end:], in_tree, place))
    return _MARKER.sub("", "".join(parts))


def navigation(index: str) -> list[dict[str, object]]:
    """The site's menu, from the sections of docs/README.md and the pages that their tables name."""
    menu: list[dict[str, object]] = [{"Home": "README.md"}]
    for section in index.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        targets = [found["target"] for line in body.splitlines() for found in _LINK.finditer(line.split(" | ")[0])]
        menu.append({title: [_in_site(target, "docs") for target in targets]})
    return menu


def _in_site(target: str, folder: str) -> str:
    """Where in the site the file is that a page in that folder of the tree links to; empty for nowhere."""
    to = posixpath.normpath(posixpath.join(folder, target))
    if to in {"docs", "docs/decisions"}:
        to += "/README.md"
    return OUTSIDE.get(to, to.removeprefix("docs/") if to.startswith("docs/") else "")


def _links(text: str, in_tree: str, place: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        words = _LINK.sub(replaced, found["text"])  # an image that is a link
        target, _, anchor = found["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        site = _in_site(target, posixpath.dirname(in_tree))
        if not site:
            return words
        relative = posixpath.relpath(site, posixpath.dirname(place) or ".")
        return f"[{words}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(replaced, text)
