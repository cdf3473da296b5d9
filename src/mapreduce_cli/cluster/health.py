"""What `mr doctor` looks at in a cluster: access, the CRD's version, the operator, storage, one's own rights."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from mapreduce.errors import MapReduceError, Unauthorized
from mapreduce.model import API_VERSION
from mapreduce_cli.cluster.access import ApiRefusal, Cluster, Json
from mapreduce_cli.cluster.options import Target
from mapreduce_cli.health import Finding
from mapreduce_cli.jobnames import jobs_of

_CRD: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mapreducejobs.mapreduce.dev"
_OPERATOR_LABELS: Final = "mapreduce.dev/component=operator"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_GROUP, _, _VERSION = API_VERSION.partition("/")

#: What the command line does: (for what, group, resource, subresource, verbs).
RIGHTS: Final[tuple[tuple[str, str, str, str, tuple[str, ...]], ...]] = (
    ("submit, list, watch", _GROUP, "mapreducejobs", "", ("create", "get", "list", "watch")),
    ("suspend, resume, rm", _GROUP, "mapreducejobs", "", ("patch", "delete")),
    ("scale", _GROUP, "mapreducejobs", "scale", ("patch",)),
    ("get, logs, why (the coordinator's token)", "", "secrets", "", ("get",)),
    ("get, logs, why (the coordinator's service)", "", "services", "proxy", ("get",)),
    ("cancel", "", "services", "proxy", ("create",)),
    ("logs --worker, --coordinator-pod", "", "pods", "log", ("get",)),
    ("get after the coordinator is gone", "", "pods", "", ("create", "get", "delete")),
    ("get after the coordinator is gone", "", "pods", "proxy", ("get",)),
)


def check_cluster(target: Target) -> list[Finding]:
    """All findings about the cluster; the first one alone when it does not answer. Raises UsageError, Unreachable."""
    cluster = jobs_of(target).cluster
    version = cluster.get("/version")
    found = [
        Finding(
            subject="cluster",
            verdict="ok",
            finding=f"Kubernetes {version.get('gitVersion', '?')} at {cluster.host}, namespace {cluster.namespace}",
        ),
        _check_namespace(cluster),
        *_check_crd(cluster),
        _check_operator(cluster),
        _check_storage(cluster),
    ]
    return [*found, *_check_rights(cluster)]


def _check_namespace(cluster: Cluster) -> Finding:
    subject = "namespace"
    try:
        cluster.get(f"/api/v1/namespaces/{quote(cluster.namespace)}")
    except ApiRefusal as refusal:
        if refusal.status != 404:
            raise
        return Finding(
            subject=subject,
            verdict="bad",
            finding=f"there is no namespace {cluster.namespace}",
            fix=f"kubectl create namespace {cluster.namespace}",
        )
    except Unauthorized:
        return Finding(subject=subject, verdict="unknown", finding=f"you may not look at {cluster.namespace} itself")
    return Finding(subject=subject, verdict="ok", finding=cluster.namespace)


def _check_crd(cluster: Cluster) -> list[Finding]:
    subject = "CRD"
    try:
        group = cluster.get(f"/apis/{_GROUP}")
    except ApiRefusal:
        return [
            Finding(
                subject=subject,
                verdict="bad",
                finding="the cluster does not know MapReduceJobs",
                fix="Install the operator's chart, or ask whoever runs the cluster to.",
            )
        ]
    versions = [entry["version"] for entry in group.get("versions", [])]
    if _VERSION not in versions:
        return [
            Finding(
                subject=subject,
                verdict="bad",
                finding=f"it serves {', '.join(versions)}, and this `mr` speaks {_VERSION}",
                fix="Use the `mr` of the operator's release, or upgrade the chart and its CRD.",
            )
        ]
    findings = [Finding(subject=subject, verdict="ok", finding=f"{API_VERSION} is served")]
    try:
        crd = cluster.get(_CRD)
    except (ApiRefusal, Unauthorized):
        return findings  # cluster-wide objects need not be readable
    unknown = _unknown_fields(crd)
    if unknown:
        findings.append(
            Finding(
                subject="CRD's fields",
                verdict="note",
                finding=f"the cluster's CRD lacks fields that this `mr` knows: {', '.join(unknown)}",
                fix="Upgrade the chart with its CRD, or do not use those fields.",
            )
        )
    return findings


def _unknown_fields(crd: Json) -> list[str]:
    """Top-level fields of the specification that the CRD's schema does not have."""
    import msgspec

    from mapreduce.model import JobSpec

    for version in crd.get("spec", {}).get("versions", []):
        if version.get("name") == _VERSION:
            schema: Any = version.get("schema", {}).get("openAPIV3Schema", {})
            known = schema.get("properties", {}).get("spec", {}).get("properties", {})
            return sorted({field.encode_name for field in msgspec.structs.fields(JobSpec)} - set(known))
    return []


