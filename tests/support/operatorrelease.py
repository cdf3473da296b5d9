"""The operator in a real cluster as a user has it: installed from the chart, by Helm 3 or 4."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from cluster import gobuild
from cluster.nodes import Cluster
from cluster.running import output
from tests.support.kubecalls import Namespace
from tests.support.tree import ROOT

CHART: Final = ROOT / "charts" / "mapreduce-operator"
RELEASE: Final = "mapreduce-operator"
NAMESPACE: Final = "mapreduce-system"
OPERATOR_PODS: Final = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
_INSTALL_S: Final = 240


def helm(*args: str, kubeconfig: str = os.devnull, major: int = 4, timeout_s: float = 60.0) -> str:
    """What a Helm of ours prints; nothing of this machine's own Helm is read."""
    argv = [str(gobuild.program(f"helm{major}")), *args]
    return output(argv, timeout_s=timeout_s, env={"KUBECONFIG": kubeconfig, "HELM_PLUGINS": os.devnull})


def set_values(values: dict[str, str]) -> list[str]:
    """Values as options; Helm reads numbers and booleans out of the texts."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def install(
    cluster: Cluster,
    images: str,
    *,
    major: int = 4,
    values: dict[str, str] | None = None,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
) -> None:
    """Installs or upgrades a release of this checkout and waits until the operator is ready.

    `images` is the digest of the images in the cluster: with it a new build starts a new pod. The definition of jobs
    is brought up to date by the usual release only.
    """
    chosen = {
        "image.repository": "localhost/mapreduce-operator",
        "image.tag": "dev",
        "workerImage.repository": "localhost/mapreduce-worker",
        "workerImage.tag": "dev",
        "podAnnotations.mapreduce\\.dev/images": images,
        **(values or {}),
    }
    if release == RELEASE:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    words = ("upgrade", "--install", release, str(CHART), "--namespace", namespace, "--create-namespace")
    waiting = ("--wait", f"--timeout={_INSTALL_S}s")
    call = (*words, *waiting, *set_values(chosen))
    helm(*call, kubeconfig=cluster.kubeconfig, major=major, timeout_s=_INSTALL_S + 30)


def beside_control_plane(cluster: Cluster) -> dict[str, str]:
    """Values that keep the operator on a node that no test kills."""
    return {"nodeSelector.kubernetes\\.io/hostname": cluster.nodes[0]} if cluster.nodes else {}


@contextmanager
def upgraded(cluster: Cluster, values: dict[str, str]) -> Iterator[None]:
    """The release with some values changed meanwhile, by `helm upgrade`; behind it, it is rolled back."""
    release = ("--namespace", NAMESPACE, "--wait", f"--timeout={_INSTALL_S}s")
    call = partial(helm, kubeconfig=cluster.kubeconfig, timeout_s=_INSTALL_S + 30)
    call("upgrade", RELEASE, str(CHART), "--reuse-values", *release, *set_values(values))
    try:
        yield
    finally:
        call("rollback", RELEASE, *release)


@contextmanager
def without_operator(cluster: Cluster) -> Iterator[None]:
    """No operator runs meanwhile; behind it there is one again."""
    operators = Namespace(cluster, NAMESPACE)
    deployment = f"deployment/{RELEASE}"
    operators.kubectl("scale", deployment, "--replicas=0")
    try:
        operators.until_gone("pods", OPERATOR_PODS)
        yield
    finally:
        operators.kubectl("scale", deployment, "--replicas=1")
        operators.kubectl("rollout", "status", deployment, f"--timeout={_INSTALL_S}s", timeout_s=_INSTALL_S + 10)


def operator_log(cluster: Cluster) -> str:
    """The end of what the operator said."""
    return cluster.kubectl("--namespace", NAMESPACE, "logs", f"deployment/{RELEASE}", "--tail=200")
