"""Claims that the operator makes. Pure.

Those of log and runs belong to the job and go with it. The output's belongs to nobody: it outlives the job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mapreduce.model import ClaimTemplate
from mapreduce_operator.manifests import pods, volumes
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]


def claims(job: Job) -> Iterator[Raw]:
    """All claims to make for a job; those that exist already are left alone."""
    storage = job.spec.storage
    if storage.log.claim_name is None:
        yield _claim(job, job.names.log_claim, storage.log.claim_template or ClaimTemplate())
    if storage.shuffle == "Shared" and storage.runs.claim_template is not None and storage.runs.claim_name is None:
        yield _claim(job, job.names.runs_claim, storage.runs.claim_template)
    if job.spec.output.claim_template is not None:
        name = volumes.sources(job.spec, job.names).output.name
        yield _claim(job, name, job.spec.output.claim_template, is_owned=False)


def _claim(job: Job, name: str, template: ClaimTemplate, *, is_owned: bool = True) -> Raw:
    labels = job.names.labels() if is_owned else {"app.kubernetes.io/managed-by": "mapreduce-operator"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": pods.metadata(job, name, labels=labels, is_owned=is_owned),
        "spec": {
            "accessModes": [template.access_mode],
            "resources": {"requests": {"storage": template.size}},
            **({"storageClassName": template.storage_class_name} if template.storage_class_name else {}),
        },
    }
