"""The Debian base: of the node image, of kube-proxy's image, and of the product's image where no registry answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from cluster import archives, packages
from cluster.caching import digest_of, made_once
from cluster.engines import Engine
from cluster.errors import CommandFailed
from cluster.running import logged, step

SUITE: Final = "bookworm"
INCLUDED: Final = ("ca-certificates", "conntrack", "iptables", "python3", "python3-pip", "python3-venv")
"""Python for the product's image, iptables for kube-proxy's: one base keeps the node image small."""
BASE_IMAGE: Final = "localhost/python-base:3.11"
"""Debian's Python, whose version goes with the suite."""
_TIMEOUT_S = 1800.0
_REFUSED: Final = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
"""Folders whose content no container here needs."""


def mirror() -> str:
    """Where Debian's packages come from: MR_DEBIAN_MIRROR, or Debian's own address."""
    return os.environ.get("MR_DEBIAN_MIRROR", "http://deb.debian.org/debian")


def entry_name() -> str:
    """The base's cache entry: another for another suite or other packages."""
    return f"base/debian-{digest_of(SUITE, *INCLUDED, *_REFUSED, machine_architecture())}"


def layer() -> Path:
    """The base as one uncompressed layer, made when it is not there yet."""
    return made_once(entry_name(), _make) / "layer.tar"


def image_archive() -> Path:
    """The base as an image named `BASE_IMAGE`, to be loaded by an engine."""
    base = layer()
    entry = made_once(
        f"base/archive-{digest_of(entry_name(), BASE_IMAGE)}",
        lambda part: archives.write_archive(part / "image.tar", [base_image(base)], machine_architecture()),
    )
    return entry / "image.tar"


def base_image(base: Path) -> archives.Image:
    """The base image's facts."""
    return archives.Image(BASE_IMAGE, (base,), command=("python3",))


def load_into(engine: Engine) -> None:
    """Puts the base image into an engine's storage, unless it is there."""
    if not engine.has_image(BASE_IMAGE):
        engine.call("load", "--input", str(image_archive()), timeout_s=300)


def machine_architecture() -> str:
    """This machine's processor as container images name it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _make(folder: Path) -> None:
    packages.ensure("debootstrap")
    tree = folder / "tree"
    with step("debootstrap") as log:
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, str(tree), mirror()]
        try:
            logged(argv, log, timeout_s=_TIMEOUT_S)
        except CommandFailed:
            _unmount(tree)
            raise
        for refused in _REFUSED:
            shutil.rmtree(tree / refused, ignore_errors=True)
            (tree / refused).mkdir(parents=True)
        (tree / "var/lib/apt/lists/partial").mkdir()
        (tree / "var/cache/apt/archives/partial").mkdir()
        # Numbers, not names, of owners: this machine's may be others.
        tar = ["tar", "--create", "--numeric-owner", "--sort=name", "--exclude=./proc/*", "--exclude=./sys/*"]
        logged([*tar, "--exclude=./dev/*", "--file", str(folder / "layer.tar"), "."], log, timeout_s=300, cwd=tree)
    shutil.rmtree(tree)


def _unmount(tree: Path) -> None:
    """debootstrap mounts /proc and /sys and leaves them so when it fails; the tree could not be removed."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in mounted if place.startswith(f"{tree}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False, stdin=subprocess.DEVNULL, timeout=30)
