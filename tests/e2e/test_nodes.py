"""Nodes that are drained, lose their power and come back. Run last, see `conftest`: they shake the cluster.

One power cut hits three jobs at once, because Kubernetes takes most of a minute to notice one: `elsewhere` has its
coordinator on the other node and loses its workers; `shared` and `peer` lose everything, their volumes too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.nodes import Cluster
from tests.support import claimfiles, clusterjobs
from tests.support.gatedjobs import CLAIM, MAPS, REDUCES, GatedJob, Stage, staged
from tests.support.kubecalls import Namespace, Object, condition, holds, own_namespace

#: Of the maps, these end before the power cut; the others wait for it.
ENDED_BEFORE = 2


@dataclass(slots=True)
class PowerCut:
    """What was lost with a node, and the way back."""

    cluster: Cluster
    node: str
    elsewhere: Namespace
    manifest: Object
    """Of the job whose workers were lost."""
    stage: Stage
    lost: dict[str, GatedJob]
    _is_dark: bool = field(default=False)

    def end_power(self) -> None:
        """All that runs on the node ends at once."""
        self._is_dark = True
        self.cluster.kill_node(self.node)

    def restore_power(self) -> None:
        """The node comes back with its disk; the test's own pod there is made anew."""
        if self._is_dark:
            self.cluster.start_node(self.node)
            self._is_dark = False
            claimfiles.end(self.stage.files)
            claimfiles.start(self.stage.files, CLAIM)

    def describe(self) -> str:
        """For a person who reads of a failure."""
        return "\n".join([self.elsewhere.describe(), self.stage.namespace.describe()])


@pytest.fixture(scope="module")
def power_cut(operator: Cluster) -> Iterator[PowerCut]:
    """Three jobs amid their work when the worker node loses its power."""
    node = dispensable_node(operator)
    with ExitStack() as stack:
        names = [f"e2e-power-{name}-{operator.name}" for name in ("elsewhere", "stage")]
        elsewhere, on_node = (stack.enter_context(own_namespace(operator, name)) for name in names)
        stage = stack.enter_context(staged(on_node, node=node))
        gates = ("map-begin", *(f"map-{index}@map-end" for index in range(ENDED_BEFORE)))
        lost = {name: stage.start(name, name.capitalize(), *gates) for name in ("shared", "peer")}
        manifest = start_with_workers_on(elsewhere, node, "elsewhere", maps=16, maxAttempts=1)
        cut = PowerCut(operator, node, elsewhere, manifest, stage, lost)
        stack.callback(cut.restore_power)
        for job in lost.values():
            job.until_at("map-end", MAPS)
            job.until_kept(maps=ENDED_BEFORE)
        clusterjobs.await_progress(elsewhere, "elsewhere", maps=ENDED_BEFORE)
        cut.end_power()
        yield cut


@pytest.fixture(autouse=True)
def _tell(request: pytest.FixtureRequest) -> Iterator[None]:
    failed_before = request.session.testsfailed
    yield
    if "power_cut" in request.fixturenames and request.session.testsfailed > failed_before:
        print(request.getfixturevalue("power_cut").describe())


def test_workers_whose_node_was_drained_are_not_charged(namespace: Namespace, tmp_path: Path) -> None:
    """Neither an attempt nor a loss may be charged: the job allows none of either."""
    node = dispensable_node(namespace.cluster)
    manifest = start_with_workers_on(namespace, node, "drained", maps=12, maxAttempts=1, maxLostAttempts=1)
    job = clusterjobs.await_progress(namespace, "drained", maps=ENDED_BEFORE)
    with drained(namespace, node, clusterjobs.labels_of(job)):
        ended = clusterjobs.await_complete(namespace, "drained")
        assert clusterjobs.parts(read(namespace)) == clusterjobs.oracle(manifest, tmp_path)
    assert ended["status"]["maps"].get("remade", 0) == 0
    assert ended["status"].get("attemptsFailed", 0) == 0


