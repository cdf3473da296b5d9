"""Pods on nodes that do not answer: given up soon, so that they are replaced elsewhere. Pure.

Kubernetes keeps a pod of a dead node for ever, because it might still run. Ours may: coordinators are told apart by
their epoch, and what a lost worker reports is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mapreduce_operator.facts import Node, Pod
from mapreduce_operator.planning.actions import Action, Delete
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.settings import Settings

#: How long a pod may be overdue with its end where nothing is known of its node.
_OVERDUE_S: Final = 60.0
#: How long pods take to end, as a rule.
_USUAL_GRACE_S: Final = 30.0


def plan(seen: Observed) -> Iterator[Action]:
    """Remove pods that no kubelet looks after any more."""
    for pod in seen.children.pods:
        if not pod.is_over and is_lost(pod, seen.nodes, seen.now_s, seen.settings):
            yield Delete(kind="Pod", name=pod.name, uid=pod.uid, is_forced=True)


def is_lost(pod: Pod, nodes: Mapping[str, Node], now_s: float, settings: Settings) -> bool:
    """Whether the pod's node was silent for long enough, or the pod is overdue and nothing is known of the node."""
    node = nodes.get(pod.node)
    if node is None:
        return pod.deadline_s is not None and now_s - _due_s(pod, pod.deadline_s) > _OVERDUE_S
    if not node.exists:
        return True
    return node.silent_since_s is not None and now_s - node.silent_since_s >= settings.node_lost_s


def _due_s(pod: Pod, deadline_s: float) -> float:
    """When the pod should be gone. Only workers that bring runs to safety take long, and they stay ready meanwhile."""
    return deadline_s if pod.is_ready else deadline_s - max(0.0, pod.grace_s - _USUAL_GRACE_S)


def are_doubtful(pods: tuple[Pod, ...]) -> frozenset[str]:
    """Names of nodes that should be looked at: those with pods that run but are not ready, or do not end."""
    return frozenset(pod.node for pod in pods if pod.node and not pod.is_over and (pod.is_going or not pod.is_ready))
