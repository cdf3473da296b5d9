"""Container images without an engine: an archive in the format of `docker save`, written from layers that are tars.

`ctr images import`, `podman load` and `docker load` read it. The same layers and facts give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of an image: with the sbin folders, else kube-proxy does not find iptables."""
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive."""

    name: str
    """Its full name with the tag."""
    layers: tuple[Path, ...]
    """Uncompressed tars, lowest first."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: {"PATH": SYSTEM_PATH})


def write_layer(target: Path, files: Mapping[str, Path]) -> Path:
    """A layer with programs: path in the image to file here; owned by root, executable, without a date."""
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, source in sorted(files.items()):
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size = source.stat().st_size
            info.mode = 0o755
            with source.open("rb") as content:
                tar.addfile(info, content)
    return target


def write_archive(target: Path, images: Iterable[Image], architecture: str) -> None:
    """Writes the images into one archive; a layer that several of them have is in it once."""
    manifest: list[dict[str, Any]] = []
    digests: dict[Path, str] = {}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for image in images:
            for layer in image.layers:
                if layer not in digests:
                    digests[layer] = _digest(layer)
                    tar.add(layer, f"{digests[layer]}.tar", filter=_without_owner_and_date)
            layers = [digests[layer] for layer in image.layers]
            config = json.dumps(_config(image, layers, architecture), sort_keys=True).encode()
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(tar, config_name, config)
            manifest.append(
                {"Config": config_name, "RepoTags": [image.name], "Layers": [f"{digest}.tar" for digest in layers]}
            )
        _add(tar, "manifest.json", json.dumps(manifest, sort_keys=True).encode())


def _config(image: Image, layers: Sequence[str], architecture: str) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": {
            "Env": [f"{name}={value}" for name, value in sorted(image.env.items())],
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        "history": [{"created": _EPOCH} for _ in layers],
    }


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _without_owner_and_date(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
    return info
