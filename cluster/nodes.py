"""A running cluster in a test's hands: `kubectl`, images, and nodes that are killed and come back.

Starting and ending the cluster is `kindcluster`'s work.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster import engines, gobuild, kindconfig
from cluster.deciding import Way
from cluster.engines import Engine
from cluster.errors import ClusterError, CommandFailed
from cluster.running import output, wait_until

_LOAD_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of a cluster; stored as JSON in its state folder."""

    name: str
    way: str
    kubeconfig: str
    nodes: tuple[str, ...] = ()
    """Containers that are nodes, the control plane first; none of a given cluster."""
    image: str = ""
    """The node image."""

    @property
    def engine(self) -> Engine:
        """The engine that holds the nodes; raises `ClusterError` for a given cluster."""
        match Way(self.way):
            case Way.DOCKER:
                return engines.docker()
            case Way.PODMAN:
                return engines.podman()
            case Way.GIVEN:
                raise ClusterError(
                    "the nodes of a cluster given by MR_KUBECONFIG are not ours: use one of `make cluster`"
                )

    @property
    def workers(self) -> tuple[str, ...]:
        """Nodes that may be killed: all but the control plane."""
        return self.nodes[1:]

    def kubectl(self, *args: str, timeout_s: float = 60.0, given: str | None = None) -> str:
        """Standard output of `kubectl`; `given` is its standard input."""
        argv = [str(gobuild.program("kubectl")), "--kubeconfig", self.kubeconfig, *args]
        return output(argv, timeout_s=timeout_s, given=None if given is None else given.encode())

    def is_answering(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s", timeout_s=15) == "ok"
        except CommandFailed:
            return False

    def load(self, archive: Path) -> None:
        """Puts the images of an archive (`docker save`) into every running node.

        A given cluster has no nodes of ours: there MR_LOAD_COMMAND is run with the archive as its last word.
        """
        if not archive.is_file():
            raise ClusterError(f"there is no image archive {archive}")
        if Way(self.way) is Way.GIVEN:
            command = os.environ.get("MR_LOAD_COMMAND", "")
            if not command:
                raise ClusterError(
                    "MR_LOAD_COMMAND must say how an image archive gets into the cluster of MR_KUBECONFIG"
                )
            output([*shlex.split(command), str(archive)], timeout_s=_LOAD_TIMEOUT_S)
            return
        # Not `kind load`: it wants crictl, which a node image made here does not have.
        importing = ("ctr", "--namespace", "k8s.io", "images", "import", "--digests", "-")
        engine, running = self.engine, self.running_nodes()
        with ThreadPoolExecutor(len(running)) as at_once:
            for _ in at_once.map(
                lambda node: engine.inside(node, *importing, given=archive, timeout_s=_LOAD_TIMEOUT_S), running
            ):
                pass

    def kill_node(self, node: str) -> None:
        """Ends a node with all that runs in it, at once, as a power cut does."""
        self._check(node)
        self.engine.call("kill", node)

    def start_node(self, node: str, *, timeout_s: float = 120.0) -> None:
        """Starts a killed node again and waits until it is Ready."""
        self._check(node)
        self.engine.call("start", node)
        if Way(self.way) is Way.PODMAN:
            self.connect()
        self.wait_ready(timeout_s=timeout_s)

    def connect(self) -> None:
        """Connects the pods of the nodes: needed after a start, when a node may have got another address."""
        engine, running = self.engine, self.running_nodes()
        ranges = self._pod_ranges()
        addresses = {node: _address(engine, node) for node in running}
        for node in running:
            plugin = kindconfig.network_plugin(ranges[node]).encode()
            engine.inside(node, "sh", "-c", "cat > /etc/cni/net.d/10-pods.conflist", given=plugin)
            for command in kindconfig.routes(node, addresses, ranges):
                engine.inside(node, *command)
            engine.inside(node, "sh", "-c", kindconfig.masquerade())

    def wait_ready(self, *, timeout_s: float) -> None:
        """Waits until every running node is Ready and none says so only from before it was killed."""
        for node in self.running_nodes():
            wait_until(f"node {node} answers", self._kubelets_answer(node), timeout_s=timeout_s)
        nodes = [f"node/{node}" for node in self.running_nodes()]
        self.kubectl("wait", "--for=condition=Ready", f"--timeout={timeout_s:.0f}s", *nodes, timeout_s=timeout_s + 10)

    def write(self, path: Path) -> None:
        """Stores what is known."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Cluster | None:
        """What was stored, or nothing."""
        try:
            known = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(**{**known, "nodes": tuple(known["nodes"])})

    def _kubelets_answer(self, node: str) -> Iterator[bool]:
        """Whether the API server reaches the node's kubelet, again and again."""
        while True:
            try:
                yield "ok" in self.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz", timeout_s=15)
            except CommandFailed:
                yield False

    def _pod_ranges(self) -> dict[str, str]:
        template = '{range .items[*]}{.metadata.name} {.spec.podCIDR}{"\\n"}{end}'
        found: dict[str, str] = {}

        def all_have_one() -> Iterator[bool]:
            while True:
                lines = self.kubectl("get", "nodes", "-o", f"jsonpath={template}").splitlines()
                found.update((words[0], words[1]) for words in map(str.split, lines) if len(words) == 2)
                yield found.keys() >= set(self.nodes)

        wait_until("every node has a range of addresses for its pods", all_have_one(), timeout_s=60)
        return found

    def running_nodes(self) -> list[str]:
        """Nodes that are not killed, the control plane first."""
        running = self.engine.call("ps", "--format", "{{.Names}}").split()
        return [node for node in self.nodes if node in running]

    def _check(self, node: str) -> None:
        if node not in self.nodes:
            raise ClusterError(f"{node} is no node of the cluster: it has {', '.join(self.nodes) or 'none of ours'}")


def _address(engine: Engine, node: str) -> str:
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return engine.call("inspect", "--format", template, node).split()[0]
