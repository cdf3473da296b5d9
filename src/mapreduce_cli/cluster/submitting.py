"""Creating a MapReduceJob, exactly once: an answer that got lost is asked for again, and not created a second time."""

from __future__ import annotations

import secrets
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from mapreduce.errors import Unreachable, UsageError
from mapreduce_cli.cluster.access import ApiRefusal, Json
from mapreduce_cli.cluster.jobs import ClusterJob, Jobs
from mapreduce_cli.cluster.manifests import build
from mapreduce_cli.jobnames import OfCluster, jobs_of

if TYPE_CHECKING:
    from mapreduce_cli.cluster.joboptions import ClusterJobOptions
    from mapreduce_cli.cluster.options import Target
    from mapreduce_cli.options import JobOptions

#: Chosen anew by each `mr submit`; the same in an object that already exists means that it is ours.
SUBMISSION_KEY: Final = "mapreduce.dev/submission"
TRIES: Final = 4
_PAUSE_S: Final = 0.5


def submit(job: JobOptions, there: ClusterJobOptions, target: Target, *, waits: bool) -> int:
    """Create the job and print its resource name; the exit code."""
    jobs = jobs_of(target)
    manifest = build(job, there)
    if manifest.metadata.namespace and target.cluster.namespace is None:
        jobs.cluster.namespace = manifest.metadata.namespace
    elif manifest.metadata.namespace not in {"", jobs.cluster.namespace}:
        raise UsageError(
            f"the manifest is for namespace {manifest.metadata.namespace}, and -n says {jobs.cluster.namespace}: "
            f"leave one of them out"
        )
    raw = msgspec.to_builtins(manifest)
    raw["metadata"] = {name: value for name, value in raw["metadata"].items() if value}
    raw["metadata"]["namespace"] = jobs.cluster.namespace
    created = create_once(jobs, raw)
    print(f"mapreducejob.mapreduce.dev/{created.name}", flush=True)
    if not waits:
        return 0
    from mapreduce_cli.cluster.following import wait_for

    return wait_for(OfCluster(jobs, created), timeout_s=None)


def create_once(jobs: Jobs, raw: Json, *, pause_s: float = _PAUSE_S) -> ClusterJob:
    """Create the object, again when no answer came. Raises UsageError when another job has the name, Unreachable."""
    key, name = secrets.token_hex(16), str(raw["metadata"]["name"])
    raw["metadata"]["annotations"] = {**raw["metadata"].get("annotations", {}), SUBMISSION_KEY: key}
    for left in reversed(range(TRIES)):
        try:
            return jobs.create(raw)
        except Unreachable as error:
            if not left:
                raise
            print(f"mr: {error}; trying again", file=sys.stderr)
            time.sleep(pause_s)
        except ApiRefusal as refusal:
            if refusal.reason != "AlreadyExists":
                raise UsageError(f"the cluster refuses the job: {refusal.message}") from None
            found = jobs.find(name)
            if found is not None and found.raw["metadata"].get("annotations", {}).get(SUBMISSION_KEY) == key:
                return found
            raise UsageError(_taken(jobs, name, found)) from None
    raise AssertionError("the last try returns or raises")


def _taken(jobs: Jobs, name: str, found: ClusterJob | None) -> str:
    state = (found.status.state or "not begun") if found is not None else "gone by now"
    options = jobs.cluster.address.options
    return (
        f"namespace {jobs.cluster.namespace} has a MapReduceJob {name!r} already ({state}); give this one another name "
        f"by --name, or delete that one by `mr rm {name}{options}` (its output stays)"
    )
