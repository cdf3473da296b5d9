"""What changed between the job that an output folder was begun with and the one asked for now, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from mapreduce.model import JobSpec
from mapreduce.ownerrecord import InputEntry, OwnerRecord

_SHOWN_NAMES: Final = 3


def describe_changes(
    old: OwnerRecord,
    new: OwnerRecord,
    *,
    old_inputs: Sequence[InputEntry] | None,
    new_inputs: Sequence[InputEntry],
) -> list[str]:
    """One short clause for each difference between what the folder was begun with and what is asked for now."""
    changes: list[str] = []
    if old.spec_digest != new.spec_digest:
        changes += _changed_fields(old.spec, new.spec) or ["the specification changed"]
    if old.code_digest != new.code_digest:
        changes.append(_changed_code(old.code, new.code))
    if old.inputs_digest != new.inputs_digest:
        changes.append(_changed_inputs(old_inputs, new_inputs))
    return changes


def kept_settings(begun: JobSpec, asked: JobSpec) -> list[str]:
    """Settings that were asked for now but keep the value the job was begun with, as clauses for a notice."""
    old, new = _settings(begun), _settings(asked)
    return [f"{name} stays {_value(value)}" for name, value in old.items() if new[name] != value]


def _settings(spec: JobSpec) -> dict[str, object]:
    """What decides only how the result is reached, by the names of the manifest; the number of workers may change."""
    return {
        "workers.memoryBudgetBytes": spec.workers.memory_budget_bytes,
        "workers.memoryLimitBytes": spec.workers.memory_limit_bytes,
        "storage.shuffle": spec.storage.shuffle,
        "storage.retainRuns": spec.storage.retain_runs,
        "maxAttempts": spec.max_attempts,
        "maxLostAttempts": spec.max_lost_attempts,
        "speculation": spec.speculation,
        "leaseSeconds": spec.lease_seconds,
        "taskTimeoutSeconds": spec.task_timeout_seconds,
    }


def _changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    clauses = []
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        if name == "inputs":
            clauses.append(_changed_input_entries(old.get(name) or [], new.get(name) or []))
        elif name == "args":
            clauses += _changed_args(old.get(name) or {}, new.get(name) or {})
        else:
            clauses.append(f"{name} was {_value(old.get(name))} and is {_value(new.get(name))}")
    return clauses


def _changed_args(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [
        f"--arg {name} was {_value(old.get(name))} and is {_value(new.get(name))}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _changed_input_entries(old: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]) -> str:
    gone = [str(entry["uri"]) for entry in old if entry not in new]
    come = [str(entry["uri"]) for entry in new if entry not in old]
    if not gone and not come:
        return "the inputs are in another order"
    if {entry["uri"] for entry in old} == {entry["uri"] for entry in new}:
        return f"the format or encoding of {some_names(come)} changed"
    return " and ".join(
        clause
        for clause in (
            f"without input {some_names(gone)}" if gone else "",
            f"with new input {some_names(come)}" if come else "",
        )
        if clause
    )


def _changed_code(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return f"the code changed ({some_names(changed)})" if changed else "the code changed"


def _changed_inputs(old: Sequence[InputEntry] | None, new: Sequence[InputEntry]) -> str:
    if old is None:
        return "the input files changed"
    before = {path: facts for path, *facts in old}
    after = {path: facts for path, *facts in new}
    clauses = [
        f"{verb} {some_names(paths)}"
        for verb, paths in (
            ("changed:", [path for path in after if path in before and before[path] != after[path]]),
            ("new:", [path for path in after if path not in before]),
            ("gone:", [path for path in before if path not in after]),
        )
        if paths
    ]
    return "input files " + ", ".join(clauses) if clauses else "the input files are in another order"


def some_names(names: Iterable[str]) -> str:
    """The first few of `names`, and how many more there are."""
    listed = list(names)
    more = len(listed) - _SHOWN_NAMES
    return ", ".join(listed[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _value(value: object) -> str:
    return "not given" if value is None else msgspec.json.encode(value).decode()
