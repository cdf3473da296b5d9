"""Tests of one real cluster in several processes: who goes beside whom, and who has the cluster alone.

They wait more than they compute, so two go at once. Those that take the operator or a node away from everybody wait
until the others have come to the end of their module, and hold them there.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Modules that take away what others need; the last one shakes the whole cluster.
ALONE: Final = ("test_faults_operator.py", "test_installation.py", "test_nodes.py")
#: Modules that go before those in the same process, and take about as long as all that go beside them.
BEFORE_THEM: Final = (
    "test_blocked.py",
    "test_faults_code.py",
    "test_faults_coordinator.py",
    "test_faults_deletion.py",
    "test_removal.py",
    "test_silence.py",
    "test_time.py",
)


def lane(module: str) -> int:
    """Which of two processes runs a module, by its file's name."""
    return 0 if module in ALONE or module in BEFORE_THEM else 1


def order(module: str) -> int:
    """Where a module stands in its lane: those that are alone come last."""
    return ALONE.index(module) if module in ALONE else -1


@contextmanager
def turn(folder: Path, *, is_alone: bool) -> Iterator[None]:
    """Holds the cluster for a module, with others or alone; `folder` is where all processes find the locks.

    Who waits to be alone comes next: nobody who came later passes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "e2e-next.lock").open("w") as next_one, (folder / "e2e-turn.lock").open("w") as turns:
        fcntl.flock(next_one, fcntl.LOCK_EX)
        fcntl.flock(turns, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(next_one, fcntl.LOCK_UN)
        yield
