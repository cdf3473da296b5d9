"""What the Markdown pages of the tree contain: headings, and the command lines that a reader would copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def mr_lines(pages: Iterable[Path]) -> set[str]:
    """Every call of `mr` with a subcommand."""
    return {line for page in pages for line in _shell_lines(page) if re.match(r"mr [a-z]", line)}


def make_targets(pages: Iterable[Path]) -> set[str]:
    """Every target that a page tells its reader to make."""
    lines = {line for page in pages for line in _shell_lines(page)}
    return {line.split()[1] for line in lines if re.match(r"make [a-z]", line)}


def without_fences(text: str) -> str:
    """A page's text without its blocks of code."""
    return _FENCE.sub("", text)


def anchors(path: Path) -> set[str]:
    """Targets of links to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_fences(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _shell_lines(page: Path) -> Iterator[str]:
    """Command lines of a page: those in shell blocks, and code spans that begin with a command."""
    text = page.read_text(encoding="utf-8")
    for language, block in _FENCE.findall(text):
        if language in {"sh", "shell", "bash"}:
            yield from (part for line in block.splitlines() for part in _parts(line))
    for span in re.findall(r"`((?:mr|make) [^`\n]+)`", without_fences(text)):
        yield from _parts(span)


def _parts(line: str) -> list[str]:
    """The simple commands of a line, without comment and continuation."""
    words = shlex.split(line.removesuffix("\\"), comments=True)
    parts = " ".join(words).replace(" && ", " ; ").split(" ; ")
    return [part.strip().removesuffix("&").strip() for part in parts]
