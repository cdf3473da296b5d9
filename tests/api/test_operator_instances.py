"""Two operators, of which one acts; and an operator whose definition is not there yet, or is too old (K12, K8)."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from cluster.controlplane import ControlPlane
from tests.support.apicalls import Call
from tests.support.apiproxy import ApiProxy, api_proxy, write_kubeconfig
from tests.support.coordinatorstandin import StandIn
from tests.support.kubeapi import ApiRefused, KubeApi, Object, is_true, path_of
from tests.support.mrruns import until
from tests.support.operatorfixtures import make_stage
from tests.support.operatorprocess import LEASE_NAMESPACE, LEASE_S, OperatorProcess, operator_process
from tests.support.operatorrights import give_operator_rights
from tests.support.operatorstage import Stage
from tests.support.tree import ROOT


@pytest.fixture
def second_proxy(plane: ControlPlane) -> Iterator[ApiProxy]:
    with api_proxy(plane) as running:
        yield running


@pytest.fixture
def second(
    stage: Stage,
    plane: ControlPlane,
    second_proxy: ApiProxy,
    coordinators: StandIn,
    operator_token: str,
    tmp_path: Path,
) -> Iterator[OperatorProcess]:
    """Another operator, by a way to the API of its own, so that its calls can be told from the first one's.

    The first one acts: in the test before it may have waited for the Lease, or have ended and been started anew.
    """
    stage.operator.until_healthy()
    stage.until(lambda: _holder(stage).startswith("operator-a"), "the first operator's Lease")
    kubeconfig = write_kubeconfig(second_proxy, plane, operator_token, tmp_path / "kubeconfig")
    with operator_process(tmp_path, kubeconfig, coordinators.url, name="operator-b") as running:
        yield running


def _changes(proxy: ApiProxy, stage: Stage) -> list[Call]:
    return [call for call in proxy.changes() if call.namespace == stage.namespace]


def _holder(stage: Stage) -> str:
    leases = stage.api.list("leases", LEASE_NAMESPACE)
    return str(leases[0]["spec"].get("holderIdentity", "")) if leases else ""


def test_of_two_operators_one_acts(stage: Stage, second: OperatorProcess, second_proxy: ApiProxy) -> None:
    first_job = stage.submit("first")
    first_job.complete()
    second.until_healthy()
    stage.submit("next").complete()
    assert not _changes(second_proxy, stage)
    assert stage.changes()
    assert _holder(stage).startswith("operator-a")


def test_when_the_one_that_acts_is_killed_the_other_takes_over(
    stage: Stage, second: OperatorProcess, second_proxy: ApiProxy
) -> None:
    job = stage.submit()
    job.until_mapping()
    second.until_healthy()
    stage.operator.kill()
    stage.needs_operator = False
    stage.until(lambda: _holder(stage).startswith("operator-b"), "the other holder")
    count = len(stage.changes())
    job.complete()
    assert _changes(second_proxy, stage)
    assert len(stage.changes()) == count
    second.end()
    stage.operator.start()
    stage.submit("later").complete()


def test_an_operator_that_stood_still_and_lost_its_lease_does_not_act_when_it_wakes(
    stage: Stage, second: OperatorProcess, second_proxy: ApiProxy
) -> None:
    job = stage.submit()
    job.until_mapping()
    second.until_healthy()
    stage.operator.stop()
    stage.until(lambda: _holder(stage).startswith("operator-b"), "the other holder")
    job.coordinator.set("Mapping", (5, 8), (0, 2))
    stage.until(lambda: job.status["maps"]["committed"] == 5, "progress by the other")
    count = len(stage.changes())
    stage.revives_operator = True
    stage.needs_operator = False
    stage.operator.resume()
    woke_s = time.monotonic()
    job.complete()
    stage.until(lambda: time.monotonic() - woke_s > LEASE_S, "a Lease's time")
    assert len(stage.changes()) - count <= 1  # what was on its way when it fell asleep
    second.end()


def test_an_operator_that_is_asked_to_end_hands_over_at_once(stage: Stage, second: OperatorProcess) -> None:
    second.until_healthy()
    started_s = time.monotonic()
    assert stage.operator.end() == 0
    assert time.monotonic() - started_s < 10
    stage.needs_operator = False
    stage.until(lambda: _holder(stage).startswith("operator-b"), "the other holder")
    stage.submit().complete()
    second.end()


# ---------------------------------------------------------------------------------------------------------- definition
NAME = "mapreducejobs.mapreduce.dev"
CRD = yaml.safe_load((ROOT / "crds" / f"{NAME}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def bare_stage(tmp_path: Path, plane: ControlPlane, coordinators: StandIn) -> Iterator[Stage]:
    """An operator of its own, at a control plane that does not know `MapReduceJob`."""
    assert plane.url  # there are programs for another one
    with (
        ControlPlane.running(tmp_path / "bare") as bare,
        closing(KubeApi(bare.url, bare.ca_file, bare.token)) as api,
        api_proxy(bare) as proxy,
    ):
        kubeconfig = write_kubeconfig(proxy, bare, give_operator_rights(api, LEASE_NAMESPACE), tmp_path / "kubeconfig")
        with operator_process(tmp_path, kubeconfig, coordinators.url) as operator:
            yield make_stage(api, proxy, coordinators, operator)


def test_an_operator_without_its_definition_says_so_and_works_when_it_appears(bare_stage: Stage) -> None:
    stage = bare_stage
    stage.until(lambda: NAME in stage.operator.said, "the name of what is missing")
    _serve(stage, CRD)
    stage.submit().complete()


def test_an_operator_over_an_older_definition_says_so_and_takes_nothing_for_zero(bare_stage: Stage) -> None:
    old = copy.deepcopy(CRD)
    schema = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del schema["status"]["properties"]["counters"]
    del schema["spec"]["properties"]["workers"]["properties"]["slots"]
    old["metadata"].get("annotations", {}).pop("mapreduce.dev/version", None)
    stage = bare_stage
    _serve(stage, old)
    job = stage.submit()
    job.until_started()
    assert job.workers["spec"]["parallelism"] == 2
    stage.until(lambda: "older" in stage.operator.said or "out of date" in stage.operator.said, "a warning")
    job.complete()


def _serve(stage: Stage, definition: Object) -> None:
    """Installs a definition; it is served some time after it is established."""
    stage.api.create("customresourcedefinitions", "", definition)

    def is_served() -> bool:
        try:
            stage.api.ask("GET", path_of("mapreducejobs", stage.namespace))
        except ApiRefused:
            return False
        return is_true(stage.api.get("customresourcedefinitions", "", NAME), "Established")

    until(is_served, "the definition")
