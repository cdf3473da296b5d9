"""The operator killed at each of its API calls in a job's life: the next one ends with the same children (K1).

The call is carried out and its reply never read: what lies between two calls is then covered too, because a new
operator knows nothing but what is in the cluster.
"""

from __future__ import annotations

import pytest

from tests.support.apicalls import Call, LoseReply
from tests.support.apiproxy import ApiProxy
from tests.support.coordinatorstandin import StandIn
from tests.support.kubeapi import KubeApi
from tests.support.operatorfixtures import make_stage
from tests.support.operatorprocess import OperatorProcess
from tests.support.operatorstage import Job, Stage
from tests.support.sampling import IS_EXHAUSTIVE, sampled

POSITIONS = 12
#: More than a life has; those that a life does not reach kill nothing, which is noticed.
MOST_CALLS = 80


@pytest.fixture(scope="module")
def life(
    api: KubeApi, proxy: ApiProxy, coordinators: StandIn, session_operator: OperatorProcess
) -> tuple[int, dict[str, list[str]]]:
    """How many calls an undisturbed life has, and which children it leaves."""
    if not session_operator.is_running:
        session_operator.start()
    stage = make_stage(api, proxy, coordinators, session_operator)
    job = stage.submit()
    _live(job)
    calls = [call for call in proxy.calls[stage.first_call :] if _is_of(stage, call)]
    last_change = max(index for index, call in enumerate(calls) if call.is_change)
    return last_change, _children(job)


def _is_of(stage: Stage, call: Call) -> bool:
    return call.namespace == stage.namespace and call.verb != "watch" and call.resource != "leases"


def _live(job: Job) -> None:
    job.until_mapping()
    job.complete()
    job.stage.until(lambda: len(job.live_pods) == 1, "the end of the workers")
    job.stage.until_quiet(0.5)


def _children(job: Job) -> dict[str, list[str]]:
    found = job.stage.cluster.children()
    return {resource: sorted(name.replace(job.names.base, "BASE") for name in found[resource]) for resource in found}


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", range(MOST_CALLS if IS_EXHAUSTIVE else POSITIONS))
def test_killed_at_any_call_the_next_operator_ends_with_the_same_children(
    stage: Stage, life: tuple[int, dict[str, list[str]]], number: int
) -> None:
    count, children = life
    positions = range(count) if IS_EXHAUSTIVE else sampled(range(count), POSITIONS, seed="operator")
    if number >= len(positions):
        pytest.skip(f"a life has {count} calls")
    kill = LoseReply(lambda _: stage.operator.kill())
    rule = stage.proxy.befall(kill, when=lambda call: _is_of(stage, call), skips=positions[number])
    stage.needs_operator, stage.revives_operator = False, True
    job = stage.submit()
    _live(job)
    assert _children(job) == children
    if not rule.hits:
        pytest.skip("this life had fewer calls")
