"""The short Job that removes what a deleted job left on claims that stay. Pure.

It is not owned by the job, or a deletion in the foreground would take it along before it has worked; it ends by its own
deadline and is removed by name, or else by its time to live.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.manifests import paths, pods, templates, volumes
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]

_TTL_S: Final = 60


def batch_job(job: Job, given: tuple[str, ...], deadline_s: int, *, has_output: bool = False) -> Raw:
    """The Job, for claims that the user gave for log and runs, and for the output's where there is no result."""
    output = volumes.sources(job.spec, job.names).output
    claims = tuple(dict.fromkeys((*given, *((output.name,) if has_output else ()))))
    args = ["mapreduce.podcleanup"]
    for claim in given:
        args += ["--folder", f"{paths.CLAIMS}/{claim}/{job.names.base}"]
    if has_output:
        args += ["--output", f"{paths.CLAIMS}/{output.name}/{output.rest}".rstrip("/")]
        args += ["--owner", job.names.uid, "--pods", f"{job.names.base}-"]
    container = pods.container(
        job,
        "cleanup",
        user=pods.TOKEN_USER,
        image=job.own_image,
        args=args,
        resources=pods.resources(cpu=("10m", "500m"), memory=("32Mi", "256Mi"), disk=("16Mi", "256Mi")),
        mounts=[
            {"name": volumes.claim_volume(claims, claim), "mountPath": f"{paths.CLAIMS}/{claim}"} for claim in claims
        ],
        env=[],
    )
    pod = {
        **pods.pod_settings(job, grace_s=5),
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [*volumes.claim_volumes(claims), pods.temp_volume("cleanup")],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": pods.metadata(job, job.names.cleanup, labels=job.names.labels("cleanup"), is_owned=False),
        "spec": {
            "activeDeadlineSeconds": deadline_s,
            "backoffLimit": 2,
            "ttlSecondsAfterFinished": _TTL_S,
            "template": {
                "metadata": {"labels": job.names.labels("cleanup")},
                "spec": templates.placed(job.spec.coordinator.pod_template, pod),
            },
        },
    }
