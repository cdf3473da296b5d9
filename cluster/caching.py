"""The cache folder outside the checkout: what was built once is found again by the digest of what it was made from.

An entry appears under its name by one rename, after everything in it is on the disk: a build that was killed leaves
only a `.part` folder, which the next one removes. One builder at a time for each entry, across processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/mapreduce-cluster`, or the same under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "mapreduce-cluster"


def digest_of(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits that change with any part, with their order and with where one ends."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        sha.update(len(raw).to_bytes(8, "big") + raw)
    return sha.hexdigest()[:12]


def digest_of_files(paths: Iterable[Path]) -> str:
    """The digest of files by name and content; their folder, dates and order do not count."""
    return digest_of(*(part for path in sorted(paths) for part in (path.name, path.read_bytes())))


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the lock `name` of the cache folder; waits for another process that holds it."""
    path = cache_root() / "locks" / f"{name.replace('/', '-')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The entry `name` (kind/what-digest): a folder, filled by `make(folder)` when there is none yet."""
    entry = cache_root() / name
    if entry.is_dir():
        return entry
    with locked(name):
        if entry.is_dir():
            return entry
        part = entry.with_name(entry.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        make(part)
        os.sync()  # else the name could outlive, in a crash, what it vouches for
        part.rename(entry)
    return entry


def remove_others(names: Iterable[str]) -> list[str]:
    """Removes every entry of the kinds of `names` that is not one of them; returns what was removed."""
    wanted = set(names)
    removed = []
    for kind in sorted({name.split("/", maxsplit=1)[0] for name in wanted}):
        for entry in sorted((cache_root() / kind).glob("*")):
            name = f"{kind}/{entry.name}"
            if name not in wanted:
                with locked(name.removesuffix(".part")):  # another process may be making it
                    shutil.rmtree(entry, ignore_errors=True)
                removed.append(name)
    return removed
