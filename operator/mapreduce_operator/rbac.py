"""What the operator may do, verb by verb: the one list, with which the chart's roles are compared. Pure data.

No wildcard, no list or watch of Secrets, no pods/exec. A namespaced installation gets `NAMESPACED` as Roles and goes
without `CLUSTER`: then it does not look at nodes, and gives pods up by their overdue end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role."""

    group: str
    """API group; empty is the core group."""
    resource: str
    verbs: tuple[str, ...]
    why: str


NAMESPACED: Final = (
    Rule("mapreduce.dev", "mapreducejobs", ("get", "list", "watch", "patch", "delete"), "jobs; delete by their TTL"),
    Rule("mapreduce.dev", "mapreducejobs/status", ("patch",), "what is reported"),
    # ownerReferences with blockOwnerDeletion ask for this where the admission plug-in is on
    Rule("mapreduce.dev", "mapreducejobs/finalizers", ("update",), "owning children"),
    Rule("", "configmaps", ("get", "create"), "snapshots; the code's ConfigMap"),
    Rule("", "secrets", ("get", "create"), "tokens, by name"),
    Rule("", "services", ("get", "create"), "the coordinator's address"),
    Rule("", "persistentvolumeclaims", ("get", "create"), "volumes"),
    Rule("", "pods", ("get", "list", "watch", "delete"), "what becomes of pods; those of dead nodes"),
    Rule("", "pods/status", ("patch",), "that a pod of a dead node has failed: its Job waits for that"),
    Rule("", "events", ("list", "create"), "words of scheduler, kubelet and quota; our own"),
    Rule("apps", "statefulsets", ("get", "list", "watch", "create", "patch", "delete"), "coordinators"),
    Rule("batch", "jobs", ("get", "list", "watch", "create", "patch", "delete"), "workers, clean-up"),
    Rule("networking.k8s.io", "networkpolicies", ("get", "create"), "only where the chart switches them on"),
)
"""In each namespace that is looked after."""

CLUSTER: Final = (Rule("", "nodes", ("get",), "whether a pod's node answers"),)
"""In the whole cluster."""

OWN_NAMESPACE: Final = (Rule("coordination.k8s.io", "leases", ("get", "create", "update"), "at most one acts"),)
"""In the operator's own namespace."""


def policy_rules(rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    """The rules as a Role or ClusterRole has them."""
    return [{"apiGroups": [one.group], "resources": [one.resource], "verbs": list(one.verbs)} for one in rules]
