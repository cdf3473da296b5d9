"""The checkout as the house tests see it: its files without those that tools make, and Python's imports in them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE_BY_TOOLS = {".git", ".venv", "__pycache__", "dist", "build", "node_modules"}
CODE = ("src", "operator", "worker")


@cache
def tracked_files(*suffixes: str) -> tuple[Path, ...]:
    """All files under version control or about to be, with one of the suffixes; every file where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = list(_walk(ROOT))
    return tuple(sorted(path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)))


def code_files() -> list[Path]:
    """Python files of the product."""
    return [path for path in tracked_files(".py") if path.relative_to(ROOT).parts[0] in CODE]


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file imports, wherever in the file."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return frozenset(modules)


@cache
def attributes_in(path: Path) -> frozenset[str]:
    """Names that follow a dot anywhere in a file."""
    return frozenset(re.findall(r"\.(\w+)\b", path.read_text(encoding="utf-8")))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in MADE_BY_TOOLS and not path.name.endswith("_cache"):
            yield from _walk(path)
        elif path.is_file():
            yield path
