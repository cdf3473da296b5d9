"""What passes rely on in a cluster: the same tests run against the one in memory and against a real API server."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.naming import KIND, UID_LABEL
from tests.support.operatorjobs import job_spec

Raw = dict[str, Any]
#: One promise of a cluster, in a namespace of its own.
Promise = Callable[[ClusterPort, str], Awaitable[None]]


def _job(namespace: str, name: str = "count") -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "mapreduce.dev/v1alpha1", "kind": KIND, "metadata": metadata, "spec": job_spec()}


def _map(namespace: str, name: str = "words", **data: str) -> Raw:
    labels = {UID_LABEL: "some-job"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def _made(cluster: ClusterPort, manifest: Raw) -> Raw:
    assert await cluster.create(manifest)
    metadata = manifest["metadata"]
    there = await cluster.get(manifest["kind"], metadata["namespace"], metadata["name"])
    assert there is not None
    return there


async def what_is_not_there_is_none(cluster: ClusterPort, namespace: str) -> None:
    assert await cluster.get("ConfigMap", namespace, "words") is None
    assert not await cluster.patch("ConfigMap", namespace, "words", {"data": {"a": "b"}})
    assert not await cluster.delete("ConfigMap", namespace, "words", "some-uid")
    nobody = {"metadata": {"namespace": namespace, "name": "count", "uid": "some-uid", "resourceVersion": "1"}}
    assert not await cluster.write_status(nobody, {"state": "Pending"})


async def what_is_there_already_stays_as_it_is(cluster: ClusterPort, namespace: str) -> None:
    assert await cluster.create(_map(namespace, a="first"))
    assert not await cluster.create(_map(namespace, a="second"))
    there = await cluster.get("ConfigMap", namespace, "words")
    assert there is not None
    assert there["data"] == {"a": "first"}


async def a_patch_changes_what_it_names_and_nothing_else(cluster: ClusterPort, namespace: str) -> None:
    await _made(cluster, _map(namespace, a="1", b="2"))
    assert await cluster.patch("ConfigMap", namespace, "words", {"data": {"a": "3"}})
    there = await cluster.get("ConfigMap", namespace, "words")
    assert there is not None
    assert there["data"] == {"a": "3", "b": "2"}


async def a_deletion_is_of_the_object_that_was_seen(cluster: ClusterPort, namespace: str) -> None:
    there = await _made(cluster, _map(namespace, a="1"))
    assert not await cluster.delete("ConfigMap", namespace, "words", "another-uid")
    assert await cluster.get("ConfigMap", namespace, "words") is not None
    assert await cluster.delete("ConfigMap", namespace, "words", there["metadata"]["uid"])
    assert await cluster.get("ConfigMap", namespace, "words") is None


async def a_replacement_is_of_what_was_read(cluster: ClusterPort, namespace: str) -> None:
    first = await _made(cluster, _map(namespace, a="1"))
    second = copy.deepcopy(first)
    first["data"]["a"] = "2"
    assert await cluster.replace(first)
    second["data"]["a"] = "3"
    assert not await cluster.replace(second)


async def a_status_is_written_whole_and_only_to_the_job_that_was_read(cluster: ClusterPort, namespace: str) -> None:
    first = await _made(cluster, _job(namespace))
    assert await cluster.write_status(first, {"state": "Mapping", "message": "a"})
    second = await cluster.get(KIND, namespace, "count") or {}
    assert await cluster.write_status(second, {"state": "Reducing"})
    after = await cluster.get(KIND, namespace, "count") or {}
    assert after["status"] == {"state": "Reducing"}
    assert after["metadata"]["generation"] == first["metadata"]["generation"]
    assert not await cluster.write_status(second, {"state": "Failed"}), "it has changed since"
    assert await cluster.delete(KIND, namespace, "count", after["metadata"]["uid"])
    await _made(cluster, _job(namespace))
    assert not await cluster.write_status(after, {"state": "Failed"}), "it is another one"


async def finalizers_are_replaced_as_they_were_read(cluster: ClusterPort, namespace: str) -> None:
    there = await _made(cluster, _job(namespace))
    assert await cluster.set_finalizers(there, ["mapreduce.dev/runs"])
    assert not await cluster.set_finalizers(there, []), "it has changed since"
    there = await cluster.get(KIND, namespace, "count") or {}
    assert await cluster.delete(KIND, namespace, "count", there["metadata"]["uid"])
    there = await cluster.get(KIND, namespace, "count") or {}
    assert there["metadata"]["deletionTimestamp"]
    assert await cluster.set_finalizers(there, [])
    assert await cluster.get(KIND, namespace, "count") is None


async def a_list_gives_what_has_the_label(cluster: ClusterPort, namespace: str) -> None:
    await _made(cluster, _map(namespace, a="1"))
    unlabelled = _map(namespace, "other")
    del unlabelled["metadata"]["labels"]
    await _made(cluster, unlabelled)
    found = [page async for page in cluster.pages("ConfigMap", namespace, UID_LABEL)]
    assert [raw["metadata"]["name"] for items, _ in found for raw in items] == ["words"]
    assert found[-1][1], "a version to watch from"


async def a_watch_tells_what_has_changed(cluster: ClusterPort, namespace: str) -> None:
    version = [version async for _, version in cluster.pages("ConfigMap", namespace, UID_LABEL)][-1]
    there = await _made(cluster, _map(namespace, a="1"))
    await cluster.patch("ConfigMap", namespace, "words", {"data": {"a": "2"}})
    await cluster.delete("ConfigMap", namespace, "words", there["metadata"]["uid"])
    told = []
    async for change in cluster.watch("ConfigMap", namespace, UID_LABEL, version, 5):
        if change["type"] != "BOOKMARK":
            told.append((change["type"], change["object"]["data"]["a"]))
        if len(told) == 3:
            break
    assert told == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def a_pod_that_is_forced_to_go_has_failed_and_waits_for_its_finalizers_alone(
    cluster: ClusterPort, namespace: str
) -> None:
    """A Job's controller takes its finalizer off pods that have failed, and off no others."""
    metadata = {"name": "lost", "namespace": namespace, "finalizers": ["batch.kubernetes.io/job-tracking"]}
    container = {"name": "agent", "image": "none"}
    spec = {"containers": [container], "nodeName": "a-node-that-does-not-answer", "restartPolicy": "Never"}
    pod = await _made(cluster, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    assert await cluster.delete("Pod", namespace, "lost", pod["metadata"]["uid"], is_forced=True)
    there = await cluster.get("Pod", namespace, "lost")
    assert there is not None
    assert there["metadata"]["deletionTimestamp"]
    assert (there["status"]["phase"], there["status"]["reason"]) == ("Failed", "NodeLost")


PROMISES: tuple[Promise, ...] = (
    what_is_not_there_is_none,
    what_is_there_already_stays_as_it_is,
    a_patch_changes_what_it_names_and_nothing_else,
    a_deletion_is_of_the_object_that_was_seen,
    a_replacement_is_of_what_was_read,
    a_status_is_written_whole_and_only_to_the_job_that_was_read,
    finalizers_are_replaced_as_they_were_read,
    a_list_gives_what_has_the_label,
    a_watch_tells_what_has_changed,
    a_pod_that_is_forced_to_go_has_failed_and_waits_for_its_finalizers_alone,
)
