"""What `mr doctor` looks at on this machine: Python, disk, the state folder's file system, what old runs left."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from mapreduce.units import format_size

Verdict = Literal["ok", "note", "bad", "unknown"]

_LEAST_FREE_BYTES: Final = 1 << 30
_LEAST_FREE_SHARE: Final = 0.05
#: File systems whose look-ups other machines cache: nothing keeps two coordinators apart there.
_NETWORK_TYPES: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    finding: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of /proc/mounts."""

    path: Path
    kind: str


def check_machine(state: Path | None) -> list[Finding]:
    """All findings about this machine, and about a state folder."""
    scratch = Path(tempfile.gettempdir())
    found = [
        check_python(),
        check_client(),
        check_free("temporary files", scratch),
        check_free("this folder", Path.cwd()),
    ]
    if state is not None:
        found += [check_free("state folder", state), check_file_system(state, read_mounts())]
    return [*found, check_coordinators(), check_leftovers(scratch)]


def check_python() -> Finding:
    """The interpreter that workers run with, too."""
    return Finding(subject="Python", verdict="ok", finding=f"{platform.python_version()} at {sys.executable}")


def check_client() -> Finding:
    """Whether clusters can be talked to. Looked for, not imported: that takes long."""
    import importlib.util

    if importlib.util.find_spec("kubernetes") is None:
        return Finding(
            subject="Kubernetes client",
            verdict="note",
            finding="not installed; clusters cannot be talked to",
            fix="pip install 'kubernetes>=36'",
        )
    return Finding(subject="Kubernetes client", verdict="ok", finding="installed")


def check_free(subject: str, folder: Path) -> Finding:
    """Room on the disk of a folder."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Finding(
            subject=subject,
            verdict="bad",
            finding=f"{folder}: {error.strerror or error}",
            fix="Name a folder that is there.",
        )
    text = f"{format_size(usage.free)} free of {format_size(usage.total)} ({folder})"
    if usage.free < _LEAST_FREE_BYTES or usage.free < _LEAST_FREE_SHARE * usage.total:
        return Finding(
            subject=subject, verdict="bad", finding=text, fix="Make room: runs and outputs need about the input's size."
        )
    return Finding(subject=subject, verdict="ok", finding=text)


def check_file_system(folder: Path, mounts: list[MountPoint]) -> Finding:
    """Whether two coordinators could serve a state folder at once without knowing of each other."""
    absolute = folder.resolve()
    holding = [mount for mount in mounts if absolute.is_relative_to(mount.path)]
    if not holding:
        return Finding(subject="file system", verdict="unknown", finding=f"of {folder} is not known here")
    mount = max(holding, key=lambda one: len(one.path.parts))
    if mount.kind in _NETWORK_TYPES:
        return Finding(
            subject="file system",
            verdict="bad",
            finding=f"{folder} is on {mount.kind}, whose look-ups are cached: two coordinators could serve it at once",
            fix="Put the state folder on a local disk; inputs and outputs may stay.",
        )
    return Finding(subject="file system", verdict="ok", finding=f"{folder} is on {mount.kind}")


def check_coordinators() -> Finding:
    """Coordinators of this user."""
    from mapreduce.coordinator.runtimefile import read_notes

    notes = read_notes()
    if not notes:
        return Finding(subject="coordinators", verdict="ok", finding="none of yours runs here")
    shown = ", ".join(f"{note.url} (process {note.pid}, {note.folder})" for note in notes)
    return Finding(subject="coordinators", verdict="ok", finding=shown)


def check_leftovers(scratch: Path) -> Finding:
    """Worker processes of ours whose parent has gone, by the process table of Linux."""
    orphans = [pid for pid in own_processes("mapreduce_worker") if parent_of(pid) == 1]
    if orphans and os.getpid() != 1 and not Path("/.dockerenv").exists():
        shown = ", ".join(map(str, orphans))
        return Finding(
            subject="processes",
            verdict="note",
            finding=f"workers run on their own: {shown}",
            fix=f"If no coordinator elsewhere uses them: kill {shown.replace(',', '')}",
        )
    return Finding(subject="processes", verdict="ok", finding="no worker was left behind")


def read_mounts(table: Path = Path("/proc/mounts")) -> list[MountPoint]:
    """What is mounted where; empty on systems without that file."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    return [MountPoint(Path(entry[1].replace("\\040", " ")), entry[2]) for entry in fields if len(entry) > 2]


def own_processes(module: str) -> list[int]:
    """Processes of this user that run `python -m MODULE`; empty without /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.getuid() and module.encode() in (folder / "cmdline").read_bytes().split(
                b"\0"
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return sorted(found)


def parent_of(pid: int) -> int:
    """The parent of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
