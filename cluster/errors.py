"""What can go wrong while the cluster is made or used. A message ends with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ClusterError(Exception):
    """The cluster, or a part of it, cannot be had."""


class CommandFailed(ClusterError):
    """A program ended with an error, or did not end in time.

    `exit_code` is None when the time was up; `said` is the end of what it printed.
    """

    def __init__(self, argv: Sequence[str], exit_code: int | None, said: str, log: Path | None = None) -> None:
        self.argv = tuple(argv)
        self.exit_code = exit_code
        self.said = said
        self.log = log
        how = "was ended because its time was up" if exit_code is None else f"ended with exit code {exit_code}"
        where = f"\nThe whole output is in {log}" if log else ""
        super().__init__(f"{' '.join(argv[:6])}{' …' if len(argv) > 6 else ''} {how}:\n{_end_of(said)}{where}")


class MissingPart(ClusterError):
    """Something has to be installed that cannot be installed from here."""


def _end_of(said: str, lines: int = 15) -> str:
    return "\n".join(f"  {line}" for line in said.strip().splitlines()[-lines:]) or "  (it said nothing)"
