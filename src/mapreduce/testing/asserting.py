"""Comparing what a job gave with what was expected, in words that show the difference and not two walls of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mapreduce.dataplane.blame import shown
from mapreduce.dataplane.keys import canonical_bytes
from mapreduce.dataplane.recordformats import format_record, parse_jsonl
from mapreduce.testing.outcomes import Outcome

_MOST_SHOWN: Final = 10

Pairs = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
Grouped = dict[bytes, tuple[Any, list[Any]]]


def assert_output(outcome: Outcome | Pairs, expected: Pairs, *, in_order: bool = False) -> None:
    """Assert that a job gave exactly these records, given as a dict or as (key, value) pairs.

    Order does not matter unless `in_order`. Values may be given as the job emits them: tuples, dataclasses and Structs
    are compared by what the output says of them.
    """
    __tracebackhide__ = True
    got, wanted = _plain(outcome), _plain(expected)
    if in_order and got != wanted and _grouped(got) == _grouped(wanted):
        index = next(index for index, pair in enumerate(got) if pair != wanted[index])
        raise AssertionError(
            f"the records are right, but their order is not: record {index} is {shown(got[index])} and should be "
            f"{shown(wanted[index])}"
        )
    differences = list(_differences(_grouped(got), _grouped(wanted)))
    if differences:
        raise AssertionError(_message("the output is not what was expected", differences, len(got)))


def assert_same_output(one: Outcome | Pairs, other: Outcome | Pairs) -> None:
    """Assert that two jobs, or two runs of one, gave the same records."""
    __tracebackhide__ = True
    got, wanted = _plain(one), _plain(other)
    differences = list(_differences(_grouped(got), _grouped(wanted), names=("the first", "the second")))
    if differences:
        raise AssertionError(_message("the two outputs differ", differences, len(got)))


def assert_counters(outcome: Outcome, **expected: int) -> None:
    """Assert that these counters have these values; others may be there. A counter that was never raised is 0."""
    __tracebackhide__ = True
    wrong = [
        f"counter {name!r}: expected {count}, got {outcome.counters.get(name, 0)}"
        for name, count in expected.items()
        if outcome.counters.get(name, 0) != count
    ]
    if wrong:
        there = ", ".join(f"{name} {count}" for name, count in sorted(outcome.counters.items())) or "none"
        raise AssertionError("\n  ".join(["the counters are not what was expected:", *wrong, f"there are: {there}"]))


def _plain(records: Outcome | Pairs) -> list[tuple[Any, Any]]:
    """The pairs as an output says them, so that a tuple or a dataclass equals what is read back."""
    if isinstance(records, Outcome):
        return records.records
    pairs = records.items() if isinstance(records, Mapping) else records
    return [parse_jsonl(format_record(key, value, "jsonl")) for key, value in pairs]


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> Grouped:
    groups: Grouped = {}
    for key, value in pairs:
        groups.setdefault(canonical_bytes(key), (key, []))[1].append(value)
    return groups


def _differences(got: Grouped, wanted: Grouped, names: tuple[str, str] = ("got", "expected")) -> Iterator[str]:
    for name in sorted({*got, *wanted}):
        key = (wanted.get(name) or got[name])[0]
        mine = got.get(name, (key, []))[1]
        theirs = wanted.get(name, (key, []))[1]
        if mine != theirs and sorted(map(repr, mine)) != sorted(map(repr, theirs)):
            yield f"key {shown(key)}: {names[1]} {_values(theirs)}, {names[0]} {_values(mine)}"


def _values(values: list[Any]) -> str:
    if not values:
        return "nothing"
    return shown(values[0]) if len(values) == 1 else f"{len(values)} records {shown(values)}"


def _message(what: str, differences: list[str], count: int) -> str:
    lines = [f"{what}, at {len(differences)} key{'' if len(differences) == 1 else 's'} (of {count} records):"]
    lines += [f"  {line}" for line in differences[:_MOST_SHOWN]]
    if len(differences) > _MOST_SHOWN:
        lines.append(f"  ... and {len(differences) - _MOST_SHOWN} more")
    return "\n".join(lines)
