"""After the end: workers go, the coordinator stays to serve output, logs and page, the time to live runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_operator import times
from mapreduce_operator.naming import FINALIZER
from mapreduce_operator.planning import problems, start
from mapreduce_operator.planning.actions import (
    Action,
    CancelJob,
    ChangeWorkers,
    DeleteJob,
    RemoveFinalizer,
    ScaleCoordinator,
)
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.outcomes import Outcome

_SOON_S: Final = 1.0


def plan(seen: Observed, outcome: Outcome) -> Iterator[Action]:
    """What remains to be done for a job that ended."""
    ended = times.seconds(seen.job.status.completion_time)
    if (ttl := seen.wanted.ttl_s) is not None and ended is not None and seen.now_s >= ended + ttl:
        yield DeleteJob()
        return
    if _may_lose_its_finalizer(seen, outcome):
        yield RemoveFinalizer()
    progress = seen.answer.progress
    # Told once its reason is reported: a coordinator that was cancelled can only say that it was.
    is_to_be_told = not (outcome.by_coordinator or outcome.is_new)
    if is_to_be_told and progress is not None and progress.state not in FINAL_STATES:
        yield CancelJob()
    workers = seen.children.workers
    if workers is not None and not (workers.is_complete or workers.is_failed or workers.is_suspended):
        since = seen.now_s - (ended if ended is not None else seen.now_s)
        if not outcome.by_coordinator or since >= seen.settings.wind_down_s:
            yield ChangeWorkers(name=workers.name, is_suspended=True)
    stateful_set = seen.children.stateful_set
    if stateful_set is not None and stateful_set.replicas and problems.fatal(seen) is not None:
        yield ScaleCoordinator(name=stateful_set.name, replicas=0)  # it would only fail again and again


def next_look_s(seen: Observed, outcome: Outcome) -> float:
    """When something has to be done next for a job that ended."""
    ended = times.seconds(seen.job.status.completion_time) or seen.now_s
    due = [seen.settings.resync_s]
    if seen.wanted.ttl_s is not None:
        due.append(ended + seen.wanted.ttl_s - seen.now_s)
    workers = seen.children.workers
    if workers is not None and not (workers.is_complete or workers.is_failed or workers.is_suspended):
        due.append(ended + seen.settings.wind_down_s - seen.now_s if outcome.by_coordinator else 2.0)
    is_called_for = outcome.is_new and (outcome.kind == "Complete" or not outcome.by_coordinator)
    if _may_lose_its_finalizer(seen, outcome) or is_called_for:
        due.append(_SOON_S)
    return max(0.5, min(due))


def _may_lose_its_finalizer(seen: Observed, outcome: Outcome) -> bool:
    """A published job is let go without work, once its end is reported: the report is of the object as it was read."""
    if outcome.kind != "Complete" or outcome.is_new or FINALIZER not in seen.job.finalizers:
        return False
    return seen.spec is not None and not start.given_claims(seen.spec, seen.names)
