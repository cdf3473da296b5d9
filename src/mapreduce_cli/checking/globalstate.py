"""Whether a job's functions change global variables of their module: what one task leaves there, another never sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final

from mapreduce.api import Job
from mapreduce_cli.checking.findings import Finding

_MOST_CHARS: Final = 1_000_000
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_LEFT_ALONE: Final = (ModuleType, FunctionType, type, Job)


def fingerprints(module: ModuleType) -> dict[str, int]:
    """A number for the value of each global variable, which changes when the value does."""
    return {
        name: _fingerprint(value)
        for name, value in vars(module).items()
        if not name.startswith("__") and not isinstance(value, _LEFT_ALONE)
    }


def changed_globals(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Names of the variables that were changed or made."""
    return [name for name, number in after.items() if before.get(name) != number]


def finding_about(names: Iterable[str]) -> Finding | None:
    """What to say about changed variables, if there are any."""
    found = sorted(names)
    if not found:
        return None
    shown = ", ".join(found)
    return Finding(
        level="warning",
        what=f"the functions change the global variable{'s' if len(found) > 1 else ''} {shown}; every task starts with "
        f"those of a process that has run any other tasks, or none",
        fix="A cache is fine. Anything that results depend on belongs into keys and values; counts into ctx.count().",
    )


def _fingerprint(value: Any) -> int:
    try:
        return hash(_ADDRESS.sub("", repr(value))[:_MOST_CHARS])
    except Exception:  # a repr of the user's that raises, or digits beyond the limit
        return 0
