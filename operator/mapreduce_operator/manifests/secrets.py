"""The job's tokens: two Secrets, so that a worker's pod mounts nothing with which it could steer."""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

from mapreduce_operator.manifests import pods
from mapreduce_operator.manifests.pods import Job

Raw = dict[str, Any]

_TOKEN_BYTES: Final = 32


def admin(job: Job) -> Raw:
    """The token of those who steer, and the one of those who only look."""
    return _secret(job, job.names.admin_secret, ("token", "read"))


def worker(job: Job) -> Raw:
    """The token with which workers join."""
    return _secret(job, job.names.worker_secret, ("token",))


def decoded(raw: Raw, key: str) -> str:
    """A token out of a Secret as the API server gives it."""
    return base64.b64decode((raw.get("data") or {}).get(key, "")).decode("ascii")


def _secret(job: Job, name: str, keys: tuple[str, ...]) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": pods.metadata(job, name),
        "data": {key: base64.b64encode(secrets.token_urlsafe(_TOKEN_BYTES).encode()).decode() for key in keys},
    }
