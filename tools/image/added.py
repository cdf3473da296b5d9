"""Tells apart what an installation added: `note FOLDER` prints every file, `copy FOLDER TARGET NOTED` copies new ones.

Used while the operator's image is built, so that it shares the layer of the worker's packages. What is added is
installed beside what is there; a package that was there is not changed by the same constraints.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from pathlib import Path

NEEDLESS = ("tests", "test")
"""Folders of packages that nothing imports."""


def files_below(folder: Path) -> list[str]:
    """Every file and link below a folder, by its path relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def copy_new(folder: Path, target: Path, noted: Collection[str]) -> int:
    """Copies what was not noted to the same absolute place below `target`; returns the number of files."""
    known = set(noted)
    fresh = [name for name in files_below(folder) if name not in known and not _is_needless(name)]
    for name in fresh:
        place = target / str(folder).lstrip("/") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, place, follow_symlinks=False)
    return len(fresh)


def _is_needless(name: str) -> bool:
    _, found, inside = name.partition("site-packages/")
    return bool(found) and any(part in NEEDLESS for part in inside.split("/")[1:-1])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["note", folder]:
            sys.stdout.writelines(f"{name}\n" for name in files_below(Path(folder)))
        case ["copy", folder, target, listed]:
            copy_new(Path(folder), Path(target), Path(listed).read_text(encoding="utf-8").splitlines())
        case other:
            sys.exit(f"note FOLDER or copy FOLDER TARGET NOTED, not {other}")
