"""Jobs that the cluster lets wait: the condition has the cluster's own words, and the cure makes the job go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.errors import CommandFailed
from cluster.nodes import Cluster
from tests.support import clusterjobs
from tests.support.claimfiles import read_claim
from tests.support.kubecalls import Namespace, Object, condition, holds

NOWHERE = "localhost/mapreduce-no-such-image:1"


def test_an_image_that_cannot_be_pulled_is_named_and_another_takes_a_new_job(
    namespace: Namespace, tmp_path: Path
) -> None:
    job = clusterjobs.job("image", texts=["a b a\n"], image=NOWHERE)
    namespace.apply(job)
    until_told(namespace, "image", "WorkersReady", "ImagePullFailed", NOWHERE)
    found = until_told(namespace, "image", "CoordinatorReady", "ImagePullFailed", NOWHERE)  # code is read in it, too
    del job["spec"]["image"]
    with pytest.raises(CommandFailed, match="cannot be changed once the job has started: delete the job"):
        namespace.apply(job)
    clusterjobs.delete_and_check(namespace, found)
    namespace.apply(job)
    expect_oracle(namespace, job, tmp_path)


def test_a_claim_without_a_volume_is_told_of_in_the_words_of_storage_and_goes_on_with_its_class(
    namespace: Namespace, tmp_path: Path
) -> None:
    absent = namespace.name  # a name that no class has
    job = clusterjobs.job(
        "claims", texts=["a b a\n"], storage={"log": {"claimTemplate": {"size": "16Mi", "storageClassName": absent}}}
    )
    namespace.apply(job)
    found = until_told(namespace, "claims", "CoordinatorReady", "ClaimPending", f'"{absent}" not found')
    with storage_class(namespace.cluster, absent):
        expect_oracle(namespace, job, tmp_path)
        clusterjobs.delete_and_check(namespace, found)


def test_a_quota_that_is_too_small_is_told_of_in_its_own_words_and_raising_it_is_enough(
    namespace: Namespace, tmp_path: Path
) -> None:
    namespace.apply(quota(pods=1))
    job = clusterjobs.job("quota", texts=["a b a\n"], workers={"replicas": 0})
    namespace.apply(job)
    namespace.until("mapreducejob", "quota", "has its coordinator", holds("CoordinatorReady"))
    namespace.kubectl("scale", "mapreducejob/quota", "--replicas=2")
    found = until_told(namespace, "quota", "WorkersReady", "QuotaExceeded", "used: pods=1, limited: pods=1")
    message = condition(found, "WorkersReady")["message"]
    assert "0 of 2 are ready" in message
    assert "exceeded quota: small" in message
    namespace.apply(quota(pods=5))
    expect_oracle(namespace, job, tmp_path)


@pytest.mark.full
def test_a_pod_that_fits_nowhere_is_told_of_in_the_schedulers_words_and_goes_on_with_a_node_that_fits(
    namespace: Namespace, tmp_path: Path
) -> None:
    label = f"mapreduce.dev/{namespace.name}"
    job = clusterjobs.job(
        "choosy",
        texts=["a b a\n"],
        workers={"replicas": 1, "podTemplate": {"spec": {"nodeSelector": {label: "yes"}}}},
        storage={"shuffle": "Peer"},
    )
    namespace.apply(job)
    until_told(namespace, "choosy", "WorkersReady", "Unschedulable", "didn't match Pod's node affinity/selector")
    node = namespace.cluster.kubectl("get", "nodes", "--output", "jsonpath={.items[-1:].metadata.name}")
    namespace.cluster.kubectl("label", "node", node, f"{label}=yes")
    try:
        expect_oracle(namespace, job, tmp_path)
    finally:
        namespace.cluster.kubectl("label", "node", node, f"{label}-")


def until_told(namespace: Namespace, name: str, kind: str, reason: str, words: str) -> Object:
    """The job as soon as a condition has this reason, with the cluster's words in its message."""

    def is_told(found: Object) -> bool:
        told = condition(found, kind)
        return bool(told.get("reason") == reason and words in told["message"])

    return namespace.until("mapreducejob", name, f"{kind} for {reason}, {words!r}", is_told)


def expect_oracle(namespace: Namespace, manifest: Object, folder: Path) -> None:
    """Waits for the end; the output is the oracle's, nothing was made anew."""
    ended = clusterjobs.await_complete(namespace, manifest["metadata"]["name"])
    assert clusterjobs.parts(read_claim(namespace, "output", "counts")) == clusterjobs.oracle(manifest, folder)
    assert ended["status"]["maps"].get("remade", 0) == 0


def quota(*, pods: int) -> Object:
    """At most so many pods in a namespace."""
    spec = {"hard": {"pods": str(pods)}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": spec}


@contextmanager
def storage_class(cluster: Cluster, name: str) -> Iterator[None]:
    """A class like the default one, for a while."""
    template = '{range .items[?(@.metadata.annotations.storageclass\\.kubernetes\\.io/is-default-class=="true")]}'
    provisioner = cluster.kubectl("get", "storageclasses", "--output", f"jsonpath={template}{{.provisioner}}{{end}}")
    cluster.kubectl(
        "apply",
        "--filename",
        "-",
        given=f"{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {name}}}, "
        f"provisioner: {provisioner}, volumeBindingMode: WaitForFirstConsumer}}",
    )
    try:
        yield
    finally:
        cluster.kubectl("delete", "storageclass", name)
