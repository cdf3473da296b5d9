"""What all pods of a job have in common: security, resources, small volumes. Pure.

The settings are Pod Security *restricted* and more: read-only root, no API token, no service links, limits everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mapreduce.model import GIB, MIB, JobSpec
from mapreduce_operator.manifests import paths
from mapreduce_operator.naming import API_VERSION, KIND, Names
from mapreduce_operator.settings import Settings

Raw = dict[str, Any]

TOKEN_USER: Final = 10_001
"""Coordinator and agent: they hold tokens."""
CODE_USER: Final = 10_002
"""Whatever runs the job's own code."""
GROUP: Final = 10_000

#: How soon a pod leaves a node that does not answer; Kubernetes' own default is 300 s.
_LEAVE_AFTER_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the manifests of one job are made from: its frozen specification, and how this operator works."""

    names: Names
    namespace: str
    spec: JobSpec
    settings: Settings
    single_node: bool = False
    """Whether all pods that share a volume must be on one node."""

    @property
    def own_image(self) -> str:
        """The image of whatever holds a token."""
        return self.settings.worker_image

    @property
    def code_image(self) -> str:
        """The image in which the job's code runs."""
        return self.spec.image or self.settings.worker_image


def metadata(job: Job, name: str, *, labels: dict[str, str] | None = None, is_owned: bool = True) -> Raw:
    """Metadata of a child; owned by the job, so that it goes with it, unless said otherwise."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": job.names.job,
        "uid": job.names.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": job.names.labels() if labels is None else labels,
        **({"ownerReferences": [owner]} if is_owned else {}),
    }


def container_security(user: int) -> Raw:
    """The security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": GROUP,
        "runAsNonRoot": True,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_settings(job: Job, *, grace_s: int) -> Raw:
    """The settings of a pod that no job can change."""
    secrets = [*(one.name for one in job.spec.image_pull_secrets), *job.settings.image_pull_secrets]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "fsGroup": GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsGroup": GROUP,
            "runAsNonRoot": True,
            "runAsUser": TOKEN_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets)],
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{trouble}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _LEAVE_AFTER_S,
            }
            for trouble in ("not-ready", "unreachable")
        ],
    }


def container(
    job: Job, name: str, *, user: int, image: str, args: list[str], resources: Raw, mounts: list[Raw], env: list[Raw]
) -> Raw:
    """One container of ours, which runs a module of Python."""
    is_own = image == job.settings.worker_image
    policy = job.spec.image_pull_policy or (job.settings.worker_image_pull_policy if is_own else None)
    return {
        "name": name,
        "image": image,
        **({"imagePullPolicy": policy} if policy else {}),
        "command": ["python", "-m", *args[:1]],
        "args": args[1:],
        "env": [{"name": "HOME", "value": paths.TEMP}, *env],
        "resources": resources,
        "securityContext": container_security(user),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [*mounts, {"name": temp_name(name), "mountPath": paths.TEMP}],
    }


def temp_name(container_name: str) -> str:
    """The volume of a container's own temporary files."""
    return f"mr-tmp-{container_name}"


def temp_volume(container_name: str, size: str = "1Gi") -> Raw:
    """The volume of a container's own temporary files, bounded."""
    return {"name": temp_name(container_name), "emptyDir": {"sizeLimit": size}}


def resources(*, cpu: tuple[str, str], memory: tuple[str, str], disk: tuple[str, str]) -> Raw:
    """Requests and limits: pairs of what is asked for at least and allowed at most."""
    pairs = {"cpu": cpu, "memory": memory, "ephemeral-storage": disk}
    return {
        "requests": {name: least for name, (least, _) in pairs.items()},
        "limits": {name: most for name, (_, most) in pairs.items()},
    }


def executor_memory_bytes(spec: JobSpec) -> tuple[int, int]:
    """Memory that the executors of one worker ask for, and the most they may have."""
    one = spec.workers.memory_limit_bytes or 4 * spec.workers.memory_budget_bytes + GIB
    rounded = -(-(one * spec.workers.slots) // MIB)
    return (128 * MIB + spec.workers.memory_budget_bytes) * spec.workers.slots, (rounded + 64) * MIB


def field_variable(name: str, field: str) -> Raw:
    """An environment variable with a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}
