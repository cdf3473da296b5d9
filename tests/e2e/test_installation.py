"""The chart on a real cluster: its own test, its removal under a job at work, another release over what stayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.nodes import Cluster
from tests.support import clusterjobs, operatorrelease
from tests.support.claimfiles import claim, read_claim
from tests.support.gatedjobs import Stage
from tests.support.kubecalls import WITHIN_S, Namespace, Object

DEFINITION = "mapreducejobs.mapreduce.dev"
SECOND = "second"
IN_NAMESPACE = ("--namespace", operatorrelease.NAMESPACE)


@pytest.fixture
def second_release(operator: Cluster, images: str) -> Iterator[Namespace]:
    """The namespace of another release, which a test installs; behind the test the usual one is there again."""
    namespace = Namespace(operator, f"{operatorrelease.NAMESPACE}-{SECOND}")
    yield namespace
    helm(operator, "uninstall", SECOND, "--namespace", namespace.name, "--ignore-not-found", "--wait")
    operator.kubectl("delete", "namespace", namespace.name, "--ignore-not-found", "--wait=false")
    install(operator, images)


@pytest.mark.parametrize("major", [pytest.param(3, marks=pytest.mark.full), 4])
def test_helm_test_passes(operator: Cluster, major: int) -> None:
    said = helm(operator, "test", operatorrelease.RELEASE, *IN_NAMESPACE, "--logs", major=major)
    assert "Phase:          Succeeded" in said
    assert "The test job ran. Everything works." in said
    left = Namespace(operator, operatorrelease.NAMESPACE).listed("mapreducejobs,persistentvolumeclaims")
    assert [one["metadata"]["name"] for one in left if "deletionTimestamp" not in one["metadata"]] == []


def test_jobs_outlive_the_chart_and_another_release_over_the_kept_definition_takes_them_up(
    stage: Stage, second_release: Namespace, images: str, tmp_path: Path
) -> None:
    cluster = stage.namespace.cluster
    adopt_definition(cluster, images)
    job = stage.start("outlives", "Peer", "map-begin")
    job.until_at("map-end", 2)
    uid_before = definition(cluster)["metadata"]["uid"]
    helm(cluster, "uninstall", operatorrelease.RELEASE, *IN_NAMESPACE, "--wait")
    kept = definition(cluster)["metadata"]
    assert (kept["uid"], "deletionTimestamp" in kept) == (uid_before, False)
    job.open("all")
    (batch,) = stage.namespace.listed("jobs.batch", clusterjobs.labels_of(job.found()))
    stage.namespace.until("jobs.batch", batch["metadata"]["name"], "has ended", is_complete)
    assert "completionTime" not in job.found()["status"]  # nobody is there to say so
    install(cluster, images, SECOND, second_release.name)
    ended = job.check_complete(tmp_path)
    job.check_begun_once()
    assert definition(cluster)["metadata"]["annotations"]["meta.helm.sh/release-name"] == operatorrelease.RELEASE
    clusterjobs.delete_and_check(stage.namespace, ended)


@pytest.mark.full
def test_a_job_with_runs_on_a_given_claim_is_deleted_once_there_is_an_operator_again(namespace: Namespace) -> None:
    manifest = clusterjobs.job("waits", texts=["a b a\n"], storage={"shuffle": "Shared", "log": {"claimName": "logs"}})
    namespace.apply(claim("logs"), manifest)
    ended = clusterjobs.await_complete(namespace, "waits")
    with operatorrelease.without_operator(namespace.cluster):
        namespace.kubectl("delete", "mapreducejob", "waits", "--wait=false")
        assert "deletionTimestamp" in namespace.get("mapreducejob", "waits")["metadata"]
    clusterjobs.delete_and_check(namespace, ended)
    assert read_claim(namespace, "logs", "") == {}


def is_complete(batch: Object) -> bool:
    """Whether workers ended well and none runs any more."""
    return bool(batch["status"].get("succeeded", 0) >= 1 and not batch["status"].get("active", 0))


def definition(cluster: Cluster) -> Object:
    """The CustomResourceDefinition of jobs."""
    return Namespace(cluster, "default").get("customresourcedefinition", DEFINITION)


def adopt_definition(cluster: Cluster, images: str) -> None:
    """Makes the definition part of the usual release, as it is where the chart itself installed it."""
    notes = {"release-name": operatorrelease.RELEASE, "release-namespace": operatorrelease.NAMESPACE}
    words = [f"meta.helm.sh/{name}={value}" for name, value in notes.items()]
    cluster.kubectl("annotate", "--overwrite", "customresourcedefinition", DEFINITION, *words)
    cluster.kubectl("label", "--overwrite", "customresourcedefinition", DEFINITION, "app.kubernetes.io/managed-by=Helm")
    install(cluster, images)
    assert f"name: {DEFINITION}\n" in helm(cluster, "get", "manifest", operatorrelease.RELEASE, *IN_NAMESPACE)


def install(
    cluster: Cluster, images: str, release: str = operatorrelease.RELEASE, namespace: str = operatorrelease.NAMESPACE
) -> None:
    """Installs a release, or brings it up to date."""
    values = operatorrelease.beside_control_plane(cluster)
    operatorrelease.install(cluster, images, values=values, release=release, namespace=namespace)


def helm(cluster: Cluster, *args: str, major: int = 4) -> str:
    """What Helm says of this cluster."""
    return operatorrelease.helm(*args, kubeconfig=cluster.kubeconfig, major=major, timeout_s=WITHIN_S)
