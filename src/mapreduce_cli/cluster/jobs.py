"""MapReduceJobs at an API server: listed, read, created, patched and deleted, and read as what the operator says.

Plain calls; which job a person means is `mapreduce_cli.jobnames`, what a list looks like `listing`.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from mapreduce.errors import Unauthorized, Unreachable, UsageError
from mapreduce.model import API_VERSION
from mapreduce.typed import convert
from mapreduce_cli.cluster.access import ApiRefusal, Cluster, Json
from mapreduce_operator.statusmodel import Condition, JobStatus

PLURAL: Final = "mapreducejobs"
#: Spellings before the name, as kubectl takes and prints them.
RESOURCE_WORDS: Final = ("mapreducejob", "mapreducejobs", "mrj", "mapreducejob.mapreduce.dev")
_GROUP_PATH: Final = f"/apis/{API_VERSION}"
_PAGE: Final = "500"
_NO_CRD: Final = "the cluster does not know MapReduceJobs: the operator's chart is not installed"


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """One MapReduceJob as it was read."""

    raw: Json
    status: JobStatus

    @classmethod
    def of(cls, raw: Json) -> ClusterJob:
        """An object of the API server; a status that this release cannot read counts as none."""
        try:
            status = convert(raw.get("status") or {}, JobStatus)
        except msgspec.ValidationError:
            status = JobStatus(message=str(raw.get("status", {}).get("message", "")))
        return cls(raw, status)

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.raw["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return str(self.raw["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        """The object's UID."""
        return str(self.raw["metadata"].get("uid", ""))

    @property
    def generation(self) -> int:
        """metadata.generation: counts edits of the specification."""
        return int(self.raw["metadata"].get("generation", 0))

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as it was written."""
        found = self.raw.get("spec")
        return found if isinstance(found, dict) else {}

    @property
    def output(self) -> str:
        """The output's URI."""
        return str(self.spec.get("output", {}).get("uri", ""))

    @property
    def created_at(self) -> float:
        """UTC, seconds since 1970."""
        return seconds_of(self.raw["metadata"].get("creationTimestamp"))

    @property
    def is_finished(self) -> bool:
        """The job has ended, either way."""
        return self.is_true("Finished") or self.is_true("Complete") or self.is_true("Failed")

    @property
    def is_deleting(self) -> bool:
        """Somebody has deleted it; it goes once what it owns is gone."""
        return "deletionTimestamp" in self.raw["metadata"]

    def condition(self, type_: str) -> Condition | None:
        """One condition."""
        return next((found for found in self.status.conditions if found.type == type_), None)

    def is_true(self, type_: str) -> bool:
        """The condition is there, and the case."""
        found = self.condition(type_)
        return found is not None and found.status == "True"


class Jobs:
    """The jobs that a cluster's API server holds."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def list(self, *, everywhere: bool = False) -> list[ClusterJob]:
        """All jobs of the namespace, or of all, oldest first."""
        path, found = (f"{_GROUP_PATH}/{PLURAL}" if everywhere else self._path()), []
        query = {"limit": _PAGE}
        while True:
            page = self._get(path, query)
            found += page.get("items", [])
            more = page.get("metadata", {}).get("continue", "")
            if not more:
                break
            query = {"limit": _PAGE, "continue": more}
        return sorted(map(ClusterJob.of, found), key=lambda job: (job.created_at, job.namespace, job.name))

    def get(self, name: str) -> ClusterJob:
        """One job of the namespace. Raises UsageError when there is none of that name."""
        try:
            return ClusterJob.of(self.cluster.get(self._path(name)))
        except ApiRefusal as refusal:
            if refusal.status != 404:
                raise
            self.list()  # says so when it is the kind that does not exist
            raise UsageError(
                f"there is no MapReduceJob {name!r} in namespace {self.cluster.namespace}; "
                f"`mr ls{self.cluster.address.options or ' -A'}` lists them"
            ) from None

    def find(self, name: str) -> ClusterJob | None:
        """One job of the namespace, or None."""
        try:
            return ClusterJob.of(self.cluster.get(self._path(name)))
        except ApiRefusal as refusal:
            if refusal.status != 404:
                raise
            return None

    def with_output(self, uri: str, *, only_complete: bool = False) -> ClusterJob | None:
        """The newest job of the namespace that writes to this place, or the newest that has written it."""
        wanted = uri.rstrip("/")
        found = [job for job in self.list() if job.output.rstrip("/") == wanted]
        return next((job for job in reversed(found) if job.is_true("Complete") or not only_complete), None)

    def create(self, manifest: Json) -> ClusterJob:
        """Create a job. Raises ApiRefusal (reason AlreadyExists among them)."""
        try:
            return ClusterJob.of(self.cluster.create(self._path(), manifest))
        except ApiRefusal as refusal:
            if refusal.status == 404 and refusal.reason != "AlreadyExists":
                raise UsageError(self._missing(refusal)) from None
            raise

    def patch(self, name: str, spec: Json) -> ClusterJob:
        """Change fields of a job's specification."""
        return ClusterJob.of(self.cluster.merge(self._path(name), {"spec": spec}))

    def scale(self, name: str, replicas: int) -> None:
        """Set the number of workers through the scale subresource, as `kubectl scale` does."""
        self.cluster.merge(f"{self._path(name)}/scale", {"spec": {"replicas": replicas}})

    def delete(self, name: str, *, uid: str = "") -> None:
        """Delete a job and what it owns; its output stays."""
        options: Json = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        self.cluster.delete(self._path(name), **options)

    def watch(self, name: str, *, timeout_s: int) -> Iterator[ClusterJob | None]:
        """The job as it is, then after each change; None once it is deleted. Ends after `timeout_s` at the latest."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": str(timeout_s),
            "allowWatchBookmarks": "false",
        }
        with self.cluster.stream("GET", self._path(), query=query, deadline_s=timeout_s + 10.0) as answer:
            if answer.status >= 400:
                from mapreduce_cli.cluster.access import refusal_of

                raise refusal_of(answer, self.cluster)
            for line in answer.lines():
                if not line.strip():
                    continue
                event = msgspec.json.decode(line)
                if event["type"] == "ERROR":
                    raise Unreachable(f"the watch ended: {event['object'].get('message', 'no reason given')}")
                yield None if event["type"] == "DELETED" else ClusterJob.of(event["object"])

    def secret(self, name: str) -> dict[str, str]:
        """The texts of a Secret. Raises UsageError when it is gone, Unauthorized when it may not be read."""
        try:
            found = self.cluster.get(f"/api/v1/namespaces/{quote(self.cluster.namespace)}/secrets/{quote(name)}")
        except Unauthorized as error:
            raise Unauthorized(f"{error}; the coordinator's token is in Secret {name}") from None
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def _path(self, name: str = "") -> str:
        base = f"{_GROUP_PATH}/namespaces/{quote(self.cluster.namespace)}/{PLURAL}"
        return f"{base}/{quote(name, safe='')}" if name else base

    def _get(self, path: str, query: dict[str, str]) -> Json:
        try:
            return self.cluster.get(path, **query)
        except ApiRefusal as refusal:
            if refusal.status == 404:
                raise UsageError(f"{_NO_CRD}; `{self.cluster.doctor}` says more") from None
            raise

    def _missing(self, refusal: ApiRefusal) -> str:
        """What a 404 to a creation means: no such kind, or no such namespace."""
        self.list()
        return refusal.message


def seconds_of(text: Any) -> float:
    """A metav1.Time as seconds since 1970; 0 for none."""
    if not isinstance(text, str) or not text:
        return 0.0
    return datetime.datetime.fromisoformat(text).timestamp()
