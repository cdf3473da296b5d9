"""The workers: one batch Job whose pods are all alike. Pure.

No completions are asked for, so the first pod that succeeds (it does when the coordinator says that the job is done)
ends replacement. The Job is made once; afterwards only its parallelism and suspension are changed, because its
template cannot be.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.manifests import paths, pods, templates, volumes
from mapreduce_operator.manifests.coordinator import PORT
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]

RUNS_PORT: Final = 8_081
#: How long tasks may run on after SIGTERM, and how much longer the kubelet waits for the agent's last word.
_DRAIN_S: Final = 20
_LAST_WORD_S: Final = 10
#: The largest that a Job takes: losing pods is never the Job's business, it is the coordinator's.
_NO_LIMIT: Final = 2_147_483_647
#: A coordinator may be away for as long as its node; agents wait for it.
_RECONNECT_S: Final = 86_400


def batch_job(job: Job, *, replicas: int, is_suspended: bool) -> Raw:
    """The batch Job of the workers."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": pods.metadata(job, job.names.workers, labels=job.names.labels("worker")),
        "spec": {
            "parallelism": replicas,
            "suspend": is_suspended,
            "backoffLimit": _NO_LIMIT,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": templates.merged(
                job.spec.workers.pod_template, _template(job), foreign_security=pods.container_security(pods.CODE_USER)
            ),
        },
    }


def _template(job: Job) -> Raw:
    found = volumes.sources(job.spec, job.names)
    claims = found.shared_claims
    return {
        "metadata": {"labels": job.names.labels("worker"), "annotations": {}},
        "spec": {
            **pods.pod_settings(job, grace_s=max(_DRAIN_S, _replica_grace_s(job)) + _LAST_WORD_S),
            "restartPolicy": "Never",  # podFailurePolicy asks for it; the executor comes back as a native sidecar
            "affinity": _with_the_coordinator(job),
            "initContainers": [_executor(job, found, claims)],
            "containers": [_agent(job, found, claims)],
            "volumes": [
                {
                    "name": "mr-tokens",
                    "secret": {
                        "secretName": job.names.worker_secret,
                        "defaultMode": 0o440,
                        "items": [{"key": "token", "path": "worker"}],
                    },
                },
                volumes.empty("mr-disk", "64Gi"),
                volumes.empty("mr-sockets", "16Mi", in_memory=True),
                *volumes.claim_volumes(claims),
                *(volumes.config_map_volumes(found) if found.runs else ()),
                *volumes.secret_volumes(found),
                pods.temp_volume("agent"),
                pods.temp_volume("executor"),
            ],
        },
    }


def _replica_grace_s(job: Job) -> int:
    """How long a worker may stay after SIGTERM for committed runs that only its own disk has."""
    return int(job.settings.replica_grace_s) if job.spec.storage.shuffle == "Peer" else 0


