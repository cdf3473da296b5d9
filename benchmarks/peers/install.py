"""Installs the peers into a virtual environment of their own in the cache folder; a peer that fails is left out.

The environment is keyed by the requirements and by Python's version, so that a change of either makes a new one.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.caching import cache_root, cached_folder

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def environment_name() -> str:
    """Name of the cache entry."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return f"peers/python{sys.version_info[0]}.{sys.version_info[1]}-{digest}"


def environment_python() -> Path:
    """The interpreter of the peers' environment, whether or not it exists."""
    return cache_root() / environment_name() / "bin" / "python"


def build(folder: Path) -> None:
    """Creates the environment and installs one requirement after the other."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    for pin in pins:
        print(f"installing {pin}", file=sys.stderr, flush=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", pin]
        if subprocess.run(pip, stdin=subprocess.DEVNULL, check=False).returncode:
            print(f"{pin} cannot be installed here; its benchmarks will be skipped", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(cached_folder(environment_name(), build))
