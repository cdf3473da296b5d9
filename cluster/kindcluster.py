"""Starts and ends the cluster, whichever way was decided. Starting one that runs is free; a broken one is replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cluster import engines, gobuild, kindconfig, nodeimage, probing, readiness
from cluster.caching import cache_root, locked
from cluster.deciding import Decision, Way, decide_way
from cluster.engines import Engine
from cluster.errors import ClusterError, CommandFailed
from cluster.nodes import Cluster
from cluster.running import logged, output, say, step, wait_until

_CREATE_TIMEOUT_S = 600.0
_PATIENCE_S = 120.0
"""Before a cluster that runs is taken for broken, and replaced with all that is in it."""


def default_name() -> str:
    """The cluster's name: CLUSTER_NAME, or `mapreduce`."""
    return os.environ.get("CLUSTER_NAME", "mapreduce")


def default_nodes() -> int:
    """The number of nodes: NODES, or two."""
    said = os.environ.get("NODES", "2")
    if not said.isdigit() or not 1 <= int(said) <= 9:
        raise ClusterError(f"NODES is {said!r}: say a number from 1 to 9")
    return int(said)


def current(name: str) -> Cluster | None:
    """The cluster that was started under this name or given by MR_KUBECONFIG, whether or not it still runs."""
    if given := os.environ.get("MR_KUBECONFIG", ""):
        return Cluster("given", Way.GIVEN.value, given)
    return Cluster.read(_state_folder(name) / "cluster.json")


def up(name: str, nodes: int) -> Cluster:
    """A cluster that works: the running one where it has as many nodes, else a new one."""
    with locked(f"cluster-{name}"):
        known = current(name)
        if known and _is_usable(known, nodes):
            return known
        decision = decide_way(probing.gather_facts())
        if decision.way is Way.GIVEN:
            raise ClusterError(f"the cluster of MR_KUBECONFIG ({decision.reason}) does not answer")
        say(f"cluster {name}: kind on {decision.way.value}, because {decision.reason}")
        if known:
            problem = f"has {len(known.nodes)} nodes" if known.is_answering() else "does not answer"
            say(f"cluster {name}: the one that was there {problem}; replacing it")
        _remove(name, _engine(decision.way))
        return _create(name, nodes, decision)


def down(name: str) -> bool:
    """Ends the cluster and everything that belongs to it; a given one is left alone. Says whether there was one."""
    with locked(f"cluster-{name}"):
        known = current(name)
        if known is None and not _state_folder(name).is_dir():
            return False
        # without a record its start was cut off: nodes may be there all the same
        way = Way(known.way) if known else decide_way(probing.gather_facts()).way
        if way is Way.GIVEN:
            return False
        _remove(name, _engine(way))
        return True


def _is_usable(known: Cluster, nodes: int) -> bool:
    return _is_answering_in_time(known) and (Way(known.way) is Way.GIVEN or len(known.nodes) == nodes)


def _is_answering_in_time(known: Cluster) -> bool:
    """Whether it answers; one whose control plane runs is given time, because the machine may only be busy."""
    if known.is_answering():
        return True
    if Way(known.way) is not Way.GIVEN and known.nodes[0] not in known.running_nodes():
        return False

    def answers() -> Iterator[bool]:
        while True:
            yield known.is_answering()

    try:
        wait_until(f"cluster {known.name} answers", answers(), timeout_s=_PATIENCE_S)
    except ClusterError:
        return False
    return True


def _create(name: str, nodes: int, decision: Decision) -> Cluster:
    engine = _engine(decision.way)
    is_own_image = decision.way is Way.PODMAN
    image = nodeimage.ensure(engine) if is_own_image else probing.public_node_image()
    kubectl_first = gobuild.program("kubectl").parent
    folder = _state_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "kind.json"
    config.write_text(kindconfig.kind_config(nodes, is_own_image=is_own_image))
    kubeconfig = folder / "kubeconfig"
    if is_own_image:
        _make_modules_folder()
    create = ["create", "cluster", "--name", name, "--image", image, "--config", str(config), "--retain"]
    try:
        with step(f"kind creates {nodes} nodes") as log:
            argv = [str(gobuild.program("kind")), *create, "--kubeconfig", str(kubeconfig)]
            env = {**engine.env, "PATH": f"{kubectl_first}:{os.environ['PATH']}"}
            logged(argv, log, timeout_s=_CREATE_TIMEOUT_S, env=env)
        cluster = Cluster(name, decision.way.value, str(kubeconfig), _node_names(name, engine), image)
        if is_own_image:
            with step("connect the nodes"):
                cluster.connect()
        if nodes > 1:  # both nodes shall run pods; kind does this itself for a single one
            cluster.kubectl("taint", "nodes", cluster.nodes[0], "node-role.kubernetes.io/control-plane-")
        with step("names resolve, a claim binds"):
            readiness.await_ready(cluster)
    except BaseException:
        _keep_logs(name, engine)
        _remove(name, engine)
        raise
    cluster.write(folder / "cluster.json")
    return cluster


def _remove(name: str, engine: Engine) -> None:
    """Everything of the cluster: nodes, their volumes, the network when no node is left on it, the state."""
    if engines.is_installed(engine.name):
        _forget_what_a_reboot_ended(engine)
        label = f"label=io.x-k8s.kind.cluster={name}"
        if nodes := engine.call("ps", "--all", "--quiet", "--filter", label).split():
            # Podman would ask each node to shut down, for ten seconds; Docker kills.
            at_once = ["--time", "0"] if engine.name == "podman" else []
            engine.call("rm", "--force", *at_once, "--volumes", *nodes, timeout_s=120)
        if engine.name == "podman":  # its storage is ours alone
            if not engine.call("ps", "--all", "--quiet").split():
                _quietly(engine, "network", "rm", "kind")
            _quietly(engine, "volume", "prune", "--force")
    shutil.rmtree(_state_folder(name), ignore_errors=True)


def _forget_what_a_reboot_ended(engine: Engine) -> None:
    """Podman learns from a missing file that the machine was restarted; where /run outlives that, it is told."""
    if engine.name != "podman":
        return
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = engines.RUN_FOLDER / "boot_id"
    if known.exists() and known.read_text() != boot:
        shutil.rmtree(engines.RUN_FOLDER, ignore_errors=True)
    engines.RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    known.write_text(boot)


def _keep_logs(name: str, engine: Engine) -> None:
    """What the nodes said, before they are removed."""
    target = cache_root() / "logs" / f"nodes-of-{name}"
    shutil.rmtree(target, ignore_errors=True)
    argv = [str(gobuild.program("kind")), "export", "logs", str(target), "--name", name]
    try:
        output(argv, timeout_s=120, env=engine.env)
    except CommandFailed:
        return
    say(f"cluster {name}: what its nodes said is in {target}")


def _node_names(name: str, engine: Engine) -> tuple[str, ...]:
    label = f"label=io.x-k8s.kind.cluster={name}"
    names = engine.call("ps", "--filter", label, "--format", "{{.Names}}").split()
    return tuple(sorted(names, key=lambda node: (not node.endswith("-control-plane"), node)))


def _make_modules_folder() -> None:
    """kind mounts the host's kernel modules into every node; a machine without any lacks the folder."""
    Path("/lib/modules").mkdir(exist_ok=True)


def _engine(way: Way) -> Engine:
    return engines.docker() if way is Way.DOCKER else engines.podman()


def _state_folder(name: str) -> Path:
    return cache_root() / "clusters" / name


def _quietly(engine: Engine, *args: str) -> None:
    try:
        engine.call(*args, timeout_s=120)
    except CommandFailed:
        return
