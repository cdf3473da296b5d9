"""A `MapReduceJob` as the operator sees it: the object's dict, decoded once, with what is wrong with it in words. Pure.

The schema and its CEL rules refuse most of what is wrong before it gets here; this is what they cannot see: paths,
combinations that only a cluster forbids, and pod templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mapreduce import specerrors
from mapreduce.errors import InvalidJobSpec, MapReduceError
from mapreduce.jobspec import check_spec
from mapreduce.model import JobSpec
from mapreduce.typed import convert
from mapreduce.volumes import in_pod
from mapreduce_operator import times
from mapreduce_operator.manifests import paths, templates
from mapreduce_operator.naming import Names, is_own_claim, is_token_secret
from mapreduce_operator.statusmodel import Condition, JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One `MapReduceJob` object."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created_s: float
    deleted_s: float | None
    finalizers: tuple[str, ...]
    raw_spec: dict[str, Any]
    spec: JobSpec | None
    """The specification; None when it cannot be carried out, and `problem` says why."""
    problem: str
    status: JobStatus
    raw_status: dict[str, Any]

    @property
    def names(self) -> Names:
        """The names of the job's children."""
        return Names(self.name, self.uid)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, as last reported."""
        return next((one for one in self.status.conditions if one.type == kind), None)

    def is_true(self, kind: str) -> bool:
        """Whether that condition was last reported to be the case."""
        found = self.condition(kind)
        return found is not None and found.status == "True"


def read(raw: dict[str, Any]) -> Resource:
    """Decode an object of the API server. Never raises for what a user may have written."""
    metadata = raw["metadata"]
    raw_spec = raw.get("spec") or {}
    raw_status = raw.get("status") or {}
    spec, problem = _decoded(raw_spec)
    return Resource(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        resource_version=metadata.get("resourceVersion", ""),
        created_s=times.seconds(metadata.get("creationTimestamp")) or 0.0,
        deleted_s=times.seconds(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        raw_spec=raw_spec,
        spec=spec,
        problem=problem,
        status=_status(raw_status),
        raw_status=raw_status,
    )


def decode(raw_spec: dict[str, Any]) -> JobSpec:
    """Decode and check a specification. Raises `InvalidJobSpec`, naming the field."""
    try:
        spec = convert(raw_spec, JobSpec)
    except msgspec.ValidationError as error:
        if unknown := list(specerrors.unknown_fields(raw_spec, JobSpec, "spec")):
            raise InvalidJobSpec("spec", " ".join(unknown)) from None
        raise specerrors.in_words(error, raw_spec, JobSpec, "spec") from None
    check_spec(spec)
    in_pod(spec)
    _check_paths(spec)
    _check_names(spec)
    templates.check(spec.workers.pod_template, "spec.workers.podTemplate")
    templates.check(spec.coordinator.pod_template, "spec.coordinator.podTemplate")
    return spec


def _decoded(raw_spec: dict[str, Any]) -> tuple[JobSpec | None, str]:
    try:
        return decode(raw_spec), ""
    except MapReduceError as error:
        return None, str(error)


def _status(raw: dict[str, Any]) -> JobStatus:
    try:
        return convert(raw, JobStatus)
    except msgspec.ValidationError:  # written by a newer release, or by hand: made anew, nothing depends on it alone
        return JobStatus()


def _check_paths(spec: JobSpec) -> None:
    """Paths become parts of mounts, where the kubelet takes less than a file system does."""
    for index, source in enumerate(spec.inputs):
        if source.uri:
            paths.check_input(source.uri, f"spec.inputs[{index}].uri")
    if spec.code.volume_path is not None:
        paths.claim_path(spec.code.volume_path, "spec.code.volumePath")
    paths.claim_path(spec.output.uri, "spec.output.uri")


def _check_names(spec: JobSpec) -> None:
    """What belongs to jobs alone, this one or another, may not be named: their tokens, and claims that go with them."""
    for index, source in enumerate(spec.inputs):
        if source.secret_ref is not None and is_token_secret(source.secret_ref.name):
            raise InvalidJobSpec(
                f"spec.inputs[{index}].secretRef.name",
                f"{source.secret_ref.name!r} holds a job's tokens.",
                "Name a Secret of your own, with the headers for this address.",
            )
    places = {f"spec.inputs[{index}].uri": source.uri for index, source in enumerate(spec.inputs)}
    places |= {"spec.code.volumePath": spec.code.volume_path or "", "spec.output.uri": spec.output.uri}
    claims = {
        field: paths.claim_path(uri, field).name for field, uri in places.items() if uri.startswith(paths.CLAIM_SCHEME)
    }
    claims["spec.storage.log.claimName"] = spec.storage.log.claim_name or ""
    claims["spec.storage.runs.claimName"] = spec.storage.runs.claim_name or ""
    for field, name in claims.items():
        if is_own_claim(name):
            raise InvalidJobSpec(
                field, f"claim {name!r} is the operator's own and is deleted with its job.", "Name a claim of your own."
            )
