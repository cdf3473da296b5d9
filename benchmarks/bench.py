"""What every suite gets: the choices of the command line, and the rules of its contests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.caching import cache_root
from benchmarks.contest import Rules


@dataclass(frozen=True, slots=True)
class Bench:
    """Choices for one run of a suite."""

    rules: Rules
    workers: int
    """Workers of each job of ours."""
    peers: Sequence[str]
    """Names of the peers that take part where a suite has a place for them."""
    seeds: Path | None
    """Folder of seed texts; None: the standard library."""
    size_mib: float | None
    """Size of the input; None: the suite's own."""
    tasks: int
    """Tasks of the suite `tasks`."""
    peer_tasks: int
    """Tasks that a peer of that suite runs."""
    jobs: int
    """Jobs of the suite `operator`."""


@contextmanager
def work_folder(chosen: Path | None) -> Iterator[Path]:
    """A folder for results, removed at the end: in `chosen`, or in the cache folder, hence on a real disk."""
    parent = chosen or cache_root()
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="work-", dir=parent) as folder:
        yield Path(folder)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change Python's behaviour, in a fixed locale."""
    unwanted = ("PYTHON", "MR_", "SPARK_", "DASK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "LC_ALL": "C.UTF-8"}
