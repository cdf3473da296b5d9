"""What a tenant may say about pods: merged like Kubernetes does, and never over what the operator sets."""

from __future__ import annotations

from typing import Any

import pytest

from mapreduce.errors import InvalidJobSpec
from mapreduce_operator.manifests import coordinator, quantities, templates, workers
from tests.support.operatorjobs import job, manifests
from tests.support.podsecurity import Raw, containers, violations

FIELD = "spec.workers.podTemplate"


def _rendered(template: Raw) -> Raw:
    made: Raw = workers.batch_job(manifests(workers={"podTemplate": template}), replicas=1, is_suspended=False)
    return dict(made["spec"]["template"])


def _container(template: Raw, name: str) -> Raw:
    return next(one for one in containers(template) if one["name"] == name)


def _claims(template: Raw) -> list[Raw]:
    return [one for one in template["spec"]["volumes"] if "persistentVolumeClaim" in one]


def _pod(**spec: Any) -> Raw:
    return {"spec": spec}


def _refused(template: Raw) -> str:
    with pytest.raises(InvalidJobSpec) as refused:
        templates.check(template, FIELD)
    return refused.value.field


# ------------------------------------------------------------------------------------------------------ what is merged


def test_resources_of_a_container_of_ours_are_the_jobs_where_it_gives_them() -> None:
    limits = {"memory": "7Gi", "example.com/gpu": "1"}
    rendered = _rendered(_pod(containers=[{"name": "executor", "resources": {"limits": limits}}]))
    resources = _container(rendered, "executor")["resources"]
    assert resources["limits"]["memory"] == "7Gi"
    assert resources["limits"]["example.com/gpu"] == "1"
    assert resources["limits"]["cpu"] == "1"


