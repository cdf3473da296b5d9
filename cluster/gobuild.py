"""Builds programs from Go modules into the cache, through the Go tool as this machine has it set up.

The Go tool's own caches make a build resumable: one that was cut short goes on where it was.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path

from cluster.caching import cache_root, digest_of, digest_of_files, made_once
from cluster.errors import CommandFailed, MissingPart
from cluster.programs import GO_FOLDER, Unit, kubernetes_version, linker_flags, unit_of, version_of
from cluster.running import logged, output, step

BUILD_TIMEOUT_S = 3600.0
"""All of Kubernetes takes six minutes on two cores; machines and registries may be ten times slower."""


def program(name: str) -> Path:
    """The path of a program, built when it is not there yet."""
    return built(unit_of(name)) / name


def built(unit: Unit) -> Path:
    """The folder of a unit's programs, built when it is not there yet."""
    folder = made_once(entry_of(unit), lambda part: _build(unit, part))
    _link(folder, unit)
    return folder


def entry_of(unit: Unit) -> str:
    """The unit's cache entry: another for other sources, flags, processors or another Go."""
    sources = digest_of_files(path for path in (GO_FOLDER / unit.folder).iterdir() if path.is_file())
    return f"go/{unit.name}-{digest_of(sources, *unit.packages, _flags(unit), _go_version())}"


def module_folder(folder: str, module: str) -> Path:
    """Where the Go tool keeps the sources of `module`, fetched when they are not there."""
    argv = [_go(), "list", "-m", "-f", "{{.Dir}}", module]
    version = version_of(folder, module)
    output([_go(), "mod", "download", f"{module}@{version}"], timeout_s=600, env=_env(), cwd=GO_FOLDER / folder)
    return Path(output(argv, timeout_s=60, env=_env(), cwd=GO_FOLDER / folder).strip())


def _build(unit: Unit, folder: Path) -> None:
    single = len(unit.packages) == 1
    target = str(folder / unit.programs[0]) if single else f"{folder}/"
    argv = [_go(), "build", "-trimpath", "-ldflags", _flags(unit), "-o", target, *unit.packages]
    with step(f"build {unit.name}") as log:
        logged(argv, log, timeout_s=BUILD_TIMEOUT_S, env=_env(), cwd=GO_FOLDER / unit.folder)


def _flags(unit: Unit) -> str:
    version = version_of(unit.folder, unit.module) if unit.module else ""
    return linker_flags(unit, version, kubernetes_version())


def _link(folder: Path, unit: Unit) -> None:
    """Puts the programs into one folder for people's PATH; `helm` is Helm 3."""
    common = cache_root() / "bin"
    common.mkdir(parents=True, exist_ok=True)
    links = {name: folder / name for name in unit.programs}
    if "helm3" in links:
        links["helm"] = links["helm3"]
    for name, target in links.items():
        link = common / name
        if link.is_symlink() and link.readlink() == target:
            continue
        fresh = common / f".{name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)


def _env() -> dict[str, str]:
    # The programs run in containers of another distribution, hence no libc; what is committed decides versions, hence
    # readonly and no workspace of a folder above.
    return {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


@cache
def _go() -> str:
    """The Go tool, new enough for every module here."""
    needed = max(_numbers(path.read_text(), r"^go (\S+)") for path in GO_FOLDER.glob("*/go.mod"))
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if candidate and Path(candidate).exists():
            try:
                said = output([candidate, "version"], timeout_s=60)
            except CommandFailed:
                continue
            if _numbers(said, r"go(\d\S*)") >= needed:
                return candidate
    raise MissingPart(
        f"Go {'.'.join(map(str, needed))} or later is needed to build Kubernetes: install it and put it on PATH"
    )


@cache
def _go_version() -> str:
    return output([_go(), "version"], timeout_s=60)


def _numbers(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(int(number) for number in re.findall(r"\d+", found[1])[:2]) if found else (0, 0)
