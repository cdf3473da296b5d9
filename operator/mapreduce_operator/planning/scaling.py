"""The size of the workers' Job, and making it anew when it ended too early. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_operator.facts import Pod
from mapreduce_operator.planning.actions import Action, ChangeWorkers, Delete
from mapreduce_operator.planning.observed import Observed

#: Ended pods that stay for people who want to read their logs.
_KEPT_PODS: Final = 5


def plan(seen: Observed) -> Iterator[Action]:
    """Follow `workers.replicas`; a smaller number ends pods by SIGTERM, upon which they drain."""
    workers = seen.children.workers
    if workers is None or workers.is_going:
        return
    if workers.is_complete or workers.is_failed:
        progress = seen.answer.progress
        if progress is not None and progress.state not in FINAL_STATES:
            # nobody told those workers to end: a Job that is over starts no more pods, so another one has to
            yield Delete(kind="Job", name=workers.name, uid=workers.uid)
        return
    if not workers.is_suspended and workers.parallelism != seen.wanted.replicas:
        yield ChangeWorkers(name=workers.name, parallelism=seen.wanted.replicas)


def prune(seen: Observed) -> Iterator[Action]:
    """Remove ended workers but for the latest: a Job keeps them all, and a crash loop makes thousands."""
    ended = [pod for pod in seen.children.worker_pods if pod.phase == "Failed" and not pod.is_going]
    newest = sorted(ended, key=_age, reverse=True)
    for pod in newest[_KEPT_PODS:]:
        yield Delete(kind="Pod", name=pod.name, uid=pod.uid)


def _age(pod: Pod) -> tuple[float, str]:
    return pod.created_s, pod.name
