"""Images made without an engine, and the text that the node image is made from."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from cluster import debian, nodeimage
from cluster.archives import Image, write_archive, write_layer
from cluster.engines import containers_conf

LISTED = """\
registry.k8s.io/kube-apiserver:v1.34.4
registry.k8s.io/kube-controller-manager:v1.34.4
registry.k8s.io/kube-scheduler:v1.34.4
registry.k8s.io/kube-proxy:v1.34.4
registry.k8s.io/coredns/coredns:v1.12.1
registry.k8s.io/pause:3.10.1
registry.k8s.io/etcd:3.6.5-0
"""


def _layer(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_bytes(name.encode() * 100)
    return write_layer(folder / f"{name}.tar", {f"/usr/bin/{name}": program})


def test_a_layer_holds_programs_that_anyone_may_run(tmp_path: Path) -> None:
    with tarfile.open(_layer(tmp_path, "tool")) as tar:
        member = tar.getmember("usr/bin/tool")
        assert (member.mode, member.uid, member.mtime) == (0o755, 0, 0)


def test_an_archive_says_of_each_image_its_name_and_layers_and_holds_a_shared_layer_once(tmp_path: Path) -> None:
    base, tool = _layer(tmp_path, "base"), _layer(tmp_path, "tool")
    images = [Image("example.com/base:1", (base,)), Image("example.com/tool:1", (base, tool), entrypoint=("/tool",))]
    write_archive(tmp_path / "images.tar", images, "amd64")
    with tarfile.open(tmp_path / "images.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(tar.extractfile(manifest[1]["Config"]) or pytest.fail("no config"))
    assert len([name for name in names if name.endswith(".tar")]) == 2
    assert [entry["RepoTags"] for entry in manifest] == [["example.com/base:1"], ["example.com/tool:1"]]
    digests = [hashlib.sha256(layer.read_bytes()).hexdigest() for layer in (base, tool)]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
    assert config["config"]["Entrypoint"] == ["/tool"]
    assert "/usr/sbin" in config["config"]["Env"][0]


def test_the_same_layers_give_the_same_archive(tmp_path: Path) -> None:
    images = [Image("example.com/base:1", (_layer(tmp_path, "base"),))]
    for name in ("one", "two"):
        write_archive(tmp_path / name, images, "amd64")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_images_get_the_names_that_kubeadm_will_ask_for() -> None:
    names = nodeimage.images_of_kubeadm(LISTED)
    assert names["coredns"] == "registry.k8s.io/coredns/coredns:v1.12.1"
    assert names["etcd"] == "registry.k8s.io/etcd:3.6.5-0"


def test_a_control_plane_that_lacks_an_image_is_no_surprise_later() -> None:
    with pytest.raises(LookupError, match="pause"):
        nodeimage.images_of_kubeadm(LISTED.replace("registry.k8s.io/pause:3.10.1\n", ""))


def test_containerd_is_told_the_pause_image_that_it_has() -> None:
    config = '[plugins.cri]\n  sandbox_image = "other"\n  x = 1\n'
    assert nodeimage.with_sandbox_image(config, "mine") == '[plugins.cri]\n  sandbox_image = "mine"\n  x = 1\n'


def test_a_configuration_that_names_no_pause_image_is_refused() -> None:
    with pytest.raises(LookupError, match="sandbox image"):
        nodeimage.with_sandbox_image("x = 1\n", "mine")


def test_the_storage_manifest_names_only_images_of_the_node_image() -> None:
    manifest = nodeimage.storage_manifest()
    assert "@" not in manifest
    assert manifest.count(debian.BASE_IMAGE) == 2
    assert nodeimage.PROVISIONER_IMAGE in manifest


@pytest.mark.parametrize(
    ("files", "processes", "ids", "said"),
    [
        (20000, 96365, 32768, '["nofile=20000:20000", "nproc=32768:32768"]'),
        (-1, -1, 4194304, '["nofile=1048576:1048576", "nproc=4194304:4194304"]'),
    ],
)
def test_podman_asks_for_no_more_than_may_be_set(files: int, processes: int, ids: int, said: str) -> None:
    assert f"default_ulimits = {said}" in containers_conf(Path("/somewhere"), files, processes, ids)
