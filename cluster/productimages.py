"""The product's two images, built from a checkout and put into the running cluster.

An image is tagged by the digest of what it is made from: building or loading what is there already costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster import debian, engines, nodeimage, packages, pipconfig, probing
from cluster.caching import cache_root, digest_of, locked
from cluster.deciding import Way
from cluster.engines import Engine
from cluster.errors import CommandFailed, MissingPart
from cluster.nodes import Cluster
from cluster.running import logged, step

CHECKOUT: Final = Path(__file__).resolve().parents[1]
TARGETS: Final = ("operator", "worker")
CONTENT: Final = (
    *("Dockerfile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
    *("src", "operator", "worker", "tools/image"),
)
"""What the Dockerfile copies, and itself."""
_LEFT_OUT: Final = frozenset({"__pycache__", ".mypy_cache"})
_TIMEOUT_S: Final = 1800.0
_LOCK: Final = "product-images"


def image_name(target: str, tag: str = "dev") -> str:
    """The name in test clusters; `dev` is the one that manifests name, the digest's says what it is made from."""
    return f"localhost/mapreduce-{target}:{tag}"


def ensure_in(cluster: Cluster) -> str:
    """Builds what is not built and loads what is not loaded; returns the digest."""
    engine = engine_for(cluster)
    with locked(_LOCK):
        digest = _built(engine, CHECKOUT)
        if not is_loaded(cluster, digest):
            with step("load the product's images"):
                _load(engine, cluster, digest)
        _remove_older(engine, digest)
    return digest


def engine_for(cluster: Cluster) -> Engine:
    """The cluster's own engine; for a given cluster Docker where it answers, else podman."""
    if Way(cluster.way) is not Way.GIVEN:
        return cluster.engine
    return engines.docker() if probing.is_answering(engines.docker()) else engines.podman()


def build(engine: Engine, checkout: Path = CHECKOUT) -> str:
    """Builds both images, unless they are there; returns the digest they are tagged by, beside `dev`."""
    with locked(_LOCK):
        return _built(engine, checkout)


def copy_content(checkout: Path, context: Path) -> None:
    """Copies what the images are made from; raises `MissingPart` where the checkout lacks some of it."""
    for name in CONTENT:
        source, target = checkout / name, context / name
        if not source.exists():
            raise MissingPart(f"{checkout} has no {name}: it is no checkout of the product")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=lambda _, names: _LEFT_OUT & set(names))
        else:
            shutil.copy2(source, target)


def digest_of_content(context: Path) -> str:
    """Changes with any file's place or content."""
    files = sorted(path for path in context.rglob("*") if path.is_file())
    return digest_of(*(part for path in files for part in (str(path.relative_to(context)), path.read_bytes())))


def is_loaded(cluster: Cluster, digest: str) -> bool:
    """Whether every running node has these images under both names; of a given cluster nothing is known."""
    if Way(cluster.way) is Way.GIVEN:
        return False
    return all(is_complete(listed, digest) for listed in _listed_by_nodes(cluster))


def is_complete(listed: str, digest: str) -> bool:
    """From what `ctr images ls` prints: whether `dev` is the same image as the digest's, for both targets."""
    rows = (line.split() for line in listed.splitlines()[1:])
    digests = {row[0]: row[2] for row in rows if len(row) > 2}
    pairs = ((digests.get(image_name(target)), digests.get(image_name(target, digest))) for target in TARGETS)
    return all(dev is not None and dev == own for dev, own in pairs)


def _listed_by_nodes(cluster: Cluster) -> Iterator[str]:
    for node in cluster.running_nodes():
        yield cluster.engine.inside(node, "ctr", "--namespace", "k8s.io", "images", "ls")


def _load(engine: Engine, cluster: Cluster, digest: str) -> None:
    names = [image_name(target, tag) for target in TARGETS for tag in ("dev", digest)]
    several = ["--multi-image-archive"] if engine.name == "podman" else []
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        archive = Path(folder) / "images.tar"
        engine.call("save", *several, "--output", str(archive), *names, timeout_s=_TIMEOUT_S)
        cluster.load(archive)


def _built(engine: Engine, checkout: Path) -> str:
    if engine.name == "podman":
        packages.ensure(*nodeimage.NEEDED_PACKAGES)
        debian.load_into(engine)
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        context = Path(folder) / "context"
        copy_content(checkout, context)  # first, because a checkout may change while it is built
        digest = digest_of(digest_of_content(context), *_base_arguments(engine))
        if not all(engine.has_image(image_name(target, digest)) for target in TARGETS):
            with step("build the product's images") as log:
                for target in reversed(TARGETS):
                    _build_target(engine, target, digest, context, Path(folder), log)
        for target in TARGETS:
            engine.call("tag", image_name(target, digest), image_name(target))
    return digest


def _remove_older(engine: Engine, digest: str) -> None:
    """Forgets images of earlier checkouts; layers that the present ones are made of stay."""
    for target in TARGETS:
        name = image_name(target).removesuffix(":dev")
        listed = engine.call("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={name}").split()
        for image in sorted(set(listed) - {image_name(target), image_name(target, digest)}):
            with contextlib.suppress(CommandFailed):  # one that a container uses
                engine.call("rmi", image, timeout_s=120)


def _build_target(engine: Engine, target: str, digest: str, context: Path, folder: Path, log: Path) -> None:
    argv = [engine.name, "build", "--network", "host", "--target", target, "--tag", image_name(target, digest)]
    if engine.name == "podman":
        argv += ["--isolation", "chroot"]
    for argument in _base_arguments(engine):
        argv += ["--build-arg", argument]
    with _secrets(folder) as secrets:
        for secret in secrets:
            argv += ["--secret", secret]
        logged([*argv, str(context)], log, timeout_s=_TIMEOUT_S, env={**engine.env, "DOCKER_BUILDKIT": "1"})


def _base_arguments(engine: Engine) -> list[str]:
    """The base: MR_BASE_IMAGE, or the Debian base made here where no registry is to be expected, or the default."""
    asked = os.environ.get("MR_BASE_IMAGE", debian.BASE_IMAGE if engine.name == "podman" else "")
    return [f"BASE={asked}"] if asked else []


@contextmanager
def _secrets(folder: Path) -> Iterator[list[str]]:
    """How pip reaches the package index, as the Dockerfile's secrets, for the time of a build."""
    found = pipconfig.settings(pipconfig.files_of_this_machine(), os.environ)
    trusted = pipconfig.certificates(found, os.environ)
    config = folder / "pip.conf"
    config.touch(mode=0o600)
    config.write_text(pipconfig.config_file(found, has_certificates=trusted is not None))
    try:
        yield [f"id=pip,src={config}", *([f"id=ca,src={trusted}"] if trusted else [])]
    finally:
        config.unlink()


def _scratch() -> Path:
    """Large temporary files lie beside the cache: /tmp may be memory."""
    folder = cache_root() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