def test_a_limit_below_our_request_lowers_the_request_and_a_request_above_our_limit_raises_the_limit() -> None:
    ours = {"requests": {"memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    assert quantities.merged(ours, {"limits": {"memory": "100Mi"}})["requests"] == {"memory": "100Mi"}
    assert quantities.merged(ours, {"requests": {"memory": "3Gi"}})["limits"] == {"memory": "3Gi"}


@pytest.mark.parametrize(
    ("text", "value"), [("500m", "0.5"), ("1Ki", "1024"), ("2", "2"), ("1e3", "1000"), ("1.5G", "1500000000")]
)
def test_quantities_are_compared_as_numbers(text: str, value: str) -> None:
    assert quantities.value(text) == quantities.value(value)


def test_what_is_no_quantity_is_left_to_the_api_server() -> None:
    assert quantities.value("lots") is None
    assert quantities.merged({}, {"limits": {"memory": "lots"}})["limits"] == {"memory": "lots"}


def test_placement_is_the_jobs() -> None:
    rendered = _rendered(
        _pod(
            nodeSelector={"disk": "fast"},
            priorityClassName="low",
            tolerations=[{"key": "spot", "operator": "Exists"}],
            imagePullSecrets=[{"name": "mine"}],
        )
    )["spec"]
    assert rendered["nodeSelector"] == {"disk": "fast"}
    assert rendered["priorityClassName"] == "low"
    assert [one["key"] for one in rendered["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "spot",
    ]
    assert rendered["imagePullSecrets"] == [{"name": "mine"}]


def test_affinity_of_the_job_and_ours_hold_together() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}}
    template = _pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    made = workers.batch_job(
        manifests(single_node=True, workers={"podTemplate": template}), replicas=1, is_suspended=False
    )
    terms = made["spec"]["template"]["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert [one["topologyKey"] for one in terms] == ["zone", "kubernetes.io/hostname"]


def test_the_jobs_code_gets_the_jobs_variables_and_volumes() -> None:
    executor = {
        "name": "executor",
        "env": [{"name": "MODE", "value": "fast"}, {"name": "HOME", "value": "/root"}],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    rendered = _rendered(_pod(containers=[executor], volumes=volumes))
    container = _container(rendered, "executor")
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["MODE"] == "fast"
    assert variables["HOME"] == "/tmp", "ours goes first"
    assert "/models" in {one["mountPath"] for one in container["volumeMounts"]}
    assert "models" in {one["name"] for one in rendered["spec"]["volumes"]}


@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_claim_is_one_volume_of_the_pod_however_often_it_is_named(is_read_only: bool) -> None:
    source = {"claimName": "results", "readOnly": is_read_only}
    volumes = [{"name": name, "persistentVolumeClaim": source} for name in ("mine", "again")]
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": "models"}} for name in ("models", "more")]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("mine", "again", "models", "more")]
    rendered = _rendered(_pod(volumes=volumes, containers=[{"name": "executor", "volumeMounts": mounts}]))
    claims = [one["persistentVolumeClaim"]["claimName"] for one in _claims(rendered)]
    assert sorted(claims) == sorted(set(claims))
    names = {one["persistentVolumeClaim"]["claimName"]: one["name"] for one in _claims(rendered)}
    seen = {one["mountPath"]: one for one in _container(rendered, "executor")["volumeMounts"]}
    assert {seen[path]["name"] for path in ("/mine", "/again")} == {names["results"]}
    assert {seen[path]["name"] for path in ("/models", "/more")} == {names["models"]}
    assert bool(seen["/mine"].get("readOnly")) is is_read_only


def test_containers_of_the_jobs_own_are_held_to_our_security() -> None:
    sidecar = {
        "name": "proxy",
        "image": "proxy:1",
        "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["SYS_ADMIN"]}},
    }
    first = {"name": "fetch", "image": "curl", "securityContext": {"allowPrivilegeEscalation": True}}
    rendered = _rendered(_pod(containers=[sidecar], initContainers=[first]))
    assert violations(rendered) == []
    for name in ("proxy", "fetch"):
        assert _container(rendered, name)["securityContext"]["runAsUser"] == 10_002, "not the user id of token holders"


def test_security_contexts_of_the_job_are_not_taken() -> None:
    rendered = _rendered(
        _pod(
            securityContext={"runAsUser": 0, "sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
            containers=[
                {"name": "agent", "securityContext": {"privileged": True}},
                {"name": "executor", "securityContext": {"runAsNonRoot": False}},
            ],
        )
    )
    assert violations(rendered) == []
    assert rendered["spec"]["securityContext"]["runAsUser"] == 10_001


def test_labels_of_the_job_are_added() -> None:
    rendered = _rendered({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}})
    assert rendered["metadata"]["labels"]["team"] == "a"
    assert rendered["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
    assert rendered["metadata"]["annotations"] == {"note": "b"}


# ------------------------------------------------------------------------------------------------------ what is refused

POD_FIELDS: Raw = {
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "hostUsers": True,
    "shareProcessNamespace": True,
    "automountServiceAccountToken": True,
    "serviceAccountName": "admin",
    "serviceAccount": "admin",
    "enableServiceLinks": True,
    "ephemeralContainers": [{"name": "debug"}],
    "nodeName": "node-a",
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 0,
    "activeDeadlineSeconds": 1,
    "hostname": "x",
    "os": {"name": "windows"},
}


@pytest.mark.parametrize("field", POD_FIELDS)
def test_a_field_of_the_pod_that_could_loosen_anything_is_refused_by_name(field: str) -> None:
    assert _refused(_pod(**{field: POD_FIELDS[field]})) == f"{FIELD}.spec.{field}"


@pytest.mark.parametrize(
    "volume",
    [
        {"hostPath": {"path": "/"}},
        {"nfs": {"server": "a", "path": "/"}},
        {"iscsi": {}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"projected": {"sources": [{"secret": {"name": "mr-count-0a1b2c3d-admin"}}]}},
        {"secret": {"secretName": "mr-count-0a1b2c3d-worker"}},
        {"persistentVolumeClaim": {"claimName": "mr-count-0a1b2c3d-log"}},
        {"csi": {"driver": "x", "nodePublishSecretRef": {"name": "mr-other-0a1b2c3d-admin"}}},
    ],
)
def test_a_volume_of_the_host_or_with_tokens_is_refused(volume: Raw) -> None:
    assert _refused(_pod(volumes=[{"name": "mine", **volume}])).startswith(f"{FIELD}.spec.volumes[0]")


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize("name", ["executor", "mine"])
@pytest.mark.parametrize(
    "fields",
    [
        {"volumeMounts": [{"name": "mr-tokens", "mountPath": "/x"}]},
        {"volumeMounts": [{"name": "mr-claim-0", "mountPath": "/x"}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/mr/tokens"}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/"}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/x/../mr"}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/proc/x"}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/x", "mountPropagation": "Bidirectional"}]},
        {"volumeDevices": [{"name": "own", "devicePath": "/dev/x"}]},
        {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "mr-a-0a1b2c3d-admin", "key": "token"}}}]},
        {"envFrom": [{"secretRef": {"name": "mr-a-0a1b2c3d-worker"}}]},
        {"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}},
        {"stdin": True},
    ],
)
def test_no_container_gets_at_tokens_or_the_host(kind: str, name: str, fields: Raw) -> None:
    assert _refused(_pod(**{kind: [{"name": name, **fields}]})).startswith(f"{FIELD}.spec.{kind}[0]")


@pytest.mark.parametrize("name", ["agent", "coordinator"])
@pytest.mark.parametrize(
    "fields",
    [
        {"image": "mine"},
        {"command": ["sh"]},
        {"args": ["--help"]},
        {"env": [{"name": "PYTHONPATH", "value": "/x"}]},
        {"env": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
        {"envFrom": [{"configMapRef": {"name": "x"}}]},
        {"volumeMounts": [{"name": "own", "mountPath": "/usr/lib/python3"}]},
        {"livenessProbe": {"exec": {"command": ["cat", "/mr/tokens/worker"]}}},
        {"workingDir": "/x"},
    ],
)
def test_nothing_can_be_run_in_a_container_that_holds_a_token(name: str, fields: Raw) -> None:
    assert _refused(_pod(containers=[{"name": name, **fields}])).startswith(f"{FIELD}.spec.containers[0]")


def test_a_container_that_holds_a_token_may_go_through_a_proxy() -> None:
    template = _pod(containers=[{"name": "agent", "env": [{"name": "HTTPS_PROXY", "value": "http://p"}]}])
    templates.check(template, FIELD)
    assert "HTTPS_PROXY" in {one["name"] for one in _container(_rendered(template), "agent")["env"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"ports": [{"containerPort": 80, "hostPort": 80}]},
        {"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 80}}},
    ],
)
def test_a_container_of_the_jobs_own_gets_no_port_or_address_of_the_host(fields: Raw) -> None:
    _refused(_pod(containers=[{"name": "mine", "image": "x", **fields}]))


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"mapreduce.dev/job-uid": "other"}},
        {"labels": {"app.kubernetes.io/component": "coordinator"}},
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/agent": "unconfined"}},
        {"finalizers": ["x/y"]},
        {"name": "x"},
    ],
)
def test_metadata_that_means_something_to_us_or_to_the_kernel_is_refused(metadata: Raw) -> None:
    _refused({"metadata": metadata})


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"containers": {"name": "x"}}},
        {"spec": {"containers": ["x"]}},
        {"spec": {"containers": [{}]}},
        {"spec": {"volumes": "x"}},
        {"spec": []},
        {"metadata": {"labels": ["x"]}},
        {"status": {}},
    ],
)
def test_a_template_of_a_wrong_shape_is_refused_in_words(template: Raw) -> None:
    _refused(template)


def test_a_refused_template_is_the_jobs_problem_and_names_the_field() -> None:
    problem = job(coordinator={"podTemplate": _pod(hostNetwork=True)}).problem
    assert problem.startswith("spec.coordinator.podTemplate.spec.hostNetwork: may not be set")


def test_a_token_holders_container_cannot_be_smuggled_in_as_one_of_the_jobs_own() -> None:
    """A container named like one of ours in the other kind of pod is dropped, not run with our name."""
    template = _pod(containers=[{"name": "agent", "resources": {}}])
    made = coordinator.stateful_set(manifests(coordinator={"podTemplate": template}))
    names = [one["name"] for one in containers(made["spec"]["template"])]
    assert names == ["describe", "coordinator"]
