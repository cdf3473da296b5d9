"""The NetworkPolicy of one job's pods, where the operator is told to make them. Pure.

Coordinator and workers accept each other and the operator; workers reach each other's run port. People's commands come
through the API server's proxy, whose addresses no selector knows: the settings name them, or the coordinator's port is
open and its token alone guards it. Egress is bounded to DNS, the job's own pods, and what inputs over http(s) need.
"""

from __future__ import annotations

from typing import Any, Final

from mapreduce_operator.manifests import pods
from mapreduce_operator.manifests.coordinator import METRICS_PORT, PORT
from mapreduce_operator.manifests.pods import Job
from mapreduce_operator.manifests.workers import RUNS_PORT
from mapreduce_operator.naming import OPERATOR_LABELS

Raw = dict[str, Any]

#: The operator's pods, in whichever namespace they are.
_OPERATOR: Final = {
    "namespaceSelector": {},
    "podSelector": {"matchLabels": OPERATOR_LABELS},
}


def network_policy(job: Job) -> Raw:
    """The policy. It takes a network plug-in that enforces policies."""
    own = {"podSelector": {"matchLabels": job.names.selector()}}
    ours = [_tcp(PORT), _tcp(RUNS_PORT)]
    fetches = any(source.uri.startswith(("http://", "https://")) for source in job.spec.inputs)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": pods.metadata(job, job.names.base),
        "spec": {
            "podSelector": {"matchLabels": job.names.selector()},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [own], "ports": ours},
                {"from": [_OPERATOR], "ports": [_tcp(PORT)]},
                _from_api_server(job.settings.api_server_cidrs),
                {"ports": [_tcp(METRICS_PORT)]},
            ],
            "egress": [
                {"to": [own], "ports": ours},
                {"ports": [_tcp(53), {"protocol": "UDP", "port": 53}]},
                *([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]}] if fetches else ()),
            ],
        },
    }


def _from_api_server(cidrs: tuple[str, ...]) -> Raw:
    everywhere: Raw = {"ports": [_tcp(PORT)]}
    return {"from": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs], **everywhere} if cidrs else everywhere


def _tcp(port: int) -> Raw:
    return {"protocol": "TCP", "port": port}
