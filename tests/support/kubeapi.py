"""The Kubernetes API for tests: a few calls in JSON, asked directly and as admin, past any proxy and any fault."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

Object: TypeAlias = dict[str, Any]

_GROUPS: Final = {
    "batch/v1": ("jobs",),
    "apps/v1": ("statefulsets",),
    "rbac.authorization.k8s.io/v1": ("roles", "rolebindings", "clusterroles", "clusterrolebindings"),
    "networking.k8s.io/v1": ("networkpolicies",),
    "policy/v1": ("poddisruptionbudgets",),
    "coordination.k8s.io/v1": ("leases",),
    "apiextensions.k8s.io/v1": ("customresourcedefinitions",),
    "mapreduce.dev/v1alpha1": ("mapreducejobs",),
    "events.k8s.io/v1": (),
}
_GROUP_OF: Final = {resource: group for group, resources in _GROUPS.items() for resource in resources}
_UNBOUND: Final = {"namespaces", "nodes", "clusterroles", "clusterrolebindings", "customresourcedefinitions"}
#: What a namespace may hold of a job. `mapreducejobs` come last: they are what owns the rest.
CHILD_RESOURCES: Final = (
    "statefulsets",
    "jobs",
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "networkpolicies",
    "poddisruptionbudgets",
)
_TIMEOUT_S: Final = 30.0


class ApiRefused(Exception):
    """The API server says no."""

    def __init__(self, status: int, reply: Object) -> None:
        super().__init__(f"{status}: {reply.get('message', reply)}")
        self.status, self.reason = status, str(reply.get("reason", ""))
        self.message = str(reply.get("message", ""))
        self.causes: list[Object] = (reply.get("details") or {}).get("causes") or []


class KubeApi:
    """One server and one token; a connection for each thread."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        self._address, self._token = (host, int(port)), token
        self._trust = ssl.create_default_context(cafile=str(ca_file))
        self._local = threading.local()
        self.writes = 0
        """Calls so far that may have changed something."""
        self.deletions = 0
        self._connections: list[http.client.HTTPSConnection] = []

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        try:
            return self.ask("GET", path_of(resource, namespace, name))
        except ApiRefused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, resource: str, namespace: str = "", selector: str = "") -> list[Object]:
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        try:
            items: list[Object] = self.ask("GET", path_of(resource, namespace) + query)["items"]
        except ApiRefused as refused:
            if refused.status == 404:  # the resource itself is not known: no CRD
                return []
            raise
        return items

    def version_of_list(self, resource: str, namespace: str = "") -> str:
        """The resource version at which a list is taken now."""
        return str(self.ask("GET", path_of(resource, namespace))["metadata"]["resourceVersion"])

    def create(self, resource: str, namespace: str, content: Object, *, dry_run: bool = False) -> Object:
        query = "?dryRun=All" if dry_run else ""
        return self.ask("POST", path_of(resource, namespace) + query, content)

    def patch(self, resource: str, namespace: str, name: str, change: Object, subresource: str = "") -> Object:
        """A merge patch."""
        path = path_of(resource, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def patch_if_there(self, resource: str, namespace: str, name: str, change: Object, subresource: str = "") -> None:
        """The same; nothing to change is fine: somebody deleted it meanwhile."""
        try:
            self.patch(resource, namespace, name, change, subresource)
        except ApiRefused as refused:
            if refused.status != 404:
                raise

    def apply(self, resource: str, namespace: str, content: Object) -> Object:
        """A server-side apply with force, as the field manager `test`."""
        path = path_of(resource, namespace, content["metadata"]["name"])
        return self.ask("PATCH", f"{path}?fieldManager=test&force=true", content, "application/apply-patch+yaml")

    def delete(self, resource: str, namespace: str, name: str, **options: Any) -> None:
        """Deletes; nothing to delete is fine."""
        try:
            self.ask("DELETE", path_of(resource, namespace, name), options or None)
        except ApiRefused as refused:
            if refused.status != 404:
                raise

    def ask(
        self, method: str, path: str, content: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        """One call; raises `ApiRefused`."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        body = None if content is None else json.dumps(content)
        self.writes += method != "GET"
        self.deletions += method == "DELETE"
        try:
            status, data = self._exchange(self._connection(fresh=False), method, path, body, headers)
        except (http.client.HTTPException, ConnectionError, ssl.SSLEOFError):  # an idle one that the server has ended
            status, data = self._exchange(self._connection(fresh=True), method, path, body, headers)
        answer: Object = json.loads(data) if data[:1] == b"{" else {"message": data.decode(errors="replace")}
        if status >= 400:
            raise ApiRefused(status, answer)
        return answer

    @staticmethod
    def _exchange(
        connection: http.client.HTTPSConnection, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()

    def _connection(self, *, fresh: bool) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None or fresh:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPSConnection(*self._address, context=self._trust, timeout=_TIMEOUT_S)
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def path_of(resource: str, namespace: str = "", name: str = "") -> str:
    """Where a resource lies. Without a namespace: those of all namespaces."""
    group = _GROUP_OF.get(resource, "v1")
    parts = ["apis" if "/" in group else "api", group]
    if namespace and resource not in _UNBOUND:
        parts += ["namespaces", namespace]
    return "/" + "/".join(quote(part, safe="/.") for part in [*parts, resource, *([name] if name else [])])


def condition(subject: Mapping[str, Any] | None, kind: str) -> Object:
    """A condition of an object's status; empty when it has none."""
    conditions = ((subject or {}).get("status") or {}).get("conditions") or []
    return next((dict(found) for found in conditions if found["type"] == kind), {})


def is_true(subject: Mapping[str, Any] | None, kind: str) -> bool:
    return bool(condition(subject, kind).get("status") == "True")
