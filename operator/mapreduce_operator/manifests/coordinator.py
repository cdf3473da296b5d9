"""The coordinator: a StatefulSet of one and the Service in front of it. Pure.

A StatefulSet because its pod is replaced at once and for ever, without the growing delays of a Job; two of them at the
same time are harmless through the claim of the epoch in the log's folder.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.manifests import paths, pods, templates, volumes
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]

PORT: Final = 8_080
METRICS_PORT: Final = 8_082
GRACE_S: Final = 30


def service(job: Job) -> Raw:
    """The Service: its name is the coordinator's address, whichever pod it has now."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": pods.metadata(job, job.names.coordinator, labels=job.names.labels("coordinator")),
        "spec": {
            "type": "ClusterIP",
            "selector": job.names.selector("coordinator"),
            # a coordinator that still reads its log answers `not yet` itself, and workers wait for it
            "publishNotReadyAddresses": True,
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
        },
    }


def stateful_set(job: Job) -> Raw:
    """The StatefulSet. `OnDelete`: a newer operator never restarts the coordinator of a running job."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": pods.metadata(job, job.names.coordinator, labels=job.names.labels("coordinator")),
        "spec": {
            "replicas": 1,
            "serviceName": job.names.coordinator,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": job.names.selector("coordinator")},
            "template": templates.merged(
                job.spec.coordinator.pod_template,
                _template(job),
                foreign_security=pods.container_security(pods.CODE_USER),
            ),
        },
    }


def _template(job: Job) -> Raw:
    found = volumes.sources(job.spec, job.names)
    claims = found.named_claims
    base = job.names.base
    own_mounts: list[Raw] = [
        {"name": "mr-job", "mountPath": paths.JOB, "readOnly": True},
        {"name": "mr-prepared", "mountPath": paths.PREPARED, "readOnly": True},
        {"name": "mr-tokens", "mountPath": paths.TOKENS, "readOnly": True},
        {"name": volumes.claim_volume(claims, found.log), "mountPath": paths.STATE, "subPath": base},
    ]
    if found.runs:
        own_mounts.append(
            {"name": volumes.claim_volume(claims, found.runs), "mountPath": paths.RUNS, "subPath": f"{base}/runs"}
        )
    mounts = [
        *own_mounts,
        *volumes.data_mounts(found, claims, "all"),
        *volumes.config_map_mounts(found),
        *volumes.secret_mounts(found),
    ]
    small = pods.resources(cpu=("50m", "1"), memory=("64Mi", "1Gi"), disk=("32Mi", "2Gi"))
    describe = pods.container(
        job,
        "describe",
        user=pods.CODE_USER,
        image=job.code_image,
        args=["mapreduce.podprepare", "--job", paths.JOB, "--out", paths.PREPARED],
        resources=small,
        mounts=[
            {"name": "mr-job", "mountPath": paths.JOB, "readOnly": True},
            {"name": "mr-prepared", "mountPath": paths.PREPARED},
            *_code_mounts(found, claims),
        ],
        env=[],
    )
    coordinator = {
        **pods.container(
            job,
            "coordinator",
            user=pods.TOKEN_USER,
            image=job.own_image,
            args=[
                "mapreduce.coordinator.pod",
                *("--state", paths.STATE, "--job", paths.JOB, "--prepared", paths.PREPARED, "--tokens", paths.TOKENS),
                *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - a pod's own address
                *(("--runs", paths.RUNS) if found.runs else ()),
            ],
            resources=pods.resources(cpu=("100m", "2"), memory=("128Mi", "2Gi"), disk=("64Mi", "2Gi")),
            mounts=mounts,
            env=[],
        ),
        "ports": [
            {"name": "http", "containerPort": PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # reading back a long log takes its time, and ends by itself when it cannot go on
        "startupProbe": _probe("/livez", period_s=2, failures=900),
        "livenessProbe": _probe("/livez", period_s=10, failures=6),
        "readinessProbe": _probe("/readyz", period_s=3, failures=2),
    }
    return {
        "metadata": {"labels": job.names.labels("coordinator"), "annotations": {}},
        "spec": {
            **pods.pod_settings(job, grace_s=GRACE_S),
            "restartPolicy": "Always",
            "affinity": _near_its_workers(job),
            "initContainers": [describe],
            "containers": [coordinator],
            "volumes": [
                {"name": "mr-job", "configMap": {"name": job.names.config_map, "defaultMode": 0o444}},
                volumes.empty("mr-prepared", "1Gi"),
                _tokens(job),
                *volumes.claim_volumes(claims),
                *volumes.config_map_volumes(found),
                *volumes.secret_volumes(found),
                pods.temp_volume("describe"),
                pods.temp_volume("coordinator"),
            ],
        },
    }


def _tokens(job: Job) -> Raw:
    files = ((job.names.admin_secret, "token", "admin"), (job.names.admin_secret, "read", "read"))
    joined = (*files, (job.names.worker_secret, "token", "worker"))
    sources = [{"secret": {"name": name, "items": [{"key": key, "path": path}]}} for name, key, path in joined]
    return {"name": "mr-tokens", "projected": {"defaultMode": 0o440, "sources": sources}}


def _code_mounts(found: volumes.Sources, claims: tuple[str, ...]) -> list[Raw]:
    if not found.code:
        return []
    return [
        {
            "name": volumes.claim_volume(claims, found.code),
            "mountPath": f"{paths.CLAIMS}/{found.code}",
            "readOnly": True,
        }
    ]


def _near_its_workers(job: Job) -> Raw:
    """With a volume for one node only, a coordinator that is placed anew should go where the workers hold it."""
    if not job.single_node:
        return {}
    term = {
        "labelSelector": {"matchLabels": job.names.selector("worker")},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    }


def _probe(path: str, *, period_s: int, failures: int) -> Raw:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
