"""A namespace of a real cluster in a test's hands: objects in by kubectl, out by the API, and waiting for their ends.

Who waits looks several times a second: a connection that stays open costs a hundredth of a kubectl that is started.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from cluster.errors import CommandFailed
from cluster.nodes import Cluster
from mapreduce.errors import MapReduceError, Unreachable
from mapreduce_cli.cluster import access
from tests.support.kubeapi import path_of

Object: TypeAlias = dict[str, Any]
WITHIN_S: Final = 240.0
"""How long a thing may take that is sure to come: generous, because the machine may be busy with other tests."""
RESTRICTED: Final = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
    "mapreduce.dev/e2e": "true",
}


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, in which every pod must keep to the restricted standard."""

    cluster: Cluster
    name: str

    def kubectl(self, *args: str, given: str | None = None, timeout_s: float = 60.0) -> str:
        """Standard output of kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *args, given=given, timeout_s=timeout_s)

    def apply(self, *objects: Object) -> None:
        """`kubectl apply` of objects."""
        self.kubectl(
            "apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def find(self, kind: str, name: str) -> Object | None:
        """An object, or None where there is none."""
        try:
            return calls(self.cluster).get(path_of(_resource(kind), self.name, name))
        except access.ApiRefusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def log(self, pod: str, container: str) -> str:
        """What a container has said since its start; nothing while it is not there."""
        return self.text_of_pod(pod, "/log", container=container)

    def text_of_pod(self, pod: str, path: str, **query: str) -> str:
        """What the API gives below a pod; nothing while that cannot be had."""
        where = path_of("pods", self.name, pod)
        try:
            with calls(self.cluster).stream("GET", f"{where}{path}", query=query) as answer:
                return answer.read().decode(errors="replace") if answer.status == 200 else ""
        except Unreachable:
            return ""

    def get(self, kind: str, name: str) -> Object:
        """An object that is there."""
        found = self.find(kind, name)
        assert found is not None, f"there is no {kind} {name} in {self.name}"
        return found

    def listed(self, kinds: str, selector: str = "") -> list[Object]:
        """All objects of some kinds (`pods,services`), or those with the labels."""
        query = {"labelSelector": selector} if selector else {}
        lists = [calls(self.cluster).get(path_of(_resource(kind), self.name), **query) for kind in kinds.split(",")]
        return [{"kind": found["kind"].removesuffix("List"), **one} for found in lists for one in found["items"]]

    def patch(self, kind: str, name: str, change: Object) -> None:
        """A merge patch."""
        self.kubectl("patch", kind, name, "--type", "merge", "--patch", json.dumps(change))

    def delete(self, kind: str, name: str, *, within_s: float = WITHIN_S) -> None:
        """Deletes an object and waits until it is gone."""
        waiting = (f"--timeout={within_s:.0f}s", "--ignore-not-found")
        self.kubectl("delete", kind, name, *waiting, timeout_s=within_s + 10)

    def kill_pod(self, name: str) -> None:
        """Deletes a pod without a grace period and without waiting."""
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")

    def until(
        self, kind: str, name: str, what: str, is_so: Callable[[Object], bool], *, within_s: float = WITHIN_S
    ) -> Object:
        """The object as soon as something holds of it; fails with `what` and its status when it never does."""
        deadline = time.monotonic() + within_s
        found: Object | None = None
        while True:
            try:
                found = self.find(kind, name)
            except MapReduceError:  # the API server is busy, or a test has just taken it away
                found = None
            if found is not None and is_so(found):
                return found
            if time.monotonic() > deadline:
                status = json.dumps((found or {}).get("status"), indent=1)
                raise AssertionError(f"{kind} {name}: {what}: not within {within_s:.0f} s; its status: {status}")
            time.sleep(0.3)

    def until_gone(self, kinds: str, selector: str, *, within_s: float = WITHIN_S) -> None:
        """Waits until no object of these kinds has the labels; fails with their names when some stay."""
        deadline = time.monotonic() + within_s
        while left := [f"{one['kind']}/{one['metadata']['name']}" for one in self.listed(kinds, selector)]:
            assert time.monotonic() < deadline, f"still there after {within_s:.0f} s: {', '.join(left)}"
            time.sleep(0.3)

    def describe(self) -> str:
        """Everything a person wants to see of a test that failed."""
        asked: tuple[tuple[str, ...], ...] = (
            ("get", "mapreducejobs,pods,statefulsets,jobs.batch,persistentvolumeclaims,services", "--output", "wide"),
            ("get", "mapreducejobs", "--output", "yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
        )
        parts = [self._said(*words) for words in asked]
        for pod in self.listed("pods"):
            name = pod["metadata"]["name"]
            parts.append(self._said("logs", name, "--all-containers", "--prefix", "--tail=60", "--ignore-errors"))
        return "\n".join(parts)

    def _said(self, *args: str) -> str:
        try:
            return f"$ kubectl {' '.join(args)}\n{self.kubectl(*args)}"
        except CommandFailed as error:
            return f"$ kubectl {' '.join(args)}\n{error}"


@cache
def calls(cluster: Cluster) -> access.Cluster:
    """The API of a cluster, as its kubeconfig says; its connections stay open."""
    return access.connect(access.ClusterAddress(kubeconfig=Path(cluster.kubeconfig)))


def _resource(kind: str) -> str:
    """`pod`, `pods`, `jobs.batch` as the API's paths have it."""
    return kind.partition(".")[0].removesuffix("s") + "s"


def condition(found: Object, kind: str) -> Object:
    """A condition of an object's status; empty when it has none of that type."""
    conditions: list[Object] = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def holds(kind: str) -> Callable[[Object], bool]:
    """Whether a condition is true."""
    return lambda found: condition(found, kind).get("status") == "True"


@contextmanager
def own_namespace(cluster: Cluster, name: str) -> Iterator[Namespace]:
    """A namespace for one test; it is removed behind the test, without waiting."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, *(f"{label}={value}" for label, value in RESTRICTED.items()))
    found = Namespace(cluster, name)
    try:
        found.until("serviceaccount", "default", "lets pods be made", bool)
        yield found
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
