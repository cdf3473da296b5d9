"""Taking a job up: what must be there before, and what is made, in which order. Pure.

Whether the API server takes what pods are made from is asked first: a template that it refuses fails the job before
anything is there. Then the finalizer comes (it must be there when there is something to remove), then the snapshot,
which from then on says what the job is, then everything that pods mount, then the pods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from mapreduce.model import JobSpec
from mapreduce_operator.manifests import (
    coordinator,
    networkpolicy,
    secrets,
    snapshot,
    storage,
    volumes,
    workers,
)
from mapreduce_operator.manifests.pods import Job
from mapreduce_operator.naming import FINALIZER, Names
from mapreduce_operator.planning.actions import Action, AddFinalizer, Check, Create
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem


def never(seen: Observed) -> Problem | None:
    """Why the job can never be taken up, whatever happens in the cluster."""
    spec = seen.job.spec
    if spec is None:
        return Problem("InvalidSpec", seen.job.problem)
    for name in volumes.sources(spec, seen.names).shared_claims:
        claim = seen.claims.get(name)
        if claim is not None and claim.is_for_one_pod:
            return Problem(
                "InvalidSpec",
                f"Claim {name} is ReadWriteOncePod, but coordinator and workers share it. "
                "Set storage.shuffle to Peer, or use a claim with another access mode.",
            )
    if spec.code.config_map_ref is not None and (seen.code is None or seen.code.text is None):
        return None
    manifest = snapshot.config_map(_job(seen, spec), seen.job.raw_spec, seen.code.text if seen.code else None)
    if snapshot.size_bytes(manifest) > snapshot.MAX_BYTES:
        return Problem("CodeTooLong", f"Specification and code are {snapshot.size_bytes(manifest)} bytes.")
    return None


def blocker(seen: Observed) -> Problem | None:
    """What is missing in the cluster before the job can be taken up; it is looked for again and again."""
    spec = seen.job.spec
    if spec is None or seen.is_started:
        return None
    if spec.code.config_map_ref is not None:
        if seen.code is None:
            return Problem("Checking")
        if seen.code.text is None:
            return Problem("ConfigMapMissing", seen.code.problem)
    made = {manifest["metadata"]["name"] for manifest in storage.claims(_job(seen, spec))}
    named = volumes.sources(spec, seen.names).named_claims
    if missing := [name for name in named if name not in made and seen.claims.get(name) is None]:
        return Problem("ClaimMissing", f"There is no PersistentVolumeClaim {', '.join(missing)}.")
    return None


def given_claims(spec: JobSpec, names: Names) -> tuple[str, ...]:
    """Claims that the user gave for log and runs: our folder has to be removed from them in the end."""
    found = volumes.sources(spec, names)
    wanted = [spec.storage.log.claim_name]
    if found.runs:
        wanted.append(spec.storage.runs.claim_name)
    return tuple(dict.fromkeys(name for name in wanted if name))


def plan(seen: Observed) -> Iterator[Action]:
    """Everything that a job needs and does not have yet."""
    job = seen.manifests()
    if job is None:
        return
    pods: tuple[tuple[object, Callable[[], dict[str, Any]]], ...] = (
        (seen.children.stateful_set, lambda: coordinator.stateful_set(job)),
        (seen.children.workers, lambda: workers.batch_job(job, replicas=seen.wanted.replicas, is_suspended=False)),
    )
    if ("ConfigMap", seen.names.config_map) not in seen.children.others:
        for _, make in pods:
            yield Check(make())
    if FINALIZER not in seen.job.finalizers:
        yield AddFinalizer()
    for kind, name, make in _children(seen, job):
        if (kind, name) not in seen.children.others:
            yield Create(make())
    for there, make in pods:
        if there is None:
            yield Create(make())


def _children(seen: Observed, job: Job) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Kind, name and maker of everything but the pods' owners, in the order of making."""
    names, code = seen.names, seen.code.text if seen.code is not None else None
    yield "ConfigMap", names.config_map, lambda: snapshot.config_map(job, seen.job.raw_spec, code)
    yield "Secret", names.admin_secret, lambda: secrets.admin(job)
    yield "Secret", names.worker_secret, lambda: secrets.worker(job)
    for claim in storage.claims(job):
        yield "PersistentVolumeClaim", claim["metadata"]["name"], partial(dict, claim)
    yield "Service", names.coordinator, lambda: coordinator.service(job)
    if seen.settings.has_network_policies:
        yield "NetworkPolicy", names.base, lambda: networkpolicy.network_policy(job)


def _job(seen: Observed, spec: JobSpec) -> Job:
    return Job(names=seen.names, namespace=seen.job.namespace, spec=spec, settings=seen.settings)
