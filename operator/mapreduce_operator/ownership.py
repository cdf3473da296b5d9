"""Whether an object is a job's child, by who controls it and by its name. Pure.

Labels are no proof: whoever may create a pod can write any on it, and the last words of a coordinator decide about its
job. A job controls its StatefulSet and its batch Job; these have names made from its name and UID, and control pods.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.naming import COMPONENT_LABEL, JOB_LABEL, KIND, UID_LABEL, Names

Raw = dict[str, Any]

_CONTROLLERS: Final = {"coordinator": "StatefulSet", "worker": "Job", "cleanup": "Job"}


def is_child(kind: str, raw: Raw) -> bool:
    """Whether an object of that kind belongs to the job that its labels name."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    names = Names(labels.get(JOB_LABEL, ""), labels.get(UID_LABEL, ""))
    owner = _controller(raw)
    if kind != "Pod":
        if owner is None:
            return kind == "Job" and metadata["name"] == names.cleanup  # which outlives its job
        return (owner.get("kind"), owner.get("uid")) == (KIND, names.uid)
    component = labels.get(COMPONENT_LABEL, "")
    if component == "coordinator" and metadata["name"] != names.coordinator_pod:
        return False
    wanted = {"coordinator": names.coordinator, "worker": names.workers, "cleanup": names.cleanup}.get(component)
    return owner is not None and (owner.get("kind"), owner.get("name")) == (_CONTROLLERS.get(component), wanted)


def has_controller(raw: Raw) -> bool:
    """Whether anything controls an object: pods lose that when their owner is deleted and they shall stay."""
    return _controller(raw) is not None


def _controller(raw: Raw) -> Raw | None:
    owners = raw["metadata"].get("ownerReferences") or ()
    return next((one for one in owners if one.get("controller")), None)
