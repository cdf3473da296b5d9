"""A plain client of an API server for tests: JSON in, JSON out, a refusal is an error. Nothing is retried."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from cluster.controlplane import ControlPlane

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
JSON = "application/json"
MERGE = "application/merge-patch+json"
_TIMEOUT_S = 30.0
_ESTABLISHED_WITHIN_S = 30.0


class Refused(Exception):
    """The server's answer was not one of success."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.message = str(status.get("message", ""))
        self.causes: list[dict[str, Any]] = status.get("details", {}).get("causes") or []
        super().__init__(f"{code}: {self.message}")

    @property
    def fields(self) -> list[str]:
        """The fields that the server names."""
        return [cause["field"] for cause in self.causes if "field" in cause]


class KubeApi:
    """Calls of one control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._trust = ssl.create_default_context(cafile=str(plane.ca_file))

    def call(
        self, method: str, path: str, body: object = None, *, kind: str = JSON, accept: str = JSON, **query: str
    ) -> Any:
        """One request; `query` are its parameters. Raises `Refused`."""
        url = f"{self._plane.url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self._plane.token}", "Accept": accept, "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._trust) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            said = error.read()
            try:
                status = json.loads(said)
            except ValueError:
                status = {"message": said.decode(errors="replace")}
            raise Refused(error.code, status) from None

    def create_definition(self, definition: Mapping[str, Any]) -> None:
        """Creates a CustomResourceDefinition and waits until its resource is served."""
        self.call("POST", CRDS, definition)
        path = f"{CRDS}/{definition['metadata']['name']}"
        deadline = time.monotonic() + _ESTABLISHED_WITHIN_S
        while not _is_established(self.call("GET", path)) or not self._is_served(definition["spec"]):
            assert time.monotonic() < deadline, f"{path} was not established"
            time.sleep(0.05)  # the condition can only be polled

    def _is_served(self, spec: Mapping[str, Any]) -> bool:
        try:
            self.call("GET", f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}")
        except Refused:
            return False
        return True


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions", [])
    return any(found["type"] == "Established" and found["status"] == "True" for found in conditions)
