"""Model and schema agree offline: what the engine would run in a cluster has the shape that the schema asks for.

What the rules of the schema say is asked of a real API server, in `tests/api`.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from tests.support.crdfuzzing import GOOD_SPECS, SPEC, changed_specs, is_tighter_in_a_cluster, model_problem, structural
from tests.support.jsonschema import problems

SCHEMA = structural(SPEC)


@given(GOOD_SPECS)
@settings(max_examples=200, deadline=None)
def test_specifications_for_a_cluster_are_accepted_by_model_and_schema(spec: dict[str, Any]) -> None:
    assert model_problem(spec) == ""
    assert list(problems(spec, SCHEMA, {})) == []


@given(changed_specs())
@settings(max_examples=300, deadline=None)
def test_what_the_schema_refuses_the_model_refuses_too(spec: dict[str, Any]) -> None:
    if list(problems(spec, SCHEMA, {})) and not is_tighter_in_a_cluster(spec):
        assert model_problem(spec)
