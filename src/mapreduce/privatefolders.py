"""A short-named folder among the temporary ones, for sockets whose folder has too long a path; and its removal.

A link beside what it stands in for leads to it, so that whoever cleans up after a killed process finds it too.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

LINK_NAME: Final = "sockets"
PRIVATE_PREFIX: Final = "mr-"


def make_private_folder(owner: Path, parent: Path) -> Path:
    """Makes a folder in `parent` that only this user may enter, and the link to it in `owner`. Raises `OSError`."""
    folder = parent / f"{PRIVATE_PREFIX}{os.urandom(8).hex()}"
    owner.mkdir(parents=True, exist_ok=True)
    (owner / LINK_NAME).unlink(missing_ok=True)
    (owner / LINK_NAME).symlink_to(folder)  # first: a process killed in between leaves no folder that nobody knows of
    folder.mkdir(mode=0o700)
    return folder


def remove_private_folder(owner: Path) -> None:
    """Removes the folder that `owner` has a link to, with its sockets, and the link. Repeatable; touches nothing else.

    Nobody must use it any more.
    """
    link = owner / LINK_NAME
    with contextlib.suppress(OSError):
        folder = link.readlink()
        if folder.is_absolute() and folder.name.startswith(PRIVATE_PREFIX) and _is_private(folder):
            for entry in folder.iterdir():
                if stat.S_ISSOCK(entry.lstat().st_mode):
                    entry.unlink(missing_ok=True)
            folder.rmdir()
    with contextlib.suppress(OSError):
        link.unlink()


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
