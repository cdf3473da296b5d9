"""Facts of the machine that a figure depends on, and a fixed piece of work that shows a slow spell of it."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

_WORDS = [f"w{index * 7919 % 40009}" for index in range(400_000)]


def machine_facts(folder: Path) -> dict[str, Any]:
    """Processor, memory, kernel, Python, and the time of one fdatasync in `folder`."""
    return {
        "cpu": _first_field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int((_first_field(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0]) // 1024,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "fdatasync_ms": fdatasync_ms(folder),
        "calibration_ms": calibration_ms(),
    }


def fdatasync_ms(folder: Path, count: int = 200) -> float:
    """Median time of appending 256 bytes and making them durable, in the file system of `folder`."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(count):
            os.write(file.fileno(), b"x" * 256)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return round(statistics.median(took) * 1e3, 3)


def calibration_ms() -> float:
    """Best of three times of counting the same 400 000 words: compare it between runs before comparing the runs."""
    best = float("inf")
    for _ in range(3):
        counts: dict[str, int] = {}
        start = time.perf_counter()
        for word in _WORDS:
            counts[word] = counts.get(word, 0) + 1
        best = min(best, time.perf_counter() - start)
    return round(best * 1e3, 1)


def _first_field(path: Path, name: str) -> str:
    try:
        text = path.read_text()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name)), "")
