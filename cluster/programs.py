"""Which programs are built from which Go modules. Versions stand in `go/*/go.mod` and nowhere else.

A unit is what one `go build` makes. Units of a group come in the order in which they are needed: `api` first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GO_FOLDER: Final = Path(__file__).resolve().parent / "go"


@dataclass(frozen=True, slots=True)
class Unit:
    """One call of the Go tool."""

    name: str
    """Name of the cache entry and of the step."""
    folder: str
    """The Go module, below `go/`."""
    packages: tuple[str, ...]
    """Go packages; each becomes a program of the package's last word."""
    group: str
    """`api`, `helm`, `kind` or `nodes`: what the programs are for."""
    program: str = ""
    """The program's name, for a unit of one package whose last word is not it."""
    symbols: tuple[tuple[str, str], ...] = ()
    """Variables set by the linker; `{version}`, `{major}` and `{minor}` are those of `module`, see `linker_flags`."""
    module: str = ""
    """The module whose version the symbols tell."""

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the programs this unit makes."""
        return (self.program,) if self.program else tuple(package.rsplit("/", 1)[-1] for package in self.packages)


def _kubernetes(name: str, group: str, *commands: str) -> Unit:
    prefix = "k8s.io/component-base/version."
    return Unit(
        name,
        "kubernetes",
        tuple(f"k8s.io/kubernetes/cmd/{command}" for command in commands),
        group,
        symbols=(
            (prefix + "gitVersion", "{version}"),
            (prefix + "gitMajor", "{major}"),
            (prefix + "gitMinor", "{minor}"),
            (prefix + "gitTreeState", "clean"),
        ),
        module="k8s.io/kubernetes",
    )


def _helm(major: int, *capabilities: str) -> Unit:
    module = f"helm.sh/helm/v{major}"
    # Without these, `helm template` and `helm lint` would believe in a cluster of version 1.20.
    believed = [(f"{module}/{package}.k8sVersion{part}", f"{{kubernetes_{part.lower()}}}")
                for package in capabilities for part in ("Major", "Minor")]  # fmt: skip
    return Unit(
        f"helm{major}",
        f"helm{major}",
        (f"{module}/cmd/helm",),
        "helm",
        program=f"helm{major}",
        symbols=((f"{module}/internal/version.version", "{version}"), *believed),
        module=module,
    )


UNITS: Final = (
    Unit("etcd", "etcd", (".",), "api", program="etcd"),
    _kubernetes("kubernetes-api", "api", "kube-apiserver", "kubectl"),
    Unit("pause", "pause", (".",), "nodes", program="pause"),
    Unit("coredns", "coredns", (".",), "nodes", program="coredns"),
    Unit("local-path-provisioner", "local-path-provisioner", ("github.com/rancher/local-path-provisioner",), "nodes"),
    _kubernetes(
        "kubernetes-nodes", "nodes", "kubeadm", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"
    ),
    Unit("kind", "kind", ("sigs.k8s.io/kind",), "kind"),
    _helm(3, "pkg/lint/rules", "pkg/chartutil"),
    _helm(4, "pkg/chart/v2/lint/rules", "internal/chart/v3/lint/rules", "pkg/chart/common"),
)


def units_of(group: str) -> tuple[Unit, ...]:
    """All units of a group, in order."""
    return tuple(unit for unit in UNITS if unit.group == group)


def unit_of(program: str) -> Unit:
    """The unit that makes `program`."""
    return next(unit for unit in UNITS if program in unit.programs)


def required_version(go_mod: str, module: str) -> str:
    """The version of `module` that the text of a `go.mod` requires, with its `v`."""
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if not found:
        raise LookupError(f"go.mod does not require {module}")
    return found[1]


def version_of(folder: str, module: str) -> str:
    """The version of `module` in `go/FOLDER/go.mod`."""
    return required_version((GO_FOLDER / folder / "go.mod").read_text(), module)


def kubernetes_version() -> str:
    """The version of Kubernetes built here, with its `v`."""
    return version_of("kubernetes", "k8s.io/kubernetes")


def linker_flags(unit: Unit, version: str, kubernetes: str) -> str:
    """What the linker is told: no symbol tables, and the versions that the programs print."""
    facts = {"version": version} | _numbers(version, "") | _numbers(kubernetes, "kubernetes_")
    told = (f"-X {name}={value.format_map(facts)}" for name, value in unit.symbols)
    return " ".join(("-s -w", *told))


def _numbers(version: str, prefix: str) -> dict[str, str]:
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return {f"{prefix}major": found[1], f"{prefix}minor": found[2]} if found else {}