@pytest.mark.full
def test_a_job_whose_only_node_is_drained_waits_for_it_and_loses_nothing(
    operator: Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    node = dispensable_node(operator)
    with staged(namespace, node=node) as stage:
        job = stage.start("stays", "Peer", "map-begin", "map-0@map-end", "map-1@map-end")
        job.until_at("map-end", MAPS)
        job.until_kept(maps=ENDED_BEFORE)
        with drained(namespace, node, clusterjobs.labels_of(job.found())):
            found = until_reason(job, "CoordinatorReady", "VolumeNodeLost")
            assert "unschedulable" in condition(found, "CoordinatorReady")["message"]
        job.until_at("map-end", MAPS + 2)
        job.open("all")
        job.check_complete(tmp_path)
        assert [job.begun()[f"map-{index}"] for index in range(MAPS)] == [1, 1, 2, 2]


def test_workers_lost_with_their_node_are_replaced_on_another_one(power_cut: PowerCut, tmp_path: Path) -> None:
    ended = clusterjobs.await_complete(power_cut.elsewhere, "elsewhere")
    assert clusterjobs.parts(read(power_cut.elsewhere)) == clusterjobs.oracle(power_cut.manifest, tmp_path)
    assert ended["status"]["maps"].get("remade", 0) == 0


def test_the_loss_of_the_node_with_the_coordinators_volume_is_said(power_cut: PowerCut) -> None:
    for job in power_cut.lost.values():
        found = until_reason(job, "CoordinatorReady", "VolumeNodeLost")
        assert "The job goes on by itself once the node takes pods" in condition(found, "CoordinatorReady")["message"]
        assert not holds("Finished")(found)


@pytest.mark.parametrize("shuffle", ["shared", "peer"])
def test_a_job_goes_on_when_the_node_with_its_volume_returns(power_cut: PowerCut, shuffle: str, tmp_path: Path) -> None:
    """What was committed is not redone: with Peer it comes from the copies beside the log."""
    power_cut.restore_power()
    job = power_cut.lost[shuffle]
    job.until_at("map-end", MAPS + 2)
    job.open("all")
    ended = job.check_complete(tmp_path)
    begun = job.begun()
    assert [begun[f"map-{index}"] for index in range(MAPS)] == [1, 1, 2, 2]
    assert [begun[f"reduce-{index}"] for index in range(REDUCES)] == [1] * REDUCES
    clusterjobs.delete_and_check(job.namespace, ended)


def dispensable_node(cluster: Cluster) -> str:
    """A node that may be drained and killed."""
    if not cluster.workers:
        pytest.skip("the cluster has no node that may be killed")
    return cluster.workers[-1]


def start_with_workers_on(namespace: Namespace, node: str, name: str, *, maps: int, **spec: int) -> Object:
    """A job of short maps whose workers begin on a node and may go on anywhere; its coordinator stays off it."""
    cluster = namespace.cluster
    home = {"podTemplate": {"spec": {"nodeSelector": {"kubernetes.io/hostname": cluster.nodes[0]}}}}
    fixed: Object = {"storage": {"shuffle": "Peer"}, "coordinator": home, "workers": {"replicas": 0}}
    manifest = clusterjobs.slow_job(name, maps=maps)
    manifest["spec"] |= fixed | spec
    namespace.apply(manifest)
    job = namespace.until("mapreducejob", name, "has its coordinator", holds("CoordinatorReady"))
    with cordoned(cluster, *(other for other in cluster.nodes if other != node)):
        namespace.kubectl("scale", f"mapreducejob/{name}", "--replicas=2")
        clusterjobs.await_pods(namespace, job, "worker", 2)
    return manifest


@contextmanager
def cordoned(cluster: Cluster, *nodes: str) -> Iterator[None]:
    """No pods are put on these nodes meanwhile."""
    try:
        for node in nodes:
            cluster.kubectl("cordon", node)
        yield
    finally:
        for node in nodes:
            cluster.kubectl("uncordon", node)


@contextmanager
def drained(namespace: Namespace, node: str, selector: str) -> Iterator[None]:
    """Evicts a job's pods from a node, as `kubectl drain` does it, and takes no new ones meanwhile."""
    cluster = namespace.cluster
    try:
        ours = (f"--pod-selector={selector}", "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=120s")
        cluster.kubectl("drain", node, *ours, timeout_s=130)
        yield
    finally:
        cluster.kubectl("uncordon", node)


def until_reason(job: GatedJob, kind: str, reason: str) -> Object:
    """The job as soon as a condition has this reason."""
    return job.namespace.until(
        "mapreducejob", job.name, f"{kind} for {reason}", lambda found: condition(found, kind).get("reason") == reason
    )


def read(namespace: Namespace) -> dict[str, bytes]:
    """The output of a job that is not held at gates."""
    return claimfiles.read_claim(namespace, "output", "counts")
