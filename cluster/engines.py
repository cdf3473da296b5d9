"""The container engine that holds the nodes: Docker as the machine has it, or podman with a configuration of our own.

Podman's own configuration, storage and networks stay as they are: ours lie in the cache folder and under `/run`.
"""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from cluster.caching import cache_root
from cluster.running import output

RUN_FOLDER = Path("/run/mapreduce-cluster")
"""What podman forgets at a reboot."""
MOST_FILES, MOST_PROCESSES = 1_048_576, 4_194_304
"""Podman's own limits: it asks for these whether or not they may be set."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine's command line."""

    name: str
    """`podman` or `docker`."""
    env: dict[str, str] = field(default_factory=dict)
    """Its environment, besides the machine's."""

    def call(self, *args: str, timeout_s: float = 60.0, given: bytes | Path | None = None) -> str:
        """Standard output of one command of the engine."""
        return output([self.name, *args], timeout_s=timeout_s, env=self.env, given=given)

    def inside(self, node: str, *args: str, timeout_s: float = 60.0, given: bytes | Path | None = None) -> str:
        """Standard output of a program in a node; `given` is its standard input."""
        flags = ["-i"] if given is not None else []
        return self.call("exec", *flags, node, *args, timeout_s=timeout_s, given=given)

    def has_image(self, image: str) -> bool:
        """Whether an image is in the engine's storage."""
        return bool(self.call("images", "--quiet", "--filter", f"reference={image}").strip())


def docker() -> Engine:
    """The machine's Docker."""
    return Engine("docker")


def podman() -> Engine:
    """The machine's podman with our configuration, which is written now."""
    folder = cache_root() / "podman"
    folder.mkdir(parents=True, exist_ok=True)
    _, hard_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    _, hard_processes = resource.getrlimit(resource.RLIMIT_NPROC)
    most_ids = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman lowers its own limit to this while it builds
    files = {
        "containers.conf": containers_conf(folder, hard_files, hard_processes, most_ids),
        "storage.conf": storage_conf(folder),
    }
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)
    return Engine("podman", environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """What makes podman, kind and buildah use the configuration in `folder`."""
    return {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "KIND_EXPERIMENTAL_PROVIDER": "podman",
    }


def containers_conf(folder: Path, most_files: int, most_processes: int, most_ids: int) -> str:
    """Podman's configuration.

    runc, because crun refuses the hybrid of both cgroup versions; cgroupfs, because there may be no systemd; netavark,
    because with the older networks the names of nodes do not resolve; ulimits within what this process may set, because
    podman's own defaults are above it where the capability for more is missing; addresses from the range for benchmarks
    (RFC 2544), which no real network uses.
    """
    files = MOST_FILES if most_files < 0 else min(most_files, MOST_FILES)
    processes = min(most_ids, MOST_PROCESSES) if most_processes < 0 else min(most_ids, most_processes, MOST_PROCESSES)
    return f"""\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
log_driver = "k8s-file"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{RUN_FOLDER}/libpod"

[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
default_subnet = "198.19.255.0/24"
default_subnet_pools = [{{"base" = "198.19.0.0/16", "size" = 24}}]
"""


def storage_conf(folder: Path) -> str:
    """Where podman keeps images and containers."""
    return f"""\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{RUN_FOLDER}/storage"
"""


def is_installed(name: str) -> bool:
    """Whether the engine's program is on this machine."""
    return shutil.which(name) is not None
