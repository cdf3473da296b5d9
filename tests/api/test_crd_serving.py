"""What a real API server makes of the resource: subresources, columns, selectors, explanations."""

from __future__ import annotations

from tests.support.kubeapi import KubeApi


def test_the_server_accepts_the_definition_and_its_rules(api: KubeApi) -> None:
    definition = api.get("customresourcedefinitions", "", "mapreducejobs.mapreduce.dev")
    assert definition is not None
    conditions = {found["type"]: found["status"] for found in definition["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
