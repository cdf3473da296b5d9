"""What kind, the nodes' network and the probes are told: text from facts, nothing else. YAML is written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

POD_RANGE: Final = "198.18.16.0/20"
SERVICE_RANGE: Final = "198.18.32.0/20"
"""From the range for benchmarks (RFC 2544): collides with no real network, and nothing leaks."""
PROBE_NAMESPACE: Final = "mapreduce-probe"
_LOST_AFTER_S: Final = 16
"""A node that says nothing is NotReady after this time (Kubernetes' default: 50 s), so that a test can wait for it."""
_EVICTED_AFTER_S: Final = 30
"""Pods of a lost node are deleted after this time (default: 300 s), for the same reason."""


def kind_config(nodes: int, *, is_own_image: bool) -> str:
    """A cluster of one control plane and `nodes` - 1 workers.

    With the node image made here there is no default network plugin, and the kubelet is told to bear with cgroup v1 and
    with system settings that may not be changed.
    """
    networking: dict[str, Any] = {"apiServerAddress": "127.0.0.1"}
    kubelet: dict[str, Any] = {"kind": "KubeletConfiguration", "nodeStatusUpdateFrequency": "4s"}
    patches: list[dict[str, Any]] = [
        kubelet,
        {
            "kind": "ClusterConfiguration",
            "apiServer": {
                "extraArgs": {
                    "default-not-ready-toleration-seconds": str(_EVICTED_AFTER_S),
                    "default-unreachable-toleration-seconds": str(_EVICTED_AFTER_S),
                }
            },
            "controllerManager": {"extraArgs": {"node-monitor-grace-period": f"{_LOST_AFTER_S}s"}},
            "etcd": {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}},
        },
    ]
    if is_own_image:
        networking |= {
            "disableDefaultCNI": True,
            "ipFamily": "ipv4",
            "podSubnet": POD_RANGE,
            "serviceSubnet": SERVICE_RANGE,
        }
        kubelet |= {"failCgroupV1": False, "featureGates": {"KubeletInUserNamespace": True}}
        patches.append({"kind": "KubeProxyConfiguration", "conntrack": {"maxPerCore": 0}})
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": networking,
            "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(nodes - 1))],
            "kubeadmConfigPatches": [json.dumps(patch) for patch in patches],
        },
        indent=1,
    )


def network_plugin(pod_range: str) -> str:
    """The network of one node's pods: a bridge, addresses from the node's range, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,  # what leaves the cluster is masked by the node, see `masquerade`
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pod_range}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]})


def routes(node: str, addresses: Mapping[str, str], pod_ranges: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Commands, run in `node`, that lead to the pods of every other node; repeating them changes nothing."""
    return [
        ("ip", "route", "replace", pod_ranges[other], "via", addresses[other])
        for other in sorted(addresses)
        if other != node
    ]


def masquerade() -> str:
    """A shell line for a node: what its pods send out of the cluster comes from the node's own address."""
    rule = f"POSTROUTING -s {POD_RANGE} ! -d {POD_RANGE} ! -o cni0 -j MASQUERADE"
    return f"iptables -t nat -C {rule} 2>/dev/null || iptables -t nat -A {rule}"


def probe_manifest(nodes: list[str], image: str, claiming: str) -> str:
    """One pod a node that ends when a name resolves; the one on `claiming` mounts a claim of the default class."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "probe", "namespace": PROBE_NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROBE_NAMESPACE}}
    pods = [_probe_pod(node, image, claims=node == claiming) for node in nodes]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, claim, *pods]})


def _probe_pod(node: str, image: str, *, claims: bool) -> dict[str, Any]:
    name = "kubernetes.default.svc.cluster.local"
    # Debian has getent, busybox nslookup.
    looks_up = f"until getent hosts {name} || nslookup {name}; do sleep 0.3; done"
    script = f"echo ok > /claim/probe && {looks_up}" if claims else looks_up
    container: dict[str, Any] = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
    }
    spec: dict[str, Any] = {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 0,
        # By label and not by nodeName: a claim of a class that waits for its consumer binds only by the scheduler.
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }
    if claims:
        container["volumeMounts"] = [{"name": "claim", "mountPath": "/claim"}]
        spec["volumes"] = [{"name": "claim", "persistentVolumeClaim": {"claimName": "probe"}}]
    metadata = {"name": f"probe-{node}", "namespace": PROBE_NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
