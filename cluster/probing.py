"""Looks at the machine for the facts that `deciding` decides from."""

from __future__ import annotations

import os
import re
import sys

from cluster import gobuild
from cluster.deciding import Facts, Way
from cluster.engines import Engine, docker, is_installed
from cluster.errors import ClusterError

_PULL_TIMEOUT_S = 900.0


def gather_facts() -> Facts:
    """The facts; what could not change the decision is not looked for (fetching an image takes its time)."""
    given = os.environ.get("MR_KUBECONFIG", "")
    asked_for = os.environ.get("MR_CLUSTER", "")
    is_docker_answering = not given and asked_for != Way.PODMAN.value and is_answering(docker())
    return Facts(
        given_kubeconfig=given,
        asked_for=asked_for,
        is_docker_answering=is_docker_answering,
        has_public_image=is_docker_answering and _can_have(docker(), public_node_image()),
        is_linux=sys.platform == "linux",
        is_root=os.geteuid() == 0,
    )


def public_node_image() -> str:
    """MR_NODE_IMAGE, or the node image that this version of kind was released with."""
    if asked := os.environ.get("MR_NODE_IMAGE", ""):
        return asked
    source = gobuild.module_folder("kind", "sigs.k8s.io/kind") / "pkg/apis/config/defaults/image.go"
    found = re.search(r'const Image = "([^"]+)"', source.read_text())
    if not found:
        raise ClusterError("kind does not say which node image it was released with: set MR_NODE_IMAGE")
    return found[1]


def is_answering(engine: Engine) -> bool:
    """Whether the engine itself, not only its client, is there."""
    if not is_installed(engine.name):
        return False
    try:
        return bool(engine.call("info", "--format", "{{.ServerVersion}}", timeout_s=20).strip())
    except ClusterError:
        return False


def _can_have(engine: Engine, image: str) -> bool:
    """Fetching is the only honest question to a registry: mirrors and proxies are the engine's business."""
    try:
        engine.call("image", "inspect", "--format", "{{.Id}}", image)
    except ClusterError:
        try:
            engine.call("pull", "--quiet", image, timeout_s=_PULL_TIMEOUT_S)
        except ClusterError:
            return False
    return True
