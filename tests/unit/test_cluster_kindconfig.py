"""What kind, the nodes' networks and the probes are told."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from cluster import kindconfig
from cluster.kubeconfigs import kubeconfig

ADDRESSES = {"a": "198.19.0.2", "b": "198.19.0.3", "c": "198.19.0.4"}
RANGES = {"a": "198.18.16.0/24", "b": "198.18.17.0/24", "c": "198.18.18.0/24"}


def _patches(config: str) -> dict[str, Any]:
    patches = [json.loads(patch) for patch in json.loads(config)["kubeadmConfigPatches"]]
    return {patch["kind"]: patch for patch in patches}


def test_the_first_node_is_the_control_plane_and_all_others_are_workers() -> None:
    config = json.loads(kindconfig.kind_config(3, is_own_image=True))
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]


def test_one_node_is_a_cluster_too() -> None:
    assert len(json.loads(kindconfig.kind_config(1, is_own_image=True))["nodes"]) == 1


def test_an_own_image_has_no_default_network_and_bears_with_an_old_machine() -> None:
    config = kindconfig.kind_config(2, is_own_image=True)
    assert json.loads(config)["networking"]["disableDefaultCNI"] is True
    assert _patches(config)["KubeletConfiguration"]["failCgroupV1"] is False


def test_the_public_image_keeps_its_own_network_and_kubelet() -> None:
    config = kindconfig.kind_config(2, is_own_image=False)
    assert json.loads(config)["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert "failCgroupV1" not in _patches(config)["KubeletConfiguration"]


def test_a_lost_node_is_noticed_equally_soon_on_both() -> None:
    own, public = (_patches(kindconfig.kind_config(2, is_own_image=own)) for own in (True, False))
    assert own["ClusterConfiguration"] == public["ClusterConfiguration"]


def test_all_addresses_are_from_the_range_that_no_real_network_uses() -> None:
    reserved = ipaddress.ip_network("198.18.0.0/15")
    pods, services = ipaddress.ip_network(kindconfig.POD_RANGE), ipaddress.ip_network(kindconfig.SERVICE_RANGE)
    for used in (pods, services):
        assert isinstance(used, ipaddress.IPv4Network)
        assert used.subnet_of(reserved)  # type: ignore[arg-type] # the stub does not know that both are IPv4
    assert not pods.overlaps(services)


def test_every_node_has_a_route_to_the_pods_of_each_other_node_and_none_to_its_own() -> None:
    assert kindconfig.routes("b", ADDRESSES, RANGES) == [
        ("ip", "route", "replace", "198.18.16.0/24", "via", "198.19.0.2"),
        ("ip", "route", "replace", "198.18.18.0/24", "via", "198.19.0.4"),
    ]


def test_a_killed_node_gets_no_route() -> None:
    running = {"a": ADDRESSES["a"], "b": ADDRESSES["b"]}
    assert len(kindconfig.routes("a", running, RANGES)) == 1


def test_pods_get_their_addresses_from_their_nodes_range() -> None:
    plugin = json.loads(kindconfig.network_plugin("198.18.17.0/24"))
    assert plugin["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "198.18.17.0/24"}]]


def test_masking_is_added_once_and_never_between_pods() -> None:
    line = kindconfig.masquerade()
    assert line.index("-C POSTROUTING") < line.index("|| iptables -t nat -A POSTROUTING")
    assert f"! -d {kindconfig.POD_RANGE}" in line


def test_every_node_is_probed_and_one_mounts_a_claim() -> None:
    items = json.loads(kindconfig.probe_manifest(["a", "b"], "image", claiming="b"))["items"]
    pods = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "Pod"}
    assert pods.keys() == {"probe-a", "probe-b"}
    assert "volumes" in pods["probe-b"]
    assert "volumes" not in pods["probe-a"]
    assert all("nodeName" not in spec for spec in pods.values())


def test_a_kubeconfig_names_server_authority_and_token() -> None:
    config = json.loads(kubeconfig("https://127.0.0.1:1", b"pem", "secret"))
    assert config["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:1",
        "certificate-authority-data": "cGVt",
    }
    assert config["users"][0]["user"] == {"token": "secret"}
