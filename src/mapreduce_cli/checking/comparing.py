"""What two processes saw of one job, compared: what differs first, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mapreduce_cli.checking import reports
from mapreduce_cli.checking.findings import Finding, has_problems
from mapreduce_cli.checking.reports import Call, Report

_HASHES = (
    "Strings hash differently in each process, so a set of them, or hash() of one, is in another order: write "
    "`sorted(...)` around the set. Time, random numbers, ids and files that change do the same: pass values by --arg, "
    "seed `random.Random` from the record."
)
_GLOBALS = (
    "Something in a global variable, a default argument or a class goes from one task to the next; tasks run in any "
    "process and any order. Keep it in keys and values, or make it anew in each call."
)


def compare(first: Report, second: Report) -> list[Finding]:
    """Findings that only the comparison shows. Both must have got to their end."""
    known = [*first.findings, *second.findings]
    found = [*_of_calls("mapper", first.mapped, second.mapped), *_of_calls("reducer", first.reduced, second.reduced)]
    if not found and not has_problems(known):  # the whole can only show again what a part has shown
        found = [finding for finding in _of_runs(first, second) if finding is not None]
    return found[:1]


def _of_calls(role: str, one: Sequence[Call], other: Sequence[Call]) -> Iterator[Finding]:
    for mine, theirs in zip(one, other, strict=False):
        if mine.digest != theirs.digest:
            yield Finding(
                level="problem",
                what=f"the {role} is not deterministic: called again in another process it yields something else",
                where=mine.place + _two(mine.shown, theirs.shown),
                fix=_HASHES,
            )
            return


def _of_runs(first: Report, second: Report) -> Iterator[Finding | None]:
    engine = first.outputs.get(reports.ENGINE)
    if engine is None:
        return
    others = (
        (first.outputs.get(reports.AGAIN), "run again in the same process the sample gives two results", _HASHES),
        (second.outputs.get(reports.ENGINE), "run in another process the sample gives two results", _HASHES),
        (
            second.outputs.get(reports.ANEW),
            "the sample gives two results when each task runs in a process of its own: tasks depend on one another",
            _GLOBALS,
        ),
        (
            second.outputs.get(reports.UNCOMBINED),
            "with and without the combiner the sample gives two results",
            "Leave the combiner out, or make it give what the reducer can take in place of the values.",
        ),
        (
            first.outputs.get(reports.REFERENCE),
            "the sample gives two results: the engine's differs from that of the plain reference",
            "A combiner that changes results does that, and a mapper per split whose result depends on where splits "
            "end; if it is neither, please report it.",
        ),
    )
    for parts, what, fix in others:
        yield None if parts is None else _of_outputs(engine, parts, what, fix)


def _of_outputs(one: dict[str, bytes], other: dict[str, bytes], what: str, fix: str) -> Finding | None:
    for name in sorted({*one, *other}):
        mine, theirs = one.get(name, b"").split(b"\n"), other.get(name, b"").split(b"\n")
        for number in range(max(len(mine), len(theirs))):
            line = mine[number] if number < len(mine) else b""
            their_line = theirs[number] if number < len(theirs) else b""
            if line != their_line:
                where = f"{name}, line {number + 1}" + _two(_shown(line), _shown(their_line))
                return Finding(level="problem", what=what, where=where, fix=fix)
    return None


def _two(one: str, other: str) -> str:
    """Both, below the place where they differ."""
    return f"\n           once   {one}\n           again  {other}"


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return text if len(text) <= 200 else text[:200] + "..."
