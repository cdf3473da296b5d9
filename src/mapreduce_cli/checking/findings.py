"""What a check has found, as data that crosses a process, and as plain words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Level = Literal["problem", "warning", "note"]

_ORDER: Final[dict[Level, int]] = {"problem": 0, "warning": 1, "note": 2}


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to know about a job's code. A problem makes a run fail or its result wrong; a warning may."""

    level: Level
    what: str
    where: str = ""
    """The record or key at which it was seen."""
    fix: str = ""
    traceback: str = ""


def describe(finding: Finding) -> str:
    """A finding as a person reads it, several lines."""
    lines = [f"{finding.level}: {finding.what}"]
    if finding.where:
        lines.append(f"  seen at  {finding.where}")
    if finding.fix:
        lines.append(f"  fix      {finding.fix}")
    lines += [f"  {line}" for line in finding.traceback.rstrip().splitlines()]
    return "\n".join(lines)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Problems first, each thing said once."""
    seen: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        seen.setdefault((finding.level, finding.what), finding)
    return sorted(seen.values(), key=lambda finding: _ORDER[finding.level])


def has_problems(findings: Iterable[Finding]) -> bool:
    """Whether any of them is more than a warning."""
    return any(finding.level == "problem" for finding in findings)
