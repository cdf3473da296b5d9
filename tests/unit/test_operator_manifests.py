"""What is made for a job: names, pods, mounts, tokens, security."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mapreduce_cli.cluster.reader import Mount, Wanted, pod_manifest
from mapreduce_operator.manifests import (
    cleanup,
    coordinator,
    networkpolicy,
    secrets,
    snapshot,
    storage,
    workers,
)
from mapreduce_operator.naming import OPERATOR_LABELS, Names
from mapreduce_operator.settings import Settings
from tests.support.operatorjobs import CODE, UID, job_spec, manifests
from tests.support.podsecurity import Raw, containers, unbounded, violations

VARIANTS: dict[str, Raw] = {
    "shared": {},
    "peer": {"storage": {"shuffle": "Peer"}},
    "given claims": {"storage": {"log": {"claimName": "logs"}, "runs": {"claimName": "fast"}}},
    "everything": {
        "code": {"volumePath": "pvc://code/wc.py"},
        "inputs": [
            {"uri": "pvc://texts/a"},
            {"uri": "configmap://words/list"},
            {"uri": "https://example.org/x", "secretRef": {"name": "login"}},
            {"inline": "a b"},
        ],
        "output": {"uri": "pvc://texts/out", "claimTemplate": {"size": "2Gi"}},
        "storage": {"runs": {"claimTemplate": {"size": "5Gi", "accessMode": "ReadWriteMany"}}},
        "image": "python:3.12",
        "imagePullSecrets": [{"name": "registry"}],
        "workers": {"replicas": 3, "slots": 4},
    },
}


def _template(manifest: Raw) -> Raw:
    template: Raw = manifest["spec"]["template"]
    return template


def _pods(**options: Any) -> dict[str, Raw]:
    job = manifests(**options)
    return {
        "coordinator": _template(coordinator.stateful_set(job)),
        "workers": _template(workers.batch_job(job, replicas=2, is_suspended=False)),
        "cleanup": _template(cleanup.batch_job(job, ("logs",), 60, has_output=True)),
    }


def _mounts(container: Raw) -> dict[str, Raw]:
    return {one["mountPath"]: one for one in container["volumeMounts"]}


def _container(template: Raw, name: str) -> Raw:
    return next(one for one in containers(template) if one["name"] == name)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["coordinator", "workers", "cleanup"])
def test_every_pod_meets_pod_security_restricted_and_has_limits(variant: str, kind: str) -> None:
    template = _pods(**VARIANTS[variant])[kind]
    assert violations(template) == []
    assert unbounded(template) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_mount_has_its_volume_and_every_volume_is_mounted(variant: str) -> None:
    for kind, template in _pods(**VARIANTS[variant]).items():
        there = {one["name"] for one in template["spec"]["volumes"]}
        mounted = {one["name"] for container in containers(template) for one in container["volumeMounts"]}
        assert mounted == there, kind


def test_what_runs_the_jobs_code_has_neither_token_nor_the_user_id_of_those_that_have() -> None:
    for template, name in ((_pods()["workers"], "executor"), (_pods()["coordinator"], "describe")):
        container = _container(template, name)
        assert container["securityContext"]["runAsUser"] == 10_002
        assert "/mr/tokens" not in _mounts(container)
    agent = _container(_pods()["workers"], "agent")
    assert agent["securityContext"]["runAsUser"] == 10_001


def test_a_workers_pod_mounts_the_token_to_join_and_no_other() -> None:
    volumes = {one["name"]: one for one in _pods()["workers"]["spec"]["volumes"]}
    names = Names("count", UID)
    assert volumes["mr-tokens"]["secret"]["secretName"] == names.worker_secret
    assert names.admin_secret not in json.dumps(_pods()["workers"])


PLACEMENT: Raw = {
    "nodeSelector": {"pool": "batch"},
    "runtimeClassName": "gvisor",
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
            }
        },
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
            ]
        },
    },
}
PLACED_NEAR_NODES: Raw = {**PLACEMENT, "affinity": {"nodeAffinity": PLACEMENT["affinity"]["nodeAffinity"]}}


def _without_default_tolerations(spec: Raw) -> Raw:
    usual = "node.kubernetes.io/"
    kept = [one for one in spec.get("tolerations", ()) if not one["key"].startswith(usual)]
    return {name: spec[name] for name in PLACEMENT} | {"tolerations": kept}


def test_the_clean_up_goes_where_the_coordinator_may_without_pods_that_are_gone() -> None:
    template = {"spec": {**PLACEMENT, "containers": [{"name": "coordinator", "resources": {}}]}}
    clean_up = _pods(coordinator={"podTemplate": template})["cleanup"]
    assert _without_default_tolerations(clean_up["spec"]) == PLACED_NEAR_NODES
    assert [one["name"] for one in clean_up["spec"]["containers"]] == ["cleanup"]
    assert len(clean_up["spec"]["tolerations"]) == 3
    assert violations(clean_up) == []


def test_the_pod_that_reads_what_is_left_goes_there_too() -> None:
    wanted = Wanted("worker:1", output=Mount("results", "count"), template={"spec": PLACEMENT})
    assert _without_default_tolerations(pod_manifest("mr-reader-1", wanted, "0" * 64)["spec"]) == PLACED_NEAR_NODES
    plain = pod_manifest("mr-reader-1", Wanted("worker:1", output=Mount("results", "count")), "0" * 64)
    assert plain["spec"].keys().isdisjoint(PLACEMENT)


def test_only_the_jobs_code_runs_in_the_jobs_image() -> None:
    images = {
        container["name"]: container["image"]
        for template in _pods(image="mine:1").values()
        for container in containers(template)
    }
    assert images == {
        "describe": "mine:1",
        "executor": "mine:1",
        "coordinator": "worker:1",
        "agent": "worker:1",
        "cleanup": "worker:1",
    }


def test_the_executor_is_a_native_sidecar_so_that_it_comes_back_and_does_not_hold_the_pod() -> None:
    template = _pods()["workers"]
    assert [one["name"] for one in template["spec"]["initContainers"]] == ["executor"]
    assert template["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert template["spec"]["restartPolicy"] == "Never"


def test_the_executor_reads_inputs_and_runs_and_writes_only_into_folders_of_its_own() -> None:
    mounts = _mounts(_container(_pods()["workers"], "executor"))
    base = Names("count", UID).base
    assert mounts["/mr/claims/texts"]["readOnly"]
    assert mounts["/mr/runs"]["readOnly"]
    assert mounts["/mr/disk"]["readOnly"]
    assert mounts["/mr/runs-work"]["subPathExpr"] == f"{base}/runs/work/$(POD_NAME)"
    assert mounts["/mr/output-work"]["subPathExpr"] == "count/_mapreduce/work/$(POD_NAME)"
    assert "/mr/claims/results" not in mounts


def test_the_agent_moves_results_and_so_writes_to_runs_and_output() -> None:
    agent = _container(_pods()["workers"], "agent")
    mounts = _mounts(agent)
    assert "readOnly" not in mounts["/mr/runs"]
    assert "readOnly" not in mounts["/mr/claims/results"]
    assert "/mr/claims/texts" not in mounts
    assert "--work=" not in agent["args"]
    assert "/mr/runs-work=/mr/runs/work/$(POD_NAME)" in agent["args"]
    assert "/mr/output-work=/mr/claims/results/count/_mapreduce/work/$(POD_NAME)" in agent["args"]


def test_with_peer_workers_mount_no_claim_at_all() -> None:
    template = _pods(storage={"shuffle": "Peer"})["workers"]
    assert not [one for one in template["spec"]["volumes"] if "persistentVolumeClaim" in one]
    assert _mounts(_container(template, "executor"))["/mr/disk/work"]["subPath"] == "work"


def test_with_peer_the_coordinator_still_reads_inputs_and_writes_the_output() -> None:
    mounts = _mounts(_container(_pods(storage={"shuffle": "Peer"})["coordinator"], "coordinator"))
    assert mounts["/mr/claims/texts"]["readOnly"]
    assert "readOnly" not in mounts["/mr/claims/results"]
    assert "/mr/runs" not in mounts


def test_a_claim_that_is_input_and_output_can_be_written_by_the_coordinator() -> None:
    both = {"inputs": [{"uri": "pvc://data/in"}], "output": {"uri": "pvc://data/out"}}
    mounts = _mounts(_container(_pods(**both)["coordinator"], "coordinator"))
    assert "readOnly" not in mounts["/mr/claims/data"]
    executor = _mounts(_container(_pods(**both)["workers"], "executor"))
    assert executor["/mr/claims/data"]["readOnly"]


def test_secrets_of_inputs_reach_those_that_fetch_and_never_the_jobs_code() -> None:
    pods = _pods(**VARIANTS["everything"])
    for template, name in ((pods["coordinator"], "coordinator"), (pods["workers"], "agent")):
        assert "/mr/secrets/2" in _mounts(_container(template, name))
    for template, name in ((pods["coordinator"], "describe"), (pods["workers"], "executor")):
        assert not [path for path in _mounts(_container(template, name)) if path.startswith("/mr/secrets")]


def test_a_volume_for_one_node_holds_workers_at_the_coordinators_node() -> None:
    job = manifests(single_node=True)
    affinity = _template(workers.batch_job(job, replicas=2, is_suspended=False))["spec"]["affinity"]["podAffinity"]
    term = affinity["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == job.names.selector("coordinator")
    assert "affinity" not in _pods()["workers"]["spec"]


def test_the_coordinator_leaves_a_silent_node_within_seconds() -> None:
    tolerations = _pods()["coordinator"]["spec"]["tolerations"]
    assert {one["key"]: one["tolerationSeconds"] for one in tolerations} == {
        "node.kubernetes.io/not-ready": 10,
        "node.kubernetes.io/unreachable": 10,
    }


def test_the_workers_job_never_gives_up_and_does_not_count_disruptions() -> None:
    spec = workers.batch_job(manifests(), replicas=2, is_suspended=False)["spec"]
    assert spec["backoffLimit"] == 2_147_483_647
    assert "completions" not in spec
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore"


def test_a_newer_operator_does_not_restart_coordinators() -> None:
    assert coordinator.stateful_set(manifests())["spec"]["updateStrategy"] == {"type": "OnDelete"}


@pytest.mark.parametrize("slots", [1, 4])
def test_executors_have_memory_for_every_slot(slots: int) -> None:
    template = _pods(workers={"slots": slots, "memoryLimitBytes": 1 << 30})["workers"]
    limits = _container(template, "executor")["resources"]["limits"]
    assert int(limits["memory"]) == (slots << 30) + (64 << 20)
    assert limits["cpu"] == str(slots)


# --------------------------------------------------------------------------------------------------- names and owners


def test_names_fit_where_kubernetes_puts_them_whatever_the_jobs_name() -> None:
    names = Names("a" * 30 + "." + "b" * 32, UID)
    assert len(names.coordinator) <= 52, "a StatefulSet's name and a hash must fit into a label"
    assert names.base.startswith("mr-" + "a" * 28)
    assert "." not in names.base
    for component in ("coordinator", "worker"):
        labels = names.labels("coordinator" if component == "coordinator" else "worker")
        assert all(len(value) <= 63 for value in labels.values())


def test_two_jobs_of_one_name_share_nothing() -> None:
    first, second = Names("count", UID), Names("count", "ffff" + UID[4:])
    assert first.base != second.base


def test_all_children_belong_to_the_job_but_the_outputs_claim() -> None:
    job = manifests(**VARIANTS["everything"])
    owned = [
        coordinator.service(job),
        coordinator.stateful_set(job),
        workers.batch_job(job, replicas=1, is_suspended=False),
        secrets.admin(job),
        secrets.worker(job),
        snapshot.config_map(job, job_spec(), None),
        networkpolicy.network_policy(job),
    ]
    made = {one["metadata"]["name"]: one for one in storage.claims(job)}
    assert sorted(made) == sorted([job.names.log_claim, job.names.runs_claim, "texts"])
    assert "ownerReferences" not in made.pop("texts")["metadata"]
    for manifest in [*owned, *made.values()]:
        owner = manifest["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (UID, True, True)


def test_tokens_are_three_of_256_bits_and_never_the_same_twice() -> None:
    job = manifests()
    made = [secrets.decoded(secrets.admin(job), "token"), secrets.decoded(secrets.admin(job), "read")]
    made += [secrets.decoded(secrets.worker(job), "token"), secrets.decoded(secrets.worker(job), "token")]
    assert len(set(made)) == 4
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in made)


# ----------------------------------------------------------------------------------------------------------- snapshot


def test_the_snapshot_holds_the_object_and_its_code() -> None:
    manifest = snapshot.config_map(manifests(), job_spec(), None)
    assert manifest["immutable"]
    content = json.loads(manifest["data"]["job.json"])
    assert (content["name"], content["namespace"], content["uid"]) == ("count", "team", UID)
    assert content["spec"] == job_spec()
    assert manifest["data"]["job.py"] == CODE


def test_the_snapshot_holds_the_text_of_a_config_map_as_it_is_then() -> None:
    raw = job_spec(code={"configMapRef": {"name": "code"}})
    manifest = snapshot.config_map(manifests(code=raw["code"]), raw, "def mapper(x): ...")
    assert manifest["data"]["job.py"] == "def mapper(x): ..."
    assert snapshot.read(manifest).code_digest == snapshot.code_digest(raw, "def mapper(x): ...")


def test_what_a_job_may_change_is_not_in_its_digest() -> None:
    before = snapshot.spec_digest(job_spec())
    followed = job_spec(
        suspend=True,
        workers={"replicas": 9},
        activeDeadlineSeconds=5,
        pendingDeadlineSeconds=5,
        ttlSecondsAfterFinished=5,
    )
    assert snapshot.spec_digest(followed) == before
    assert snapshot.spec_digest(job_spec(workers={"replicas": 2, "slots": 3})) != before
    assert snapshot.spec_digest(job_spec(reducers=3)) != before


def test_a_network_policy_lets_in_the_job_the_operator_and_the_api_server_only() -> None:
    settings = Settings(has_network_policies=True, api_server_cidrs=("198.19.0.2/32",))
    policy = networkpolicy.network_policy(manifests(settings=settings))["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    open_ports = [port["port"] for rule in policy["ingress"] if "from" not in rule for port in rule["ports"]]
    assert open_ports == [coordinator.METRICS_PORT]
    from_api_server = {"from": [{"ipBlock": {"cidr": "198.19.0.2/32"}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    assert from_api_server in policy["ingress"]
    (operators,) = (peer for rule in policy["ingress"] for peer in rule.get("from", ()) if "namespaceSelector" in peer)
    assert operators["podSelector"] == {"matchLabels": OPERATOR_LABELS}


def test_a_network_policy_leaves_the_coordinator_to_its_token_where_the_api_server_is_not_named() -> None:
    policy = networkpolicy.network_policy(manifests(settings=Settings(has_network_policies=True)))["spec"]
    assert {"ports": [{"protocol": "TCP", "port": coordinator.PORT}]} in policy["ingress"]
    runs = [
        rule for rule in policy["ingress"] if "from" not in rule and {"protocol": "TCP", "port": 8081} in rule["ports"]
    ]
    assert runs == []
