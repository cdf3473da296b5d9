"""One API server with our resource for each process of the test run, and a namespace for each test.

The tests of a module stay together in one process (tests/conftest.py). Without its programs they are skipped; where
REQUIRE_CLUSTER is 1 the programs are built, which takes minutes, or waited for, when a build of them is under way.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest
import yaml

from cluster import build, caching, gobuild, programs
from cluster.controlplane import ControlPlane
from cluster.errors import ClusterError
from tests.support.crdjobs import DEFINITION
from tests.support.kubeapi import ApiRefused, KubeApi, Object, is_true, path_of
from tests.support.operatorfixtures import (  # noqa: F401 fixtures of the operator's tests
    coordinators,
    operator,
    operator_token,
    proxy,
    session_operator,
    stage,
)

_SERVED_WITHIN_S = 30.0
_numbers = itertools.count(1)


#: Of these modules each takes as long as several others: they begin first. The one with most jobs is not beside the one
#: in which operators have to keep a Lease.
_LONGEST: Final = (
    "test_operator_limits.py",
    "test_operator_faults.py",
    "test_operator_deletion.py",
    "test_operator_killed.py",
    "test_operator_trouble.py",
    "test_operator_instances.py",
    "test_operator_life.py",
    "test_operator_edits.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.timeout(300, func_only=True))  # of the test alone: the programs may have to be built


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver that know `MapReduceJob`."""
    if os.environ.get("REQUIRE_CLUSTER") == "1":
        try:
            build.build({"api"})
        except ClusterError as error:
            pytest.fail(f"REQUIRE_CLUSTER is 1, but there is no API server: {error}")
    elif reason := _missing():
        pytest.skip(reason)
    with ControlPlane.running(tmp_path_factory.mktemp("plane")) as running:
        with closing(KubeApi(running.url, running.ca_file, running.token)) as api:
            _serve(api, yaml.safe_load(DEFINITION.read_text(encoding="utf-8")))
        yield running


@pytest.fixture(scope="package")
def api(plane: ControlPlane) -> Iterator[KubeApi]:
    """Plain calls of that server."""
    with closing(KubeApi(plane.url, plane.ca_file, plane.token)) as calls:
        yield calls


@pytest.fixture
def namespace(api: KubeApi) -> str:
    """A namespace of the test's own. It stays: without controllers a namespace does not go away."""
    name = f"test-{next(_numbers)}"
    api.create("namespaces", "", {"metadata": {"name": name}})
    return name


def _serve(api: KubeApi, definition: Object) -> None:
    """Creates a CustomResourceDefinition and waits until its resource is served."""
    api.create("customresourcedefinitions", "", definition)
    name = definition["metadata"]["name"]
    deadline = time.monotonic() + _SERVED_WITHIN_S
    while not is_true(api.get("customresourcedefinitions", "", name), "Established") or not _is_served(api):
        assert time.monotonic() < deadline, f"{name} is not served"
        time.sleep(0.05)  # the server can only be asked again


def _is_served(api: KubeApi) -> bool:
    try:
        api.ask("GET", path_of("mapreducejobs"))
    except ApiRefused:
        return False
    return True


def _missing() -> str:
    """Why there can be no control plane here; empty when there can."""
    fix = "run `python3 cluster/build.py --only api`"
    try:
        entries = {gobuild.entry_of(programs.unit_of(name)) for name in ("etcd", "kube-apiserver", "kubectl")}
    except (ClusterError, OSError) as error:
        return f"the API server's programs cannot be found: {error}"
    absent = sorted(entry for entry in entries if not (caching.cache_root() / entry).is_dir())
    return f"{', '.join(absent)} is not built: {fix}" if absent else ""
