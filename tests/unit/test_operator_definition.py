"""An operator over an older definition says which fields it lacks; the definition of its own release lacks none."""

from __future__ import annotations

import copy

from mapreduce_operator import definition
from mapreduce_operator.crd.resource import object_schema


def test_the_definition_of_this_release_lacks_nothing() -> None:
    assert definition.missing_fields(object_schema(), object_schema()) == []


def test_fields_that_an_older_definition_lacks_are_named_by_path() -> None:
    older = copy.deepcopy(object_schema())
    del older["properties"]["status"]["properties"]["counters"]
    del older["properties"]["spec"]["properties"]["workers"]["properties"]["slots"]
    del older["properties"]["spec"]["properties"]["inputs"]["items"]["properties"]["encoding"]
    missing = definition.missing_fields(older, object_schema())
    assert sorted(missing) == ["spec.inputs[].encoding", "spec.workers.slots", "status.counters"]


def test_a_job_is_found_in_what_the_api_server_publishes() -> None:
    kind = {"group": "mapreduce.dev", "version": "v1alpha1", "kind": "MapReduceJob"}
    schema = {"x-kubernetes-group-version-kind": [kind], "properties": {}}
    assert definition.published({"components": {"schemas": {"a": {}, "b": schema}}}) == schema
    assert definition.published({"components": {"schemas": {"a": {}}}}) is None
    assert definition.published({}) is None
