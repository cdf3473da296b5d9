"""Where the API server keeps each kind that the operator deals with. Pure."""

from __future__ import annotations

from typing import Final

from mapreduce_operator.naming import GROUP, KIND, PLURAL, VERSION

_PLACES: Final = {
    KIND: (f"/apis/{GROUP}/{VERSION}", PLURAL),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Event": ("/api/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Node": ("/api/v1", "nodes"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
}


def path(kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of an object, or without a name of all of them; without a namespace of all namespaces."""
    root, plural = _PLACES[kind]
    parts = [root, *(("namespaces", namespace) if namespace else ()), plural, name, subresource]
    return "/".join(part for part in parts if part)
