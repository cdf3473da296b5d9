"""Prints what pyproject.toml requires: for the `product` itself, for an extra, or to `build` it.

Used while the images are built, with nothing but the standard library.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], part: str) -> list[str]:
    """The requirements of one part; raises `KeyError` for an extra that is not there."""
    if part == "product":
        return list(project["project"]["dependencies"])
    if part == "build":
        return list(project["build-system"]["requires"])
    return list(project["project"]["optional-dependencies"][part])


if __name__ == "__main__":
    said = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write("\n".join(requirements(said, sys.argv[1])) + "\n")
