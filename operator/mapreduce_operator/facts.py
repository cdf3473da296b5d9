"""What the operator keeps of Kubernetes objects: the few facts that plans look at, read from plain dicts. Pure.

Nothing else of a child stays in memory, so a thousand jobs cost megabytes and not hundreds of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from mapreduce_operator import times
from mapreduce_operator.naming import COMPONENT_LABEL, UID_LABEL

Raw = dict[str, Any]
ContainerState = Literal["waiting", "running", "terminated", "unknown"]

MAX_TEXT_CHARS: Final = 1_024
#: A termination message may be 4 096 bytes; the coordinator's carries JSON, so it is kept whole.
_MAX_TERMINATION_CHARS: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a container's process ended."""

    exit_code: int
    reason: str
    message: str
    at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a pod."""

    name: str
    is_ready: bool
    restarts: int
    state: ContainerState
    reason: str = ""
    """Why it waits."""
    message: str = ""
    ending: Ending | None = None
    """The present end, when terminated, or else the last one before a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod."""

    name: str
    uid: str
    component: str
    phase: str
    node: str
    is_ready: bool
    created_s: float
    deadline_s: float | None
    """When the pod should be gone, once it is being deleted: deletionTimestamp, which includes the grace period."""
    grace_s: float = 0.0
    """How long its processes may take to end, once it is being deleted."""
    unschedulable: str = ""
    """The scheduler's words, while it finds no node."""
    disruption: str = ""
    """Reason of the condition DisruptionTarget: preempted, evicted, its node tainted."""
    reason: str = ""
    """Such as Evicted or NodeLost."""
    message: str = ""
    containers: tuple[Container, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the pod ended and will not run again."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def is_going(self) -> bool:
        """Whether the pod is being deleted."""
        return self.deadline_s is not None

    def container(self, name: str) -> Container | None:
        """The container of that name."""
        return next((one for one in self.containers if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatefulSet:
    """The coordinator's StatefulSet."""

    name: str
    uid: str
    replicas: int
    is_going: bool
    created_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch Job: that of the workers, or of a clean-up."""

    name: str
    uid: str
    parallelism: int
    is_suspended: bool
    active: int
    succeeded: int
    is_complete: bool
    is_failed: bool
    is_going: bool
    created_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim."""

    name: str
    access_modes: frozenset[str]
    phase: str
    is_going: bool = False

    @property
    def is_for_one_node(self) -> bool:
        """Whether pods on several nodes cannot mount it."""
        return not self.access_modes & {"ReadWriteMany", "ReadOnlyMany"}

    @property
    def is_for_one_pod(self) -> bool:
        """Whether two pods cannot mount it, even on one node."""
        return self.access_modes == {"ReadWriteOncePod"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that has pods of some job."""

    name: str
    exists: bool
    silent_since_s: float | None
    """Since when it is not ready; None while it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFact:
    """One Kubernetes event about a child: the words of scheduler, kubelet, volume controller or quota."""

    kind: str
    name: str
    reason: str
    message: str
    at_s: float


def job_uid(raw: Raw) -> str:
    """The UID of the job that an object belongs to, by its label; empty for none."""
    return str(_labels(raw).get(UID_LABEL, ""))


def pod(raw: Raw) -> Pod:
    """The facts of a pod."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disrupted = conditions.get("DisruptionTarget") or {}
    return Pod(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        component=_labels(raw).get(COMPONENT_LABEL, ""),
        phase=status.get("phase", "Pending"),
        node=(raw.get("spec") or {}).get("nodeName", ""),
        is_ready=(conditions.get("Ready") or {}).get("status") == "True",
        created_s=_created(raw),
        deadline_s=times.seconds(metadata.get("deletionTimestamp")),
        grace_s=metadata.get("deletionGracePeriodSeconds") or 0.0,
        unschedulable=(
            _cut(scheduled.get("message") or scheduled.get("reason") or "it is not scheduled")
            if scheduled.get("status") == "False"
            else ""
        ),
        disruption=disrupted.get("reason", "") if disrupted.get("status") == "True" else "",
        reason=status.get("reason", ""),
        message=_cut(status.get("message", "")),
        containers=tuple(_containers(status)),
    )


def stateful_set(raw: Raw) -> StatefulSet:
    """The facts of a StatefulSet. A missing count is Kubernetes' default, never zero."""
    replicas = (raw.get("spec") or {}).get("replicas")
    return StatefulSet(
        name=raw["metadata"]["name"],
        uid=raw["metadata"].get("uid", ""),
        replicas=1 if replicas is None else replicas,
        is_going=_is_going(raw),
        created_s=_created(raw),
    )


def batch(raw: Raw) -> Batch:
    """The facts of a batch Job."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    true = {one.get("type") for one in status.get("conditions") or () if one.get("status") == "True"}
    parallelism = spec.get("parallelism")
    return Batch(
        name=raw["metadata"]["name"],
        uid=raw["metadata"].get("uid", ""),
        parallelism=1 if parallelism is None else parallelism,
        is_suspended=bool(spec.get("suspend")),
        active=status.get("active") or 0,
        succeeded=status.get("succeeded") or 0,
        is_complete="Complete" in true,
        is_failed="Failed" in true,
        is_going=_is_going(raw),
        created_s=_created(raw),
    )


def claim(raw: Raw) -> Claim:
    """The facts of a claim."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return Claim(
        name=raw["metadata"]["name"],
        access_modes=frozenset(spec.get("accessModes") or ()),
        phase=status.get("phase", "Pending"),
        is_going=bool(raw["metadata"].get("deletionTimestamp")),
    )


def node(raw: Raw) -> Node:
    """The facts of a node."""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    ready: Raw = next((one for one in conditions if one.get("type") == "Ready"), {})
    since = None if ready.get("status", "True") == "True" else times.seconds(ready.get("lastTransitionTime")) or 0.0
    return Node(name=raw["metadata"]["name"], exists=True, silent_since_s=since)


def event(raw: Raw) -> EventFact:
    """The facts of a core/v1 Event."""
    about = raw.get("involvedObject") or {}
    at = raw.get("lastTimestamp") or raw.get("eventTime") or raw["metadata"].get("creationTimestamp")
    return EventFact(
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        reason=raw.get("reason", ""),
        message=_cut(raw.get("message", "")),
        at_s=times.seconds(at) or 0.0,
    )


def _containers(status: Raw) -> Iterator[Container]:
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = one.get("state") or {}
        name: ContainerState = "unknown"
        if "running" in state:
            name = "running"
        elif "waiting" in state:
            name = "waiting"
        elif "terminated" in state:
            name = "terminated"
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or (one.get("lastState") or {}).get("terminated")
        yield Container(
            name=one.get("name", ""),
            is_ready=bool(one.get("ready")),
            restarts=one.get("restartCount") or 0,
            state=name,
            reason=waiting.get("reason", ""),
            message=_cut(waiting.get("message", "")),
            ending=None if ended is None else _ending(ended),
        )


def _ending(raw: Raw) -> Ending:
    return Ending(
        exit_code=raw.get("exitCode", -1),
        reason=raw.get("reason", ""),
        message=(raw.get("message") or "")[:_MAX_TERMINATION_CHARS],
        at_s=times.seconds(raw.get("finishedAt")),
    )


def _labels(raw: Raw) -> dict[str, str]:
    return raw["metadata"].get("labels") or {}


def _created(raw: Raw) -> float:
    return times.seconds(raw["metadata"].get("creationTimestamp")) or 0.0


def _is_going(raw: Raw) -> bool:
    return bool(raw["metadata"].get("deletionTimestamp"))


def _cut(text: str | None) -> str:
    return (text or "")[:MAX_TEXT_CHARS]
