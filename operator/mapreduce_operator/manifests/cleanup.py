"""The short Job that removes a deleted job's folder from claims that were given to it. Pure.

It is not owned by the job, or a deletion in the foreground would take it along before it has worked; it ends by its own
deadline and is removed by name, or else by its time to live.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.manifests import pods
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]

_TTL_S: Final = 60
_FOLDER: Final = "/mr/given"
#: Removes each folder named; files that a network volume still holds open for somebody (`.nfs...`) may stay.
_PROGRAM: Final = """\
import os, shutil, sys
for folder in sys.argv[1:]:
    if os.path.isdir(folder) and not os.path.islink(folder):
        shutil.rmtree(folder, onerror=lambda _call, path, error: None if isinstance(error[1], FileNotFoundError)
                      or os.path.basename(path).startswith(".nfs") else sys.exit(f"{path}: {error[1]}"))
"""


def batch_job(job: Job, claims: tuple[str, ...], deadline_s: int) -> Raw:
    """The Job, for claims that the user gave."""
    folders = [f"{_FOLDER}/{index}/{job.names.base}" for index in range(len(claims))]
    names = [f"mr-claim-{index}" for index in range(len(claims))]
    container = pods.container(
        job,
        "cleanup",
        user=pods.TOKEN_USER,
        image=job.own_image,
        args=[],
        resources=pods.resources(cpu=("10m", "500m"), memory=("32Mi", "256Mi"), disk=("16Mi", "256Mi")),
        mounts=[{"name": name, "mountPath": f"{_FOLDER}/{index}"} for index, name in enumerate(names)],
        env=[],
    )
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
                "spec": {
                    **pods.pod_settings(job, grace_s=5),
                    "restartPolicy": "Never",
                    "containers": [{**container, "command": ["python", "-c", _PROGRAM], "args": folders}],
                    "volumes": [
                        *(
                            {"name": name, "persistentVolumeClaim": {"claimName": claim}}
                            for name, claim in zip(names, claims, strict=True)
                        ),
                        pods.temp_volume("cleanup"),
                    ],
                },
            },
        },
    }
