"""The immutable ConfigMap with what a job was started with: specification and code, and their digests. Pure.

It exists before anything else does, and from then on it, not the object, says what the job is. What may still change
(size, suspension, deadlines) is read from the object.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mapreduce.model import JobSpec
from mapreduce.typed import convert
from mapreduce_operator.manifests import pods
from mapreduce_operator.manifests.pods import Job
from mapreduce_operator.naming import CODE_DIGEST, SPEC_DIGEST

Raw = dict[str, Any]

JOB_FILE: Final = "job.json"
CODE_FILE: Final = "job.py"
#: A ConfigMap takes 1 MiB with all its parts.
MAX_BYTES: Final = 1_000_000
#: Fields that a running job follows; all others are frozen with its start.
_FOLLOWED: Final = frozenset({"suspend", "activeDeadlineSeconds", "pendingDeadlineSeconds", "ttlSecondsAfterFinished"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a job was started with."""

    spec: JobSpec
    spec_digest: str
    code_digest: str


def spec_digest(raw_spec: Raw) -> str:
    """The digest of all fields that a running job does not follow."""
    frozen = {name: value for name, value in raw_spec.items() if name not in _FOLLOWED}
    if isinstance(frozen.get("workers"), dict):
        frozen["workers"] = {name: value for name, value in frozen["workers"].items() if name != "replicas"}
        if not frozen["workers"]:
            del frozen["workers"]
    return _digest(msgspec.json.encode(frozen, order="sorted"))


def code_digest(raw_spec: Raw, code: str | None) -> str:
    """The digest of the code: of its text where that is known, else of the words that name it."""
    text = code if code is not None else (raw_spec.get("code") or {}).get("inline")
    return _digest(text.encode("utf-8", "surrogatepass") if text is not None else _named(raw_spec))


def config_map(job: Job, raw_spec: Raw, code: str | None) -> Raw:
    """The ConfigMap. `code` is the text of a `configMapRef`, or else None."""
    text = code if code is not None else job.spec.code.inline
    content = {
        "name": job.names.job,
        "namespace": job.namespace,
        "uid": job.names.uid,
        "spec": raw_spec,
    }
    metadata = pods.metadata(job, job.names.config_map)
    metadata["annotations"] = {SPEC_DIGEST: spec_digest(raw_spec), CODE_DIGEST: code_digest(raw_spec, code)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "immutable": True,
        "metadata": metadata,
        "data": {
            JOB_FILE: msgspec.json.encode(content).decode(),
            **({CODE_FILE: text} if text is not None else {}),
        },
    }


def size_bytes(raw: Raw) -> int:
    """The size of a ConfigMap's data."""
    return sum(len(name) + len(text.encode("utf-8", "surrogatepass")) for name, text in raw["data"].items())


def read(raw: Raw) -> Snapshot:
    """The snapshot out of its ConfigMap."""
    content = msgspec.json.decode(raw["data"][JOB_FILE])
    annotations = raw["metadata"].get("annotations") or {}
    return Snapshot(
        spec=convert(content["spec"], JobSpec),
        spec_digest=annotations.get(SPEC_DIGEST) or spec_digest(content["spec"]),
        code_digest=annotations.get(CODE_DIGEST) or code_digest(content["spec"], raw["data"].get(CODE_FILE)),
    )


def _named(raw_spec: Raw) -> bytes:
    return msgspec.json.encode(raw_spec.get("code") or {}, order="sorted")


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
