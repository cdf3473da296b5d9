"""Which way to a cluster: decided from facts, without looking at anything. Gathering the facts is `probing`'s work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cluster.errors import MissingPart


class Way(Enum):
    """The ways to a cluster, best first."""

    GIVEN = "given"
    """A cluster that somebody else started: used as it is, never changed or ended."""
    DOCKER = "docker"
    """kind on Docker with the public node image."""
    PODMAN = "podman"
    """kind on podman with a node image made here."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about this machine and what was asked for."""

    given_kubeconfig: str = ""
    """MR_KUBECONFIG: the kubeconfig of a cluster to use."""
    asked_for: str = ""
    """MR_CLUSTER: `docker` or `podman`, when only that way will do."""
    is_docker_answering: bool = False
    """Whether a Docker engine, not only its client, is there."""
    has_public_image: bool = False
    """Whether Docker has the public node image or could fetch it."""
    is_linux: bool = True
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A way, and the sentence that says why."""

    way: Way
    reason: str


def decide_way(facts: Facts) -> Decision:
    """The best way that these facts allow; raises `MissingPart` when there is none."""
    if facts.given_kubeconfig:
        return Decision(Way.GIVEN, f"MR_KUBECONFIG names a cluster: {facts.given_kubeconfig}")
    if facts.asked_for not in {"", Way.DOCKER.value, Way.PODMAN.value}:
        raise MissingPart(f"MR_CLUSTER is {facts.asked_for!r}: say docker or podman, or leave it out")
    if facts.asked_for != Way.PODMAN.value:
        lack = _lack_for_docker(facts)
        if not lack:
            return Decision(Way.DOCKER, "a Docker engine answers and has the public node image")
        if facts.asked_for == Way.DOCKER.value:
            raise MissingPart(f"MR_CLUSTER is docker, but {lack}")
    else:
        lack = "MR_CLUSTER is podman"
    if not facts.is_linux or not facts.is_root:
        raise MissingPart(
            f"{lack}, and podman with a node image made here needs Linux and root: start Docker, run this as root, "
            "or name a cluster by MR_KUBECONFIG"
        )
    return Decision(Way.PODMAN, lack)


def _lack_for_docker(facts: Facts) -> str:
    if not facts.is_docker_answering:
        return "no Docker engine answers"
    if not facts.has_public_image:
        return "no registry answers with the public node image"
    return ""
