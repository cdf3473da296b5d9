"""What the cluster's tool does on a machine before anything runs: packages, state, a cluster given by somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import caching, engines, kindcluster, packages, probing
from cluster.deciding import Way
from cluster.engines import Engine
from cluster.errors import ClusterError
from cluster.nodes import Cluster


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("MR_KUBECONFIG", "MR_CLUSTER", "MR_NODE_IMAGE", "MR_LOAD_COMMAND", "CLUSTER_NAME", "NODES"):
        monkeypatch.delenv(name, raising=False)


def test_only_packages_none_of_whose_programs_is_there_are_missing() -> None:
    there = {"podman", "/usr/libexec/podman/netavark"}
    assert packages.missing(["podman", "netavark", "runc"], there.__contains__) == ["runc"]


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.PROGRAMS, "podman", ("sh",))
    packages.ensure("podman")


def test_what_is_known_of_a_cluster_survives_the_process(tmp_path: Path) -> None:
    cluster = Cluster("mine", Way.PODMAN.value, "kubeconfig", ("mine-control-plane", "mine-worker"), "image")
    cluster.write(tmp_path / "cluster.json")
    assert Cluster.read(tmp_path / "cluster.json") == cluster


def test_a_cluster_never_started_is_not_known() -> None:
    assert kindcluster.current("mine") is None


def test_a_given_cluster_hides_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_KUBECONFIG", "/given")
    known = kindcluster.current("mine")
    assert known == Cluster("given", "given", "/given")


def test_a_given_cluster_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_KUBECONFIG", "/given")
    assert kindcluster.down("mine") is False


def test_what_a_start_that_was_cut_off_has_left_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node is known of it yet, but some may be there."""
    called: list[tuple[str, ...]] = []

    def call(_engine: Engine, *words: str, **_options: object) -> str:
        called.append(words)
        return "node-1 node-2" if words[0] == "ps" else ""

    monkeypatch.setattr(Engine, "call", call)
    monkeypatch.setattr(engines, "is_installed", lambda _name: True)
    monkeypatch.setattr(engines, "RUN_FOLDER", tmp_path / "run")
    assert kindcluster.down("mine") is False
    assert called == []
    state = caching.cache_root() / "clusters" / "mine"
    state.mkdir(parents=True)
    assert kindcluster.down("mine") is True
    (removal,) = (words for words in called if words[0] == "rm")
    assert removal[-2:] == ("node-1", "node-2")
    assert not state.exists()


def test_workers_may_be_killed_but_not_the_control_plane() -> None:
    assert Cluster("mine", "podman", "", ("mine-control-plane", "mine-worker", "mine-worker2")).workers == (
        "mine-worker",
        "mine-worker2",
    )


def test_a_node_of_a_given_cluster_is_not_killed() -> None:
    with pytest.raises(ClusterError, match="no node of the cluster"):
        Cluster("given", "given", "").kill_node("someone-elses")


def test_an_image_gets_into_a_given_cluster_by_the_command_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.tar").write_text("layers")
    monkeypatch.setenv("MR_LOAD_COMMAND", f"cp --target-directory={tmp_path / 'cache'}")
    (tmp_path / "cache").mkdir()
    Cluster("given", "given", "").load(tmp_path / "image.tar")
    assert (tmp_path / "cache/image.tar").read_text() == "layers"


def test_without_that_command_the_message_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "image.tar").touch()
    with pytest.raises(ClusterError, match="MR_LOAD_COMMAND"):
        Cluster("given", "given", "").load(tmp_path / "image.tar")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no image archive .*image\.tar"):
        Cluster("given", "given", "").load(tmp_path / "image.tar")


@pytest.mark.parametrize("said", ["0", "ten", "-1", "", "10"])
def test_a_number_of_nodes_that_makes_no_cluster_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODES", said)
    with pytest.raises(ClusterError, match="NODES"):
        kindcluster.default_nodes()


def test_two_nodes_are_the_default() -> None:
    assert kindcluster.default_nodes() == 2


def test_with_a_given_cluster_docker_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_KUBECONFIG", "/given")
    monkeypatch.setattr(probing, "is_answering", lambda engine: pytest.fail("asked"))
    assert probing.gather_facts().given_kubeconfig == "/given"


def test_a_named_node_image_is_used_as_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_NODE_IMAGE", "kindest/node:v1.33.1")
    assert probing.public_node_image() == "kindest/node:v1.33.1"
