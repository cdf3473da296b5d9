"""Gives a service account exactly the rights that the chart gives to the operator, and a token for it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support.kubeapi import ApiRefused, KubeApi, Object, path_of
from tests.support.tree import ROOT

ACCOUNT = "mapreduce-operator"
_RULES = ROOT / "charts" / "mapreduce-operator" / "templates" / "_rules.tpl"
_GROUP = "rbac.authorization.k8s.io"


def chart_rules(name: str) -> list[dict[str, Any]]:
    """One list of rules as the chart has it: plain YAML within a definition."""
    found = re.search(
        rf'define "mapreduce-operator\.{name}" -\}}\}}(.*?)\{{\{{- end', _RULES.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None, f"the chart has no {name}"
    rules: list[dict[str, Any]] = yaml.safe_load(found[1])
    return rules


def give_operator_rights(api: KubeApi, namespace: str) -> str:
    """Makes the operator's namespace, account and roles, for jobs in all namespaces; a token of the account."""
    _ensure(api, "namespaces", "", {"metadata": {"name": namespace}})
    _ensure(api, "serviceaccounts", namespace, {"metadata": {"name": ACCOUNT}})
    everywhere = {"metadata": {"name": ACCOUNT}, "rules": [*chart_rules("jobRules"), *chart_rules("nodeRules")]}
    _ensure(api, "clusterroles", "", everywhere)
    _ensure(api, "clusterrolebindings", "", _binding("ClusterRole", namespace))
    _ensure(api, "roles", namespace, {"metadata": {"name": ACCOUNT}, "rules": chart_rules("leaderRules")})
    _ensure(api, "rolebindings", namespace, _binding("Role", namespace))
    path = path_of("serviceaccounts", namespace, ACCOUNT)
    token: str = api.ask("POST", f"{path}/token", {"spec": {"expirationSeconds": 36_000}})["status"]["token"]
    return token


def _binding(role: str, namespace: str) -> Object:
    return {
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": _GROUP, "kind": role, "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }


def _ensure(api: KubeApi, resource: str, namespace: str, content: Object) -> None:
    try:
        api.create(resource, namespace, content)
    except ApiRefused as refused:
        if refused.status != 409:
            raise