def _agent(job: Job, found: volumes.Sources, claims: tuple[str, ...]) -> Raw:
    coordinator = f"http://{job.names.coordinator}.{job.namespace}.svc:{PORT}"
    mounts: list[Raw] = [
        {"name": "mr-tokens", "mountPath": paths.TOKENS, "readOnly": True},
        {"name": "mr-disk", "mountPath": paths.DISK},
        {"name": "mr-sockets", "mountPath": paths.SOCKETS},
        *volumes.secret_mounts(found),
    ]
    handing_over: tuple[str, ...] = ("--work", f"{paths.DISK}/work={paths.DISK}/work")
    if found.runs:
        mounts += [_runs_mount(job, found, claims), *volumes.data_mounts(found, claims, "output")]
        handing_over = (
            *("--work", f"{paths.RUNS_WORK}={paths.RUNS}/work/$(POD_NAME)"),
            *("--output-work", f"{paths.OUTPUT_WORK}={paths.CLAIMS}/{found.output.name}/{_output_work(found)}"),
        )
    probe = {"httpGet": {"path": "/livez", "port": "runs"}, "timeoutSeconds": 5}
    return {
        **pods.container(
            job,
            "agent",
            user=pods.TOKEN_USER,
            image=job.own_image,
            args=[
                "mapreduce_worker",
                *("--coordinator", coordinator, "--token-file", f"{paths.TOKENS}/worker", "--name", "$(POD_NAME)"),
                *("--slots", str(job.spec.workers.slots), "--scratch", paths.DISK, "--executors", paths.SOCKETS),
                *handing_over,
                *("--serve-host", "0.0.0.0", "--serve-port", str(RUNS_PORT)),  # noqa: S104 - a pod's own address
                *("--serve-url", f"http://$(POD_IP):{RUNS_PORT}"),
                *("--reconnect-s", str(_RECONNECT_S), "--grace-s", str(_DRAIN_S)),
                *(("--replica-grace-s", str(_replica_grace_s(job))) if not found.runs else ()),
                *(("--secrets", paths.SECRETS) if found.secrets else ()),
            ],
            resources=pods.resources(cpu=("50m", "2"), memory=("96Mi", "1Gi"), disk=("256Mi", "64Gi")),
            mounts=mounts,
            env=[
                pods.field_variable("POD_NAME", "metadata.name"),
                pods.field_variable("POD_IP", "status.podIP"),
            ],
        ),
        "ports": [{"name": "runs", "containerPort": RUNS_PORT, "protocol": "TCP"}],
        "readinessProbe": {**probe, "periodSeconds": 3, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 6, "initialDelaySeconds": 20},
    }


def _executor(job: Job, found: volumes.Sources, claims: tuple[str, ...]) -> Raw:
    least, most = pods.executor_memory_bytes(job.spec)
    slots = job.spec.workers.slots
    mounts: list[Raw] = [
        {"name": "mr-sockets", "mountPath": paths.SOCKETS},
        {"name": "mr-disk", "mountPath": paths.DISK, "readOnly": True},
    ]
    if found.runs:
        mounts += [
            {**_runs_mount(job, found, claims), "readOnly": True},
            {
                "name": volumes.claim_volume(claims, found.runs),
                "mountPath": paths.RUNS_WORK,
                "subPathExpr": f"{job.names.base}/runs/work/$(POD_NAME)",
            },
            {
                "name": volumes.claim_volume(claims, found.output.name),
                "mountPath": paths.OUTPUT_WORK,
                "subPathExpr": _output_work(found),
            },
            *volumes.data_mounts(found, claims, "inputs"),
            *volumes.config_map_mounts(found),
        ]
    else:
        mounts.append({"name": "mr-disk", "mountPath": f"{paths.DISK}/work", "subPath": "work"})
    return {
        **pods.container(
            job,
            "executor",
            user=pods.CODE_USER,
            image=job.code_image,
            args=["mapreduce_worker.executor.host", "--sockets", paths.SOCKETS, "--slots", str(slots)],
            resources=pods.resources(
                cpu=(f"{100 * slots}m", str(slots)), memory=(str(least), str(most)), disk=("64Mi", "4Gi")
            ),
            mounts=mounts,
            env=[pods.field_variable("POD_NAME", "metadata.name")],
        ),
        "restartPolicy": "Always",
    }


def _runs_mount(job: Job, found: volumes.Sources, claims: tuple[str, ...]) -> Raw:
    return {
        "name": volumes.claim_volume(claims, found.runs),
        "mountPath": paths.RUNS,
        "subPath": f"{job.names.base}/runs",
    }


def _output_work(found: volumes.Sources) -> str:
    """The folder, in the output's claim, into which this pod's executor writes."""
    folder = f"{found.output.rest}/" if found.output.rest else ""
    return f"{folder}_mapreduce/work/$(POD_NAME)"


def _with_the_coordinator(job: Job) -> Raw:
    if not job.single_node:
        return {}
    term = {
        "labelSelector": {"matchLabels": job.names.selector("coordinator")},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