def _check_operator(cluster: Cluster) -> Finding:
    subject = "operator"
    try:
        deployments = cluster.get("/apis/apps/v1/deployments", labelSelector=_OPERATOR_LABELS).get("items", [])
    except (Unauthorized, ApiRefusal):
        return Finding(
            subject=subject,
            verdict="unknown",
            finding="you may not list Deployments of all namespaces; a job that nobody looks at shows in `mr why`",
        )
    if not deployments:
        return Finding(
            subject=subject,
            verdict="bad",
            finding="no Deployment of it is there",
            fix="Install the operator's chart: without it jobs wait for ever.",
        )
    one = deployments[0]
    name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
    ready = one.get("status", {}).get("readyReplicas", 0)
    version = one["metadata"].get("labels", {}).get("app.kubernetes.io/version", "?")
    if not ready:
        return Finding(
            subject=subject,
            verdict="bad",
            finding=f"{name} (version {version}) has no ready pod",
            fix=f"kubectl -n {one['metadata']['namespace']} describe deployment {one['metadata']['name']}",
        )
    from mapreduce.version import __version__

    if version not in {"?", __version__}:
        return Finding(
            subject=subject,
            verdict="note",
            finding=f"{name} runs version {version}, and this `mr` is {__version__}",
            fix="Releases one version apart work together.",
        )
    return Finding(subject=subject, verdict="ok", finding=f"{name} runs version {version}")


def _check_storage(cluster: Cluster) -> Finding:
    subject = "StorageClass"
    try:
        classes = cluster.get("/apis/storage.k8s.io/v1/storageclasses").get("items", [])
    except (Unauthorized, ApiRefusal):
        return Finding(subject=subject, verdict="unknown", finding="you may not list StorageClasses")
    defaults = [
        one["metadata"]["name"]
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    names = ", ".join(one["metadata"]["name"] for one in classes) or "none"
    if not defaults:
        return Finding(
            subject=subject,
            verdict="bad",
            finding=f"no class is the default one (there are: {names})",
            fix="Name one in storage.log.claimTemplate.storageClassName, or give a claim by storage.log.claimName.",
        )
    if len(defaults) > 1:
        return Finding(
            subject=subject,
            verdict="note",
            finding=f"several classes are the default one: {', '.join(defaults)}",
            fix="The newest of them is taken; name one in storage.log.claimTemplate.storageClassName.",
        )
    return Finding(subject=subject, verdict="ok", finding=f"{defaults[0]} is the default class")


def _check_rights(cluster: Cluster) -> list[Finding]:
    """One finding for all rights that are there, one for each command whose are not."""
    lacking: dict[str, list[str]] = {}
    try:
        for purpose, group, resource, subresource, verbs in RIGHTS:
            for verb in verbs:
                if not _may(cluster, group, resource, subresource, verb):
                    name = f"{resource}/{subresource}" if subresource else resource
                    lacking.setdefault(purpose, []).append(f"{verb} {name}")
    except MapReduceError as error:
        return [Finding(subject="rights", verdict="unknown", finding=f"could not be asked for: {error}")]
    if not lacking:
        return [Finding(subject="rights", verdict="ok", finding=f"all commands may be used in {cluster.namespace}")]
    return [
        Finding(
            subject="rights",
            verdict="bad",
            finding=f"for {purpose} you lack: {', '.join(verbs)}",
            fix=f"Ask for it in namespace {cluster.namespace}; the chart's roles belong to view and edit.",
        )
        for purpose, verbs in lacking.items()
    ]


def _may(cluster: Cluster, group: str, resource: str, subresource: str, verb: str) -> bool:
    review: Json = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": cluster.namespace,
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
            }
        },
    }
    answer = cluster.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer.get("status", {}).get("allowed", False))
