"""Telling the coordinator which workers ended, and whether their tasks may be at fault. Pure.

It would find out by silence; this saves the lease's time, and keeps evictions and lost nodes from counting.
"""

from __future__ import annotations

from collections.abc import Iterator

from mapreduce.protocol.messages import FINAL_STATES
from mapreduce_operator.facts import Pod
from mapreduce_operator.planning.actions import Action, TellGone
from mapreduce_operator.planning.observed import Observed


def plan(seen: Observed) -> Iterator[Action]:
    """One message for each kind of end, as long as the coordinator answers."""
    progress = seen.answer.progress
    if progress is None or progress.state in FINAL_STATES:
        return
    ended = [pod for pod in (*seen.departed, *seen.children.worker_pods) if pod.is_over or pod in seen.departed]
    by_cause: dict[tuple[bool, str], set[str]] = {}
    for pod in ended:
        if pod.name not in seen.told:
            by_cause.setdefault(cause(pod), set()).add(pod.name)
    for (is_charged, reason), names in sorted(by_cause.items()):
        yield TellGone(workers=tuple(sorted(names)), is_charged=is_charged, reason=reason)


def cause(pod: Pod) -> tuple[bool, str]:
    """Whether the pod's tasks may be at fault for its end, and why it ended."""
    if pod.disruption:
        return False, pod.disruption
    if pod.reason == "Evicted":  # without DisruptionTarget: it took more disk or memory than it may
        return True, "Evicted"
    agent = pod.container("agent")
    if agent is not None and agent.ending is not None and agent.ending.reason == "OOMKilled":
        return True, "OOMKilled"
    return False, pod.reason or ("Ended" if pod.is_over else "Deleted")
