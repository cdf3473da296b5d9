"""The stand-ins for controllers and kubelets do what those do, as far as tests of the operator rely on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kubeapi import KubeApi, Object
from tests.support.scriptedcluster import ScriptedCluster, ended, running, unschedulable

LABELS = {"app": "x"}


@pytest.fixture
def cluster(api: KubeApi, namespace: str) -> Iterator[ScriptedCluster]:
    cluster = ScriptedCluster(api, namespace)
    pod: Object = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    template = {**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}}
    api.create("jobs", namespace, {"metadata": {"name": "work"}, "spec": {"parallelism": 2, "template": template}})
    spec = {"serviceName": "s", "selector": {"matchLabels": LABELS}, "template": pod}
    api.create("statefulsets", namespace, {"metadata": {"name": "set"}, "spec": spec})
    yield cluster
    for resource, name in (("jobs", "work"), ("statefulsets", "set")):
        api.delete(resource, namespace, name, propagationPolicy="Background")
    cluster.collect_garbage()
    assert not cluster.pods()


def _names(cluster: ScriptedCluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods()]


def _job(cluster: ScriptedCluster) -> Object:
    found = cluster.api.get("jobs", cluster.namespace, "work")
    assert found is not None
    return found


def test_pods_appear_by_the_templates_and_are_counted(cluster: ScriptedCluster) -> None:
    cluster.sync()
    assert _names(cluster) == ["set-0", "work-00001", "work-00002"]
    assert (_job(cluster)["status"]["active"], _job(cluster)["status"]["ready"]) == (2, 2)
    cluster.sync()
    assert len(_names(cluster)) == 3


def test_a_suspended_job_loses_its_pods_and_gets_others_later(cluster: ScriptedCluster) -> None:
    cluster.sync()
    cluster.api.patch("jobs", cluster.namespace, "work", {"spec": {"suspend": True}})
    cluster.sync()
    assert _names(cluster) == ["set-0"]
    cluster.api.patch("jobs", cluster.namespace, "work", {"spec": {"suspend": False}})
    cluster.sync()
    assert _names(cluster) == ["set-0", "work-00003", "work-00004"]


def test_after_the_first_success_a_job_gets_no_more_pods(cluster: ScriptedCluster) -> None:
    cluster.sync()
    cluster.worker = lambda pod: ended(0)(pod) if pod["metadata"]["name"].endswith("1") else running(pod)
    cluster.sync()
    cluster.api.delete("pods", cluster.namespace, "work-00002")
    cluster.sync()
    assert _names(cluster) == ["set-0", "work-00001"]
    assert _job(cluster)["status"]["succeeded"] == 1


def test_a_real_quota_refuses_pods_and_the_owner_gets_the_event(cluster: ScriptedCluster) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}}
    cluster.api.create("resourcequotas", cluster.namespace, quota)
    status = {"status": {"hard": {"pods": "2"}, "used": {"pods": "0"}}}
    cluster.api.patch("resourcequotas", cluster.namespace, "small", status, "status")
    cluster.sync()
    assert len(_names(cluster)) == 2
    (event,) = cluster.api.list("events", cluster.namespace)
    assert event["reason"] == "FailedCreate"
    assert "exceeded quota: small" in event["message"]


def test_what_has_no_living_owner_is_collected(cluster: ScriptedCluster) -> None:
    cluster.sync()
    cluster.api.delete("statefulsets", cluster.namespace, "set", propagationPolicy="Background")
    cluster.collect_garbage()
    assert _names(cluster) == ["work-00001", "work-00002"]


def test_a_job_deleted_without_a_word_leaves_its_pods_behind(cluster: ScriptedCluster) -> None:
    cluster.sync()
    cluster.api.delete("jobs", cluster.namespace, "work")
    cluster.collect_garbage()
    assert "work-00001" in _names(cluster)
    for name in _names(cluster)[1:]:
        cluster.api.delete("pods", cluster.namespace, name)


def test_a_pod_that_fits_nowhere_says_so(cluster: ScriptedCluster) -> None:
    cluster.coordinator = unschedulable("0/3 nodes are available: 3 Insufficient memory.")
    cluster.sync()
    (scheduled,) = cluster.pods("app=x")[0]["status"]["conditions"]
    assert (scheduled["reason"], scheduled["status"]) == ("Unschedulable", "False")
