"""Deleting a job: children go by their owner; what it left on claims that stay needs work, within a deadline. Pure.

The coordinator is asked first to end the job, so that workers need not wait out their grace; then the pods go, then a
clean-up Job removes what is left, whatever the coordinator did or did not do. A job that was published has nothing to
remove but its folder on given claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_operator.manifests import cleanup, volumes
from mapreduce_operator.naming import FINALIZER
from mapreduce_operator.planning import nodes, problems, start
from mapreduce_operator.planning.actions import Action, Announce, CancelJob, Create, Delete, RemoveFinalizer
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.reasons import reason

#: How long coordinator and workers may take to end by themselves; part of the deadline, and at most a quarter of it.
_WIND_DOWN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class _Left:
    """What there may be to remove."""

    given: tuple[str, ...] = ()
    """Claims with a folder of the job's."""
    output: str = ""
    """The output folder, where it may hold something that is no result."""


def plan(seen: Observed) -> Iterator[Action]:
    """The next step towards an object that may go; nothing where there is no finalizer of ours."""
    if FINALIZER not in seen.job.finalizers:
        return
    assert seen.job.deleted_s is not None
    job = seen.manifests()
    left = _left_behind(seen)
    waited_s = seen.now_s - seen.job.deleted_s
    if job is None or left == _Left():
        yield from _let_go(seen)
        return
    if waited_s >= seen.settings.cleanup_deadline_s:
        yield _failed(seen, left)
        yield from _let_go(seen)
        return
    if waited_s < min(_WIND_DOWN_S, seen.settings.cleanup_deadline_s / 4) and _is_ending(seen):
        progress = seen.answer.progress
        if progress is not None and progress.state not in FINAL_STATES:
            yield CancelJob()
        yield from nodes.plan(seen)
        return
    children = seen.children
    if children.workers is not None and not children.workers.is_going:
        yield Delete(kind="Job", name=children.workers.name, uid=children.workers.uid)
    if children.stateful_set is not None and not children.stateful_set.is_going:
        yield Delete(kind="StatefulSet", name=children.stateful_set.name, uid=children.stateful_set.uid)
    yield from nodes.plan(seen)
    if children.workers is not None or children.stateful_set is not None:
        return
    if children.coordinator is not None or children.live_workers:
        return  # they still write there
    done = children.cleanup
    if done is None:
        seconds = int(seen.settings.cleanup_deadline_s)
        yield Create(cleanup.batch_job(job, left.given, seconds, has_output=bool(left.output)))
    elif done.is_complete:
        yield from _let_go(seen)
    elif done.is_failed:
        yield _failed(seen, left)
        yield from _let_go(seen)


def _is_ending(seen: Observed) -> bool:
    """Whether the coordinator answers and has something to end: the job, or workers that leave at its word."""
    progress, children = seen.answer.progress, seen.children
    if progress is None or children.stateful_set is None or children.stateful_set.is_going:
        return False
    return progress.state not in FINAL_STATES or bool(children.live_workers)


def _left_behind(seen: Observed) -> _Left:
    if seen.spec is None or not (seen.is_started or seen.has_run):
        return _Left()
    never_began = _never_began(seen)
    given = tuple(name for name in start.given_claims(seen.spec, seen.names) if _stays(seen, name))
    if never_began and not any(pod.node for pod in seen.children.pods):
        given = ()
    output = volumes.sources(seen.spec, seen.names).output.name
    is_clean = seen.job.is_true("Complete") or never_began or not _stays(seen, output)
    return _Left(given, "" if is_clean else seen.spec.output.uri)


def _never_began(seen: Observed) -> bool:
    """The coordinator cannot have claimed the output: its pod, still the first, is kept from starting.

    A clean-up would be kept from it as well, and hold the deletion until its deadline.
    """
    stateful_set, pod = seen.children.stateful_set, seen.children.coordinator
    if seen.job.status.coordinator.epoch or stateful_set is None or stateful_set.is_going:
        return False
    problem = problems.of_coordinator(seen)
    return problem is not None and problem.reason != "NodeLost" and (pod is None or pod.phase == "Pending")


def _stays(seen: Observed, name: str) -> bool:
    claim = seen.claims.get(name)
    return claim is not None and not claim.is_going


def _failed(seen: Observed, left: _Left) -> Announce:
    facts = f"Folder {seen.names.base} of {', '.join(left.given)}." if left.given else ""
    if left.output:
        facts = f"{facts} Folder _mapreduce of {left.output}.".strip()
    return Announce(is_warning=True, reason="CleanUpFailed", message=reason("CleanUpFailed").message(facts))


def _let_go(seen: Observed) -> Iterator[Action]:
    yield RemoveFinalizer()
    if (done := seen.children.cleanup) is not None and not done.is_going:
        yield Delete(kind="Job", name=done.name, uid=done.uid)
