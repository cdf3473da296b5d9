"""What the operator may do: verb by verb, nothing wild, and exactly what its calls need."""

from __future__ import annotations

import re

import pytest

from mapreduce_operator import kinds, rbac
from mapreduce_operator.rbac import Rule
from tests.support.tree import ROOT

ALL = (*rbac.NAMESPACED, *rbac.CLUSTER, *rbac.OWN_NAMESPACE)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.resource)
def test_nothing_is_wild(rule: Rule) -> None:
    assert "*" not in (rule.group, rule.resource, *rule.verbs)
    assert not set(rule.verbs) & {"escalate", "bind", "impersonate", "deletecollection"}
    assert rule.why


def test_secrets_are_never_listed_and_no_pod_is_entered() -> None:
    by_resource = {rule.resource: rule.verbs for rule in ALL}
    assert set(by_resource["secrets"]) == {"get", "create"}
    assert [name for name in by_resource if name.startswith("pods/")] == ["pods/status"]
    assert by_resource["pods/status"] == ("patch",)
    assert "create" not in by_resource["pods"], "pods come from StatefulSets and Jobs only"


def test_every_kind_that_is_asked_for_has_a_rule() -> None:
    asked = {path.split("/")[-1] for path in map(kinds.path, kinds._PLACES)}
    assert asked == {rule.resource for rule in ALL if "/" not in rule.resource}


def test_nothing_outside_the_cluster_module_knows_verbs_of_http() -> None:
    """So that the list of calls in `cluster` is the whole truth."""
    callers = [
        path.name
        for path in (ROOT / "operator" / "mapreduce_operator").rglob("*.py")
        if re.search(r"\.call\(\s*\"(GET|POST|PUT|PATCH|DELETE)\"", path.read_text())
    ]
    assert sorted(callers) == ["cluster.py", "operating.py"], "operating reads the published definition"
