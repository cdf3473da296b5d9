"""What the system says about the memory of the container that this process is in (cgroup v2 or v1); reading only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
#: More than any machine has: how "no limit" is written in cgroup v1.
_NO_LIMIT_BYTES: Final = 1 << 60


def memory_limit_bytes(root: Path = _ROOT) -> int:
    """Most memory that the container may use; 0: no limit, or none that can be seen."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / name)
        if text.isdecimal():
            return int(text) if int(text) < _NO_LIMIT_BYTES else 0
    return 0


def killed_for_memory_count(root: Path = _ROOT) -> int:
    """How many processes of the container the system has ended so far because its memory was used up."""
    for name in ("memory.events", "memory/memory.oom_control"):
        for line in _read(root / name).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.isdecimal():
                return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
