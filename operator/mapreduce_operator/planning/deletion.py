"""Deleting a job: children go by their owner; only claims that were given to us need work, within a deadline. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mapreduce_operator.manifests import cleanup
from mapreduce_operator.naming import FINALIZER
from mapreduce_operator.planning import nodes, start
from mapreduce_operator.planning.actions import Action, Announce, Create, Delete, RemoveFinalizer
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.reasons import reason


def plan(seen: Observed) -> Iterator[Action]:
    """The next step towards an object that may go; nothing where there is no finalizer of ours."""
    if FINALIZER not in seen.job.finalizers:
        return
    assert seen.job.deleted_s is not None
    job = seen.manifests()
    claims = () if job is None else _claims_there(seen)
    folder = f"Folder {seen.names.base} of {', '.join(claims) or 'its claims'}."
    if seen.now_s - seen.job.deleted_s >= seen.settings.cleanup_deadline_s:
        yield Announce(is_warning=True, reason="CleanUpFailed", message=reason("CleanUpFailed").message(folder))
        yield from _let_go(seen)
        return
    if job is None or not claims or not (seen.is_started or seen.has_run):
        yield from _let_go(seen)
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
        yield Create(cleanup.batch_job(job, claims, int(seen.settings.cleanup_deadline_s)))
    elif done.is_complete:
        yield from _let_go(seen)
    elif done.is_failed:
        yield Announce(is_warning=True, reason="CleanUpFailed", message=reason("CleanUpFailed").message(folder))
        yield from _let_go(seen)


def _let_go(seen: Observed) -> Iterator[Action]:
    yield RemoveFinalizer()
    if (done := seen.children.cleanup) is not None and not done.is_going:
        yield Delete(kind="Job", name=done.name, uid=done.uid)


def _claims_there(seen: Observed) -> tuple[str, ...]:
    assert seen.spec is not None
    given = start.given_claims(seen.spec, seen.names)
    return tuple(name for name in given if seen.claims.get(name) is not None)
