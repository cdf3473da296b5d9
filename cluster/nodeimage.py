"""The node image where no registry answers: kind's base files, programs built here, Debian's containerd and systemd.

The images of the control plane are in containerd's store already, so that a node starts without importing anything.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from cluster import archives, debian, gobuild, packages, programs
from cluster.archives import Image
from cluster.caching import cache_root, digest_of, digest_of_files, locked, made_once
from cluster.engines import Engine
from cluster.errors import CommandFailed
from cluster.running import logged, output, step

FILES: Final = Path(__file__).resolve().parent / "image"
NEEDED_PACKAGES: Final = ("podman", "conmon", "runc", "netavark", "aardvark-dns", "iptables", "debootstrap", "openssl")
PROVISIONER_IMAGE: Final = "localhost/local-path-provisioner:node"
_NODE_PROGRAMS: Final = ("kubeadm", "kubelet", "kubectl")
_SCRATCH_PROGRAMS: Final = {
    "kube-apiserver": "/usr/local/bin/kube-apiserver",
    "kube-controller-manager": "/usr/local/bin/kube-controller-manager",
    "kube-scheduler": "/usr/local/bin/kube-scheduler",
    "etcd": "/usr/local/bin/etcd",
    "coredns": "/coredns",
    "pause": "/pause",
}
"""Images that are one static program, and where kubeadm or containerd expects it."""


def ensure(engine: Engine) -> str:
    """The node image's name in the engine's storage, built when it is not there yet."""
    packages.ensure(*NEEDED_PACKAGES)
    system = _system_image(engine)
    image = _image_name(system)
    if not engine.has_image(image):
        with locked("node-image"):
            if not engine.has_image(image):
                _build(engine, image, system)
    return image


def ensure_system(engine: Engine) -> None:
    """The layers below the node image, which need nothing that Go builds."""
    packages.ensure(*NEEDED_PACKAGES)
    _system_image(engine)


def remove_older(engine: Engine) -> list[str]:
    """Removes node images of earlier recipes that no container uses; returns their names."""
    system = _system_image(engine)
    current = {system, _image_name(system)}
    removed = []
    for kind in ("mapreduce-node", "mapreduce-system"):
        listed = engine.call("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={kind}")
        for image in sorted(set(listed.split()) - current):
            try:
                engine.call("rmi", image, timeout_s=120)
            except CommandFailed:
                continue  # a running cluster's
            removed.append(image)
    return removed


def images_of_kubeadm(listed: str) -> dict[str, str]:
    """Program to image name, from what `kubeadm config images list` prints."""
    names = {image.rsplit("/", 1)[1].split(":")[0]: image for image in listed.split()}
    absent = {*_SCRATCH_PROGRAMS, "kube-proxy"} - names.keys()
    if absent:
        raise LookupError(f"kubeadm names no image for {', '.join(sorted(absent))}")
    return names


def _system_image(engine: Engine) -> str:
    image = (
        f"localhost/mapreduce-system:{digest_of(debian.entry_name(), digest_of_files([FILES / 'system.Dockerfile']))}"
    )
    if not engine.has_image(image):
        with locked("system-image"):
            if not engine.has_image(image):
                debian.load_into(engine)
                with step("build system image") as log:
                    _bud(engine, image, "system.Dockerfile", FILES, log, f"BASE={debian.BASE_IMAGE}")
    return image


def _image_name(system: str) -> str:
    """With the digest of everything the node image is made from."""
    units = [gobuild.entry_of(unit) for group in ("api", "nodes", "kind") for unit in programs.units_of(group)]
    digest = digest_of(system, digest_of_files(FILES.iterdir()), _recipe_digest(), *units)
    return f"localhost/mapreduce-node:{programs.kubernetes_version()}-{digest}"


def _recipe_digest() -> str:
    return digest_of_files([Path(__file__), Path(archives.__file__)])


def _build(engine: Engine, image: str, system: str) -> None:
    names = images_of_kubeadm(_kubeadm_images())
    archive = _image_archive(names)
    with step("build node image") as log, tempfile.TemporaryDirectory(dir=cache_root()) as folder:
        context = Path(folder)
        _fill_root(context / "root", names)
        shutil.copy(FILES / "node.Dockerfile", context)
        _bud(engine, image, "node.Dockerfile", context, log, f"SYSTEM={system}", mounted=archive.parent)


def _kubeadm_images() -> str:
    argv = [str(gobuild.program("kubeadm")), "config", "images", "list"]
    return output([*argv, "--kubernetes-version", programs.kubernetes_version()], timeout_s=60)


def _image_archive(names: dict[str, str]) -> Path:
    """All images a node starts with, as one archive; the Debian base is in it once."""
    base = debian.layer()
    paths = {name: gobuild.program(name) for name in (*_SCRATCH_PROGRAMS, "kube-proxy", "local-path-provisioner")}
    inputs = (debian.entry_name(), _recipe_digest(), *names.values(), *map(str, paths.values()))

    def make(folder: Path) -> None:
        images = [debian.base_image(base)]
        for name, place in _SCRATCH_PROGRAMS.items():
            layer = archives.write_layer(folder / f"{name}.tar", {place: paths[name]})
            images.append(Image(names[name], (layer,), entrypoint=(place,)))
        for name, image in (("kube-proxy", names["kube-proxy"]), ("local-path-provisioner", PROVISIONER_IMAGE)):
            layer = archives.write_layer(folder / f"{name}.tar", {f"/usr/local/bin/{name}": paths[name]})
            below = (base,) if name == "kube-proxy" else ()  # it calls iptables
            images.append(Image(image, (*below, layer), entrypoint=(f"/usr/local/bin/{name}",)))
        archives.write_archive(folder / "images.tar", images, debian.machine_architecture())
        for layer in folder.glob("*.tar"):
            if layer.name != "images.tar":
                layer.unlink()

    with step("archive of the control plane"):
        return made_once(f"archive/control-plane-{digest_of(*inputs)}", make) / "images.tar"


def _fill_root(root: Path, names: dict[str, str]) -> None:
    """The files that are laid over the system layer."""
    kind_files = gobuild.module_folder("kind", "sigs.k8s.io/kind") / "images" / "base" / "files"
    shutil.copytree(kind_files, root)
    for path in [root, *root.rglob("*")]:  # the module cache is read-only
        path.chmod(0o755 if path.is_dir() else 0o644)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    for name in _NODE_PROGRAMS:
        shutil.copy(gobuild.program(name), root / "usr/bin" / name)
    kind = root / "kind"
    (kind / "manifests").mkdir(exist_ok=True)
    (kind / "version").write_text(programs.kubernetes_version())
    (kind / "manifests" / "default-storage.yaml").write_text(storage_manifest())
    shutil.copy(FILES / "setup-node.sh", kind)
    config = root / "etc/containerd/config.toml"
    config.write_text(with_sandbox_image(config.read_text(), names["pause"]))


def storage_manifest() -> str:
    """The default StorageClass with the images of this node image."""
    text = (FILES / "default-storage.yaml").read_text()
    return text.replace('"@PROVISIONER@"', PROVISIONER_IMAGE).replace("@HELPER@", debian.BASE_IMAGE)


def with_sandbox_image(config: str, image: str) -> str:
    """containerd's configuration with the pause image that is in its store."""
    lines = config.splitlines()
    changed = [f'  sandbox_image = "{image}"' if line.strip().startswith("sandbox_image") else line for line in lines]
    if changed == lines and f'sandbox_image = "{image}"' not in config:
        raise LookupError("kind's containerd configuration names no sandbox image")
    return "\n".join(changed) + "\n"


def _bud(
    engine: Engine, image: str, dockerfile: str, context: Path, log: Path, argument: str, mounted: Path | None = None
) -> None:
    """Builds an image in a chroot: no network of its own, hence no set-up of one, and no nested container."""
    argv = [engine.name, "build", "--isolation", "chroot", "--network", "host", "--build-arg", argument]
    if mounted:
        argv += ["--volume", f"{mounted}:/archive:ro"]
    argv += ["--tag", image, "--file", str(context / dockerfile), str(context)]
    logged(argv, log, timeout_s=1800, env=engine.env)
