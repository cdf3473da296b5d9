"""Failed attempts grouped by what went wrong: one entry for each cause, however many attempts met it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from mapreduce.protocol.messages import FailureSample

#: What differs between two failures of one cause: numbers, addresses, quoted values.
_VARYING: Final = re.compile(r"0x[0-9a-fA-F]+|\d+|'[^']*'|\"[^\"]*\"")
_FRAME: Final = re.compile(r'File "(?P<file>[^"]*)", line (?P<line>\d+)')
_LONGEST_TITLE: Final = 160
_MOST_TASKS: Final = 20


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that failed for one cause, newest sample shown."""

    title: str
    """First line of the newest message."""
    failure_class: str
    count: int
    first_at: float
    last_at: float
    tasks: tuple[str, ...]
    """Tasks that met it, in order of first failure; at most 20."""
    newest: FailureSample


def signature(sample: FailureSample) -> tuple[str, str, str]:
    """What makes two failures the same: class, the place in the user's code, the message without its numbers."""
    failure = sample.failure
    frames = _FRAME.findall(failure.traceback)
    place = ":".join(frames[-1]) if frames else ""
    first = failure.message.strip().partition("\n")[0]
    return failure.failure_class, place, _VARYING.sub("#", first)


def group_failures(samples: Iterable[FailureSample]) -> tuple[FailureGroup, ...]:
    """Groups with the largest first; samples are in order of time."""
    found: dict[tuple[str, str, str], list[FailureSample]] = {}
    for sample in samples:
        found.setdefault(signature(sample), []).append(sample)
    groups = [_group(members) for members in found.values()]
    return tuple(sorted(groups, key=lambda group: (-group.count, -group.last_at)))


def _group(members: list[FailureSample]) -> FailureGroup:
    newest = members[-1]
    title = newest.failure.message.strip().partition("\n")[0]
    return FailureGroup(
        title=title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]}...",
        failure_class=newest.failure.failure_class,
        count=len(members),
        first_at=members[0].at,
        last_at=newest.at,
        tasks=tuple(dict.fromkeys(member.id.task for member in members))[:_MOST_TASKS],
        newest=newest,
    )
