"""Everything that the operator asks of the API server, as about ten calls on plain dicts.

"Already exists" and "not found" are answers here, not errors: each call may be repeated, because the reply to the first
one may have been lost. `ClusterPort` is what passes depend on; tests have a cluster in memory behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import aiohttp

from mapreduce_operator.api import APPLY, MERGE, STRATEGIC, Api, ApiError
from mapreduce_operator.kinds import path
from mapreduce_operator.naming import API_VERSION, FIELD_MANAGER, KIND

Raw = dict[str, Any]

#: Objects in one reply: a whole pod is some 10 KB, and as Python objects ten times that.
_PAGE: Final = 100
_MAX_EVENTS: Final = 100


class ClusterPort(Protocol):
    """The calls. All of them raise `ApiError` for what is not answered otherwise."""

    async def get(self, kind: str, namespace: str, name: str) -> Raw | None:
        """An object, or None where there is none."""

    async def create(self, manifest: Raw, *, is_dry: bool = False) -> bool:
        """Make an object, or only find out whether that would be refused.

        False: there is one of that name already, which stays as it is.
        """

    async def replace(self, manifest: Raw) -> bool:
        """Write an object as it was read and changed. False: it has changed since, or is gone."""

    async def patch(self, kind: str, namespace: str, name: str, change: Raw) -> bool:
        """Merge a change into an object. False: there is none."""

    async def write_status(self, job: Raw, status: Raw) -> bool:
        """Make this the whole status of a job as it was read. False: it has changed since, or is gone."""

    async def delete(self, kind: str, namespace: str, name: str, uid: str, *, is_forced: bool = False) -> bool:
        """Delete an object, if it still has that UID. False: it is gone.

        A pod that is forced to go is said to have failed, through no fault of its own, and does not wait for its node.
        """

    async def set_finalizers(self, job: Raw, finalizers: list[str]) -> bool:
        """Replace the finalizers of a job as it was read; False: it has changed since, or is gone."""

    async def events_about(self, namespace: str, names: frozenset[str]) -> list[Raw]:
        """Recent Events about objects of those names."""

    def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[tuple[list[Raw], str]]:
        """All objects, some at a time, and the version from which to watch on."""

    def watch(self, kind: str, namespace: str, selector: str, version: str, seconds: float) -> AsyncIterator[Raw]:
        """Changes since that version, and bookmarks; ends after about that many seconds."""


class Cluster:
    """The real one."""

    def __init__(self, api: Api) -> None:
        self._api: Final = api

    async def get(self, kind: str, namespace: str, name: str) -> Raw | None:
        """See `ClusterPort`."""
        try:
            return await self._api.call("GET", path(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, manifest: Raw, *, is_dry: bool = False) -> bool:
        """See `ClusterPort`."""
        place = path(manifest["kind"], manifest["metadata"].get("namespace", ""))
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if is_dry else {})}
        try:
            await self._api.call("POST", place, body=manifest, query=query)
        except ApiError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return False
            raise
        return True

    async def replace(self, manifest: Raw) -> bool:
        """See `ClusterPort`. Not repeated: a reply that was lost is found out by reading again."""
        metadata = manifest["metadata"]
        place = path(manifest["kind"], metadata["namespace"], metadata["name"])
        try:
            await self._api.call("PUT", place, body=manifest, query={"fieldManager": FIELD_MANAGER}, attempts=1)
        except ApiError as error:
            if error.status in {404, 409}:
                return False
            raise
        return True

    async def patch(self, kind: str, namespace: str, name: str, change: Raw) -> bool:
        """See `ClusterPort`."""
        return await self._found(
            "PATCH",
            path(kind, namespace, name),
            body=change,
            content_type=MERGE,
            query={"fieldManager": FIELD_MANAGER},
            is_conflict_passing=True,
        )

    async def write_status(self, job: Raw, status: Raw) -> bool:
        """See `ClusterPort`. Server-side apply: fields left out are removed.

        The version guards against a job that was made anew under the name: for a status, the UID is not looked at.
        """
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": job["metadata"]["resourceVersion"]},
            "status": status,
        }
        try:
            return await self._found(
                "PATCH",
                path(KIND, namespace, name, "status"),
                body=body,
                content_type=APPLY,
                query={"fieldManager": FIELD_MANAGER, "force": "true"},
            )
        except ApiError as error:
            if error.status == 409:
                return False
            raise

    async def delete(self, kind: str, namespace: str, name: str, uid: str, *, is_forced: bool = False) -> bool:
        """See `ClusterPort`."""
        body: Raw = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            if is_forced:
                body["gracePeriodSeconds"] = 0
                await self._mark_lost(namespace, name, uid)
            return await self._found("DELETE", path(kind, namespace, name), body=body)
        except ApiError as error:
            if error.status == 409:  # another one of that name
                return False
            raise

    async def _mark_lost(self, namespace: str, name: str, uid: str) -> None:
        """Say that a pod has failed, as the garbage collector of pods does for nodes that are gone.

        A Job with a podFailurePolicy keeps its finalizer on a pod, and makes none in its place, until the pod has
        failed; of a dead node's pod nobody else says so (KEP-3329, KEP-3939).
        """
        why = "The pod's node does not answer."
        disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "NodeLost", "message": why}
        change = {
            "metadata": {"uid": uid},
            "status": {"phase": "Failed", "reason": "NodeLost", "message": why, "conditions": [disrupted]},
        }
        place = path("Pod", namespace, name, "status")
        await self._found("PATCH", place, body=change, content_type=STRATEGIC, query={"fieldManager": FIELD_MANAGER})

    async def set_finalizers(self, job: Raw, finalizers: list[str]) -> bool:
        """See `ClusterPort`."""
        metadata = job["metadata"]
        change = {
            "metadata": {
                "finalizers": finalizers,
                "resourceVersion": metadata["resourceVersion"],
                "uid": metadata["uid"],
            }
        }
        try:
            return await self._found(
                "PATCH",
                path(KIND, metadata["namespace"], metadata["name"]),
                body=change,
                content_type=MERGE,
                query={"fieldManager": FIELD_MANAGER},
            )
        except ApiError as error:
            if error.status == 409:
                return False
            raise

    async def events_about(self, namespace: str, names: frozenset[str]) -> list[Raw]:
        """See `ClusterPort`."""
        result: list[Raw] = []
        for name in sorted(names):
            query = {"fieldSelector": f"involvedObject.name={name}", "limit": str(_MAX_EVENTS)}
            reply = await self._api.call("GET", path("Event", namespace), query=query)
            result += reply.get("items") or ()
        return result

    async def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[tuple[list[Raw], str]]:
        """See `ClusterPort`."""
        query = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            reply = await self._api.call("GET", path(kind, namespace), query=query)
            metadata = reply.get("metadata") or {}
            yield reply.get("items") or [], str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def watch(self, kind: str, namespace: str, selector: str, version: str, seconds: float) -> AsyncIterator[Raw]:
        """See `ClusterPort`."""
        query = {
            "labelSelector": selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        timeout = aiohttp.ClientTimeout(total=seconds * 1.25, connect=10.0, sock_read=silence_s(seconds))
        async with self._api.stream(path(kind, namespace), query, timeout) as lines:
            async for line in lines:
                yield line

    async def _found(self, *args: Any, **options: Any) -> bool:
        try:
            await self._api.call(*args, **options)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True


def silence_s(watch_s: float) -> float:
    """How long a watch may be silent: bookmarks come each minute, or the watch ends before one is due."""
    return max(0.6 * watch_s, min(1.25 * watch_s, 70.0))
