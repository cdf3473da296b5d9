"""One real cluster with the operator in it for the whole tier, and a namespace for each test.

Whatever is missing is built and started: nothing when `make cluster` runs and the images are loaded, many minutes on a
machine that has nothing yet. Where a cluster cannot be had the tests are skipped, or fail where REQUIRE_CLUSTER is 1.
They run in two processes, see `tests.support.turns`: those that break nodes or operators have the cluster alone.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from typing import Final

import pytest

from cluster import build, kindcluster, productimages
from cluster.caching import cache_root, locked
from cluster.errors import ClusterError
from cluster.nodes import Cluster
from tests.support import operatorrelease, turns
from tests.support.gatedjobs import Stage, staged
from tests.support.kubecalls import Namespace, own_namespace

TEST_TIMEOUT_S: Final = 600
_AS_IT_IS: Final = os.environ.get("MR_E2E_AS_IT_IS") == "1"
"""While one writes a test: nothing is built, loaded or installed; what is in the cluster is tested."""
_FAILED: Final = pytest.StashKey[bool]()


def pytest_itemcollected(item: pytest.Item) -> None:
    # Of the test alone: the session's fixtures build and start a cluster.
    item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S, func_only=True))
    if item.get_closest_marker("full") and os.environ.get("FULL") != "1":
        item.add_marker(pytest.mark.skip(reason="a long one: FULL=1 runs it"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turns.order(item.path.name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the report itself passes through
    report = yield
    if call.excinfo is not None and call.when == "call":
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="module", autouse=True)
def _turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Before all else of a module: its turn in the cluster."""
    with turns.turn(cache_root() / "locks", is_alone=request.path.name in turns.ALONE):
        yield


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """A cluster that works, with the images of this checkout in it."""
    is_wanted = os.environ.get("REQUIRE_CLUSTER") == "1"
    name = kindcluster.default_name()
    if not is_wanted and kindcluster.current(name) is None:
        pytest.skip(f"there is no cluster {name}: start it by `make cluster`, or set REQUIRE_CLUSTER=1")
    try:
        if is_wanted and not os.environ.get("MR_KUBECONFIG"):
            build.build({"kind", "helm"})
        found = kindcluster.up(name, kindcluster.default_nodes())
        if not _AS_IT_IS:
            productimages.ensure_in(found)
    except ClusterError as error:
        if is_wanted:
            pytest.fail(f"REQUIRE_CLUSTER is 1, but there is no cluster: {error}")
        pytest.skip(f"there is no cluster: {error}")
    return found


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> str:
    """What the images in the cluster are told apart by."""
    return "as-it-is" if _AS_IT_IS else productimages.ensure_in(cluster)


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: str) -> Cluster:
    """The cluster with the operator of this checkout installed by Helm."""
    if not _AS_IT_IS:
        # What happens to jobs without an operator has tests of its own.
        with locked("e2e-install"):  # the second process finds it as it shall be
            operatorrelease.install(cluster, images, values=operatorrelease.beside_control_plane(cluster))
    return cluster


@pytest.fixture
def namespace(operator: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of the test's own, in which the restricted Pod Security standard is enforced."""
    with own_namespace(operator, _name_for(request.node.name)) as found:
        yield found
        _tell_of_failure(request, found)


@pytest.fixture(scope="module")
def stage_of_module(operator: Cluster, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A namespace for jobs that the tests of a module hold at their steps; making one takes longer than a job."""
    with own_namespace(operator, _name_for(request.module.__name__.rpartition(".")[2])) as found, staged(found) as made:
        yield made


@pytest.fixture
def stage(stage_of_module: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """That namespace for one test: its jobs end with it. They need names of their own."""
    yield stage_of_module
    _tell_of_failure(request, stage_of_module.namespace)
    stage_of_module.namespace.kubectl("delete", "mapreducejobs", "--all", "--wait=false")


def _name_for(test: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", test.removeprefix("test_").lower()).strip("-")
    # A number of its own: the namespace of the test before may still be going.
    return f"e2e-{words[:40].strip('-')}-{secrets.token_hex(3)}"


def _tell_of_failure(request: pytest.FixtureRequest, namespace: Namespace) -> None:
    if request.node.stash.get(_FAILED, False):
        print(namespace.describe())
        print(operatorrelease.operator_log(namespace.cluster))
