"""Kubernetes Events about a job: one for each condition that turns, named so that repeats are harmless. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from mapreduce_operator import times
from mapreduce_operator.naming import API_VERSION, FIELD_MANAGER, KIND
from mapreduce_operator.planning.actions import Announce
from mapreduce_operator.spec import Resource
from mapreduce_operator.statusmodel import Condition, JobStatus

Raw = dict[str, Any]

_MAX_MESSAGE_CHARS: Final = 1_000
#: Conditions that are worth an Event, with the status in which they are a warning.
_WARNING_WHEN: Final = {
    "Validated": "False",
    "CoordinatorReady": "",
    "WorkersReady": "",
    "MapsComplete": "",
    "Suspended": "",
    "Degraded": "True",
    "Stalled": "True",
    "SpecDrift": "True",
    "Complete": "",
    "Failed": "True",
}
#: Reasons that say nothing which another Event does not say.
_QUIET: Final = frozenset(
    {"Pending", "Starting", "NotFinished", "NotSuspended", "AsExpected", "InSync", "JobEnded", "Running", "Accepted"}
)


def changes(job: Resource, status: JobStatus, now_s: float, identity: str) -> list[Raw]:
    """Events for what has turned since the last report."""
    before = {one.type: one for one in job.status.conditions}
    return [
        event(job, _announcement(one), now_s, identity)
        for one in status.conditions
        if one.type in _WARNING_WHEN and one.reason not in _QUIET and _has_turned(before.get(one.type), one)
    ]


def event(job: Resource, what: Announce, now_s: float, identity: str) -> Raw:
    """The Event; its name depends on what it says and on the minute: the same is said once a minute at most."""
    said = f"{job.uid} {what.reason} {what.message} {int(now_s) // 60}"
    digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{job.name[:200]}.{digest}", "namespace": job.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": job.name,
            "namespace": job.namespace,
            "uid": job.uid,
            "resourceVersion": job.resource_version,
        },
        "type": "Warning" if what.is_warning else "Normal",
        "reason": what.reason,
        "message": what.message[:_MAX_MESSAGE_CHARS],
        "firstTimestamp": times.text(now_s),
        "lastTimestamp": times.text(now_s),
        "eventTime": times.micro_text(now_s),
        "count": 1,
        "action": what.reason,
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": identity or FIELD_MANAGER,
        "source": {"component": FIELD_MANAGER},
    }


def _has_turned(before: Condition | None, after: Condition) -> bool:
    if before is None:
        return after.status == "True" or _WARNING_WHEN[after.type] == after.status
    return (before.status, before.reason) != (after.status, after.reason)


def _announcement(condition: Condition) -> Announce:
    warns = _WARNING_WHEN[condition.type] == condition.status
    text = f"{condition.type} is {condition.status}: {condition.message}" if condition.message else condition.type
    return Announce(is_warning=warns, reason=condition.reason, message=text)
