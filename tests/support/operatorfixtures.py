"""Fixtures of the operator's tests: the real operator behind the proxy, with exactly the rights that it is given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.controlplane import ControlPlane
from tests.support.apiproxy import ApiProxy, api_proxy, write_kubeconfig
from tests.support.coordinatorstandin import StandIn, stand_in
from tests.support.kubeapi import CHILD_RESOURCES, KubeApi, path_of
from tests.support.operatorprocess import LEASE_NAMESPACE, OperatorProcess, operator_process
from tests.support.operatorrights import give_operator_rights
from tests.support.operatorstage import Stage
from tests.support.scriptedcluster import ScriptedCluster

_numbers = itertools.count(1)
#: What namespaces of these tests enforce: a pod that is not restricted is not created at all.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="package")
def proxy(plane: ControlPlane) -> Iterator[ApiProxy]:
    """What stands between the operator and the API."""
    with api_proxy(plane) as running:
        yield running


@pytest.fixture(scope="package")
def coordinators() -> Iterator[StandIn]:
    """All jobs' coordinators."""
    with stand_in() as running:
        yield running


@pytest.fixture(scope="package")
def operator_token(api: KubeApi) -> str:
    """The token of the operator's account, which has the roles of its chart and nothing else."""
    return give_operator_rights(api, LEASE_NAMESPACE)


@pytest.fixture(scope="package")
def session_operator(
    plane: ControlPlane,
    proxy: ApiProxy,
    coordinators: StandIn,
    api: KubeApi,
    operator_token: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    for left in api.list("mapreducejobs"):  # by tests of the resource itself: they would keep the operator busy
        api.delete("mapreducejobs", left["metadata"]["namespace"], left["metadata"]["name"])
    folder = tmp_path_factory.mktemp("operator")
    kubeconfig = write_kubeconfig(proxy, plane, operator_token, folder / "kubeconfig")
    with operator_process(folder, kubeconfig, coordinators.url) as running:
        yield running


@pytest.fixture
def operator(session_operator: OperatorProcess, proxy: ApiProxy) -> Iterator[OperatorProcess]:
    """The operator, running, with nothing between it and the API. Afterwards that is so again."""
    if not session_operator.is_running:
        session_operator.start()
    yield session_operator
    proxy.heal()
    if session_operator.is_running:
        session_operator.resume()


@pytest.fixture
def stage(api: KubeApi, proxy: ApiProxy, coordinators: StandIn, operator: OperatorProcess) -> Iterator[Stage]:
    """A namespace of the test's own, with nothing in it."""
    made = make_stage(api, proxy, coordinators, operator)
    yield made
    clear(made)


def make_stage(api: KubeApi, proxy: ApiProxy, coordinators: StandIn, operator: OperatorProcess, **labels: str) -> Stage:
    """A new namespace that enforces Pod Security `restricted`."""
    name = f"stage-{next(_numbers)}"
    content: dict[str, Any] = {"metadata": {"name": name, "labels": {**RESTRICTED, **labels}}}
    api.create("namespaces", "", content)
    cluster = ScriptedCluster(api, name)
    return Stage(api, proxy, coordinators, operator, cluster, first_call=len(proxy.calls))


def clear(stage: Stage) -> None:
    """Leaves nothing behind that would keep the operator busy. Claims stay: only controllers let go of them."""
    at_once = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
    for resource in ("mapreducejobs", *CHILD_RESOURCES):
        stage.api.ask("DELETE", path_of(resource, stage.namespace), at_once)
    # only now: the operator would put its finalizer back on a job that is not being deleted, and then clean up after it
    for found in stage.api.list("mapreducejobs", stage.namespace):
        name = found["metadata"]["name"]
        stage.api.patch_if_there("mapreducejobs", stage.namespace, name, {"metadata": {"finalizers": None}})
