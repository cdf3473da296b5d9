"""A cluster in memory: the API server's rules for the calls that the operator makes, controllers that play on demand.

`MemoryCluster` keeps to the same contract as the real one (tests/support/clustercontract.py); `play` does what
controllers, kubelets and the garbage collector would have done by now. Faults are given as a function that sees each
call first: it may raise, before the call or after it was carried out, as when a reply gets lost.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mapreduce_operator.api import ApiError
from mapreduce_operator.naming import COMPONENT_LABEL, KIND, UID_LABEL

Raw = dict[str, Any]
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Call:
    """One call of the operator."""

    verb: str
    kind: str
    name: str

    @property
    def is_change(self) -> bool:
        return self.verb not in {"get", "list", "watch", "events", "check"}


#: Sees each call; True lets it be carried out and then lose its reply, an error refuses it.
Fault = Callable[[Call], bool]


class MemoryCluster:
    """All objects, by kind, namespace and name."""

    def __init__(self) -> None:
        self.objects: dict[Place, Raw] = {}
        self.calls: list[Call] = []
        self.fault: Fault = lambda _call: False
        self.changes: asyncio.Queue[Raw] = asyncio.Queue()
        self.unready: set[str] = set()
        """Names of pods that do not become ready."""
        self._count = 0
        """How often anything was stored or dropped."""
        self._numbers = itertools.count(1)

    # ------------------------------------------------------------------------------------------------- the operator's

    async def get(self, kind: str, namespace: str, name: str) -> Raw | None:
        self._begin("get", kind, name)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def create(self, manifest: Raw, *, is_dry: bool = False) -> bool:
        place = (manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])
        is_lost = self._begin("check" if is_dry else "create", place[0], place[2])
        if is_dry:
            self._end(is_lost)
            return place not in self.objects
        if place in self.objects:
            return False
        self.put(manifest)
        self._end(is_lost)
        return True

    async def replace(self, manifest: Raw) -> bool:
        place = (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        is_lost = self._begin("replace", place[0], place[2])
        there = self.objects.get(place)
        if there is None or there["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            return False
        self._store(place, copy.deepcopy(manifest))
        self._end(is_lost)
        return True

    async def patch(self, kind: str, namespace: str, name: str, change: Raw) -> bool:
        is_lost = self._begin("patch", kind, name)
        there = self.objects.get((kind, namespace, name))
        if there is None:
            return False
        self._store((kind, namespace, name), _merged(there, change))
        self._end(is_lost)
        return True

    async def write_status(self, job: Raw, status: Raw) -> bool:
        metadata = job["metadata"]
        is_lost = self._begin("status", KIND, metadata["name"])
        place = (KIND, metadata["namespace"], metadata["name"])
        there = self.objects.get(place)
        if there is None or there["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            return False
        self._store(place, {**copy.deepcopy(there), "status": copy.deepcopy(status)})
        self._end(is_lost)
        return True

    async def delete(self, kind: str, namespace: str, name: str, uid: str, *, is_forced: bool = False) -> bool:
        is_lost = self._begin("delete", kind, name)
        there = self.objects.get((kind, namespace, name))
        if there is None or there["metadata"]["uid"] != uid:
            return False
        if is_forced:
            failed = {"phase": "Failed", "reason": "NodeLost"}
            self._store((kind, namespace, name), _merged(there, {"status": failed}))
        self.remove(kind, namespace, name, is_forced=is_forced)
        self._end(is_lost)
        return True

    async def set_finalizers(self, job: Raw, finalizers: list[str]) -> bool:
        metadata = job["metadata"]
        is_lost = self._begin("finalizers", KIND, metadata["name"])
        place = (KIND, metadata["namespace"], metadata["name"])
        there = self.objects.get(place)
        if there is None or there["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            return False
        changed = copy.deepcopy(there)
        changed["metadata"]["finalizers"] = list(finalizers)
        if changed["metadata"].get("deletionTimestamp") and not finalizers:
            self._drop(place)
        else:
            self._store(place, changed)
        self._end(is_lost)
        return True

    async def events_about(self, namespace: str, names: frozenset[str]) -> list[Raw]:
        self._begin("events", "Event", "")
        return [
            copy.deepcopy(raw)
            for (kind, place, _), raw in self.objects.items()
            if kind == "Event" and place == namespace and raw["involvedObject"]["name"] in names
        ]

    async def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[tuple[list[Raw], str]]:
        self._begin("list", kind, "")
        found = [copy.deepcopy(raw) for raw in self.of(kind, namespace) if _is_selected(raw, selector)]
        yield found, str(next(self._numbers))

    async def watch(self, kind: str, namespace: str, selector: str, version: str, seconds: float) -> AsyncIterator[Raw]:
        self._begin("watch", kind, "")
        while True:
            change = await self.changes.get()
            raw = change["object"]
            if change["type"] in {"BOOKMARK", "ERROR"} or raw["kind"] == kind:
                yield change

    # ------------------------------------------------------------------------------------------------------- the test's

    def of(self, kind: str, namespace: str = "") -> list[Raw]:
        """All objects of a kind."""
        return [raw for (one, place, _), raw in self.objects.items() if one == kind and namespace in {"", place}]

    def names(self) -> list[str]:
        """Kinds and names of everything but Events."""
        return sorted(f"{kind} {name}" for kind, _, name in self.objects if kind != "Event")

    def put(self, manifest: Raw) -> Raw:
        """Create an object as the API server would; gives what is stored."""
        raw = copy.deepcopy(manifest)
        metadata = raw["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._numbers)}")
        metadata.setdefault("creationTimestamp", "2027-01-15T08:00:00Z")
        metadata.setdefault("generation", 1)
        return self._store((raw["kind"], metadata.get("namespace", ""), metadata["name"]), raw)

    def remove(self, kind: str, namespace: str, name: str, *, is_forced: bool = False) -> None:
        """Delete an object: at once, or when its finalizers and its grace period are over."""
        place = (kind, namespace, name)
        raw = self.objects[place]
        if raw["metadata"].get("finalizers") or (kind == "Pod" and not is_forced):
            if not raw["metadata"].get("deletionTimestamp"):
                changed = copy.deepcopy(raw)
                changed["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:30Z"
                self._store(place, changed)
        else:
            self._drop(place)

    def play(self) -> None:
        """One round of controllers and kubelets: pods for StatefulSets and Jobs, the end of pods that are deleted."""
        for raw in self.of("Pod"):
            if raw["metadata"].get("deletionTimestamp"):
                self._drop(("Pod", raw["metadata"]["namespace"], raw["metadata"]["name"]))
        for raw in [*self.of("StatefulSet"), *self.of("Job")]:
            self._play_owner(raw)
        self._collect()

    def settle(self) -> None:
        """Rounds until nothing moves any more."""
        before = -1
        while before != (before := self._count):
            self.play()

    def set_status(self, kind: str, name: str, **fields: Any) -> None:
        """Give the one object of that kind and name a status."""
        place = next(place for place in self.objects if place[0] == kind and place[2] == name)
        self._store(place, {**self.objects[place], "status": {**self.objects[place].get("status", {}), **fields}})

    # ------------------------------------------------------------------------------------------------------------------

    def _begin(self, verb: str, kind: str, name: str) -> bool:
        call = Call(verb, kind, name)
        self.calls.append(call)
        return self.fault(call)

    def _end(self, is_lost: bool) -> None:
        if is_lost:
            raise ApiError(0, "Lost", "the reply got lost")

    def _store(self, place: Place, raw: Raw) -> Raw:
        there = self.objects.get(place)
        if there is not None and there.get("spec") != raw.get("spec"):
            raw["metadata"]["generation"] = there["metadata"].get("generation", 1) + 1
        raw["metadata"]["resourceVersion"] = str(next(self._numbers))
        self.objects[place] = raw
        self._count += 1
        self.changes.put_nowait({"type": "MODIFIED" if there else "ADDED", "object": copy.deepcopy(raw)})
        return raw

    def _drop(self, place: Place) -> None:
        self._count += 1
        self.changes.put_nowait({"type": "DELETED", "object": self.objects.pop(place)})

    def _play_owner(self, owner: Raw) -> None:
        metadata, spec = owner["metadata"], owner["spec"]
        if metadata.get("deletionTimestamp"):
            return
        if owner["kind"] == "StatefulSet":
            wanted = {f"{metadata['name']}-{number}" for number in range(spec["replicas"])}
        else:
            is_over = any(one["status"] == "True" for one in owner.get("status", {}).get("conditions", ()))
            count = 0 if spec.get("suspend") or is_over else spec.get("parallelism", 1)
            wanted = {f"{metadata['name']}-{number}" for number in range(count)}
        for pod in self._owned("Pod", metadata["uid"]):
            if pod["metadata"]["name"] not in wanted and pod["status"]["phase"] not in {"Succeeded", "Failed"}:
                self.remove("Pod", metadata["namespace"], pod["metadata"]["name"])
        for name in sorted(wanted):
            if ("Pod", metadata["namespace"], name) not in self.objects:
                self.put(_pod(owner, name, is_ready=name not in self.unready))

    def _owned(self, kind: str, uid: str) -> list[Raw]:
        return [raw for raw in self.of(kind) if uid in set(_owners(raw))]

    def _collect(self) -> None:
        there = {raw["metadata"]["uid"] for raw in self.objects.values()}
        for place, raw in list(self.objects.items()):
            owners = set(_owners(raw))
            if owners and not owners & there and place in self.objects:
                self.remove(*place)


def _pod(owner: Raw, name: str, *, is_ready: bool) -> Raw:
    template = owner["spec"]["template"]
    main = [one["name"] for one in template["spec"]["containers"]]
    state = {"running": {}} if is_ready else {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{"uid": owner["metadata"]["uid"]}],
        },
        "spec": {"nodeName": "node-a"},
        "status": {
            "phase": "Running" if is_ready else "Pending",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
            "containerStatuses": [{"name": one, "ready": is_ready, "state": state} for one in main],
        },
    }


def component(raw: Raw) -> str:
    """Which part of a job a pod is."""
    return str(raw["metadata"]["labels"].get(COMPONENT_LABEL, ""))


def _owners(raw: Raw) -> Iterator[str]:
    for one in raw["metadata"].get("ownerReferences", ()):
        yield one["uid"]


def _is_selected(raw: Raw, selector: str) -> bool:
    return not selector or selector != UID_LABEL or UID_LABEL in raw["metadata"].get("labels", {})


def _merged(there: Any, change: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(there) if isinstance(there, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return copy.deepcopy(result)
