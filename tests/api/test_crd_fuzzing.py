"""Names and specifications at their limits (row K14): the API server accepts what the engine can run, and nothing else.

So a job that was accepted never fails by a specification that the coordinator then does not understand.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapreduce_operator.naming import Names
from tests.support.crdfuzzing import GOOD_SPECS, changed_specs, is_tighter_in_a_cluster, model_problem
from tests.support.crdjobs import job
from tests.support.kubeapi import ApiRefused, KubeApi, path_of

FUZZING = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], database=None
)
LABELS = st.text("az09-", min_size=1, max_size=70)
JOB_NAMES = st.one_of(
    st.lists(LABELS, min_size=1, max_size=3).map(".".join), st.integers(1, 64).map(lambda size: "n" * size)
)


@given(spec=GOOD_SPECS)
@settings(FUZZING, max_examples=150)
def test_what_a_cluster_can_carry_out_is_accepted(api: KubeApi, fuzzed: str, spec: dict[str, Any]) -> None:
    assert _refusal(api, fuzzed, {**job(), "spec": spec}) == ""


@given(spec=changed_specs())
@settings(FUZZING, max_examples=300)
def test_server_and_engine_agree_on_specifications_at_their_limits(
    api: KubeApi, fuzzed: str, spec: dict[str, Any]
) -> None:
    refusal, problem = _refusal(api, fuzzed, {**job(), "spec": spec}), model_problem(spec)
    if not (problem == "" and is_tighter_in_a_cluster(spec)):
        assert bool(refusal) == bool(problem), f"server: {refusal}\nengine: {problem}"


@given(name=JOB_NAMES)
@settings(FUZZING, max_examples=100)
def test_every_name_that_is_accepted_gives_children_names_that_are_accepted(
    api: KubeApi, fuzzed: str, name: str
) -> None:
    if _refusal(api, fuzzed, job(name=name)):
        return
    names = Names(name, "12345678-1234-1234-1234-123456789012")
    service = {"metadata": {"name": names.coordinator, "labels": names.labels("coordinator")}}
    ports = {"spec": {"selector": names.labels("coordinator"), "ports": [{"port": 8080}]}}
    api.create("services", fuzzed, {**service, **ports}, dry_run=True)


def _refusal(api: KubeApi, namespace: str, content: dict[str, Any]) -> str:
    """Why the server does not take an object; empty when it would."""
    try:
        api.ask("POST", f"{path_of('mapreducejobs', namespace)}?dryRun=All&fieldValidation=Strict", content)
    except ApiRefused as refused:
        if refused.status not in {400, 422}:
            raise
        return refused.message
    return ""


@pytest.fixture(scope="module")
def fuzzed(api: KubeApi) -> str:
    """One namespace will do, as nothing is kept."""
    api.create("namespaces", "", {"metadata": {"name": "fuzzed"}})
    return "fuzzed"
