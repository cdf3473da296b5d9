"""A volume of its own that can be filled to the last byte: a small tmpfs, where this process may mount one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1 << 20


@dataclass(frozen=True)
class SmallDisk:
    """A mounted volume."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, *, but_bytes: int) -> None:
        """Leave this much free."""
        with self._ballast.open("ab") as file:
            while (excess := self._free_bytes() - but_bytes) > 0:  # others write meanwhile
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, excess)

    def _free_bytes(self) -> int:
        facts = os.statvfs(self.folder)
        return facts.f_bavail * facts.f_frsize

    def make_room(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a volume there; skip the test where that is not possible."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small volume")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small volume can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
