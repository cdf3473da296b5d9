"""Debian packages that the own-node-image way needs on this machine: named, and installed only where missing.

Nothing is removed or configured: podman gets a configuration of our own, see `podman`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from cluster.caching import locked
from cluster.errors import CommandFailed, MissingPart
from cluster.running import logged, step

PROGRAMS: Final = {
    "podman": ("podman",),
    "conmon": ("conmon", "/usr/bin/conmon", "/usr/libexec/podman/conmon"),
    "runc": ("runc",),
    "netavark": ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"),
    "aardvark-dns": ("/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"),
    "iptables": ("iptables",),
    "debootstrap": ("debootstrap",),
    "openssl": ("openssl",),
}
"""Debian package: the places of the program it is wanted for, one of which is enough."""

_INSTALL_TIMEOUT_S = 900.0


def missing(wanted: Iterable[str], is_there: Callable[[str], bool]) -> list[str]:
    """The packages of `wanted` none of whose programs is there."""
    return [package for package in wanted if not any(is_there(place) for place in PROGRAMS[package])]


def ensure(*wanted: str) -> None:
    """Installs what is missing of `wanted`; raises `MissingPart` where that cannot be done."""
    if not missing(wanted, _is_there):
        return
    with locked("packages"):
        absent = missing(wanted, _is_there)
        if not absent:
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise MissingPart(
                f"missing on this machine: {', '.join(absent)}; install it, or run this as root on Debian"
            )
        with step(f"install {' '.join(absent)}") as log:
            _install(absent, log)
        if still := missing(wanted, _is_there):
            raise MissingPart(f"installed, but not found: {', '.join(still)}")


def _install(packages: list[str], log: Path) -> None:
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    install = [*apt, "install", "--yes", "--no-install-recommends", *packages]
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        logged(install, log, timeout_s=_INSTALL_TIMEOUT_S, env=env)
    except CommandFailed:  # a machine whose package lists are missing or old
        logged([*apt, "update"], log, timeout_s=_INSTALL_TIMEOUT_S, env=env)
        logged(install, log, timeout_s=_INSTALL_TIMEOUT_S, env=env)


def _is_there(place: str) -> bool:
    return shutil.which(place) is not None
