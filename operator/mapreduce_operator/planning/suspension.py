"""Suspending and resuming: workers drain and go first, then the coordinator; back in the other order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mapreduce_operator.planning.actions import Action, ChangeWorkers, ScaleCoordinator
from mapreduce_operator.planning.observed import Observed

_SOON_S: Final = 0.5


def suspend(seen: Observed) -> Iterator[Action]:
    """The next step towards a job without pods."""
    workers, stateful_set = seen.children.workers, seen.children.stateful_set
    if workers is not None and not workers.is_suspended and not workers.is_going:
        yield ChangeWorkers(name=workers.name, is_suspended=True)
        return
    if seen.children.live_workers:
        return  # they bring their work to the coordinator: it has to stay until they are gone
    if stateful_set is not None and stateful_set.replicas and not stateful_set.is_going and _is_counted(seen):
        yield ScaleCoordinator(name=stateful_set.name, replicas=0)


def _is_counted(seen: Observed) -> bool:
    """Whether what the coordinator says is committed is on the object: nobody can ask it once its pod is gone.

    Reports are written after the actions of a pass, so this takes one pass more. A silent coordinator delays nothing.
    """
    said, reported = seen.answer.progress, seen.job.status
    return said is None or all(
        (new.committed, new.total) == (old.committed, old.total)
        for new, old in ((said.maps, reported.maps), (said.reduces, reported.reduces))
    )


def is_suspended(seen: Observed) -> bool:
    """Whether the job has no pods any more, and none will come."""
    workers, stateful_set = seen.children.workers, seen.children.stateful_set
    return (
        (workers is None or workers.is_suspended)
        and (stateful_set is None or stateful_set.replicas == 0)
        and not seen.children.live_workers
        and seen.children.coordinator is None
    )


def next_look_s(seen: Observed) -> float | None:
    """When something has to be done next for a job that is suspended; None: as often as for one that runs."""
    if is_suspended(seen):
        return seen.settings.resync_s
    return None if seen.children.live_workers or _is_counted(seen) else _SOON_S


def resume(seen: Observed) -> Iterator[Action]:
    """Start the pods of a job that was suspended."""
    workers, stateful_set = seen.children.workers, seen.children.stateful_set
    if stateful_set is not None and stateful_set.replicas == 0 and not stateful_set.is_going:
        yield ScaleCoordinator(name=stateful_set.name, replicas=1)
    if workers is not None and workers.is_suspended and not workers.is_going:
        yield ChangeWorkers(name=workers.name, parallelism=seen.wanted.replicas, is_suspended=False)
