"""Calling a job's mapper on a sample, one record after the other, and looking at all that it does.

What it yields is compared with what the engine can store, and digested so that another process can compare.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from xxhash import xxh3_64_intdigest

from mapreduce.api import Context
from mapreduce.dataplane.blame import Misuse, failure_of, shown, user_traceback
from mapreduce.dataplane.checking import checked_pair, members_of
from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.keys import canonical_bytes, check_key, intern_nans
from mapreduce.dataplane.readers import ReadLimits, read_split
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec
from mapreduce.errors import TaskFailed
from mapreduce.model import JobSpec
from mapreduce.protocol.messages import Split
from mapreduce.userjob import UserJob
from mapreduce_cli.checking.findings import Finding
from mapreduce_cli.checking.reports import Call

_READ: Final = ReadLimits(block_bytes=64 * 1024)
_FROZEN: Final = frozenset({type(None), bool, int, float, str, bytes})
_PAIRS: Final = "Write `yield key, value`, once for each pair, or return a list of pairs."


class Stopped(Exception):
    """Something was found that makes it pointless to go on; it is among the findings."""


@dataclass(slots=True)
class Mapped:
    """What the mapper did."""

    records: int = 0
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_cut_short: bool = False


class MapperProbe:
    """Maps a sample."""

    def __init__(self, spec: JobSpec, job: UserJob, codec: Codec, *, until_s: float) -> None:
        self._spec, self._job, self._codec, self._until_s = spec, job, codec, until_s
        self._is_map_only = spec.reducers == 0
        self.mapped = Mapped()

    def run(self) -> Mapped:
        """Map it. Raises `Stopped` with the reason among the findings of `mapped`."""
        files = [list_input(source) for source in self._spec.inputs]
        for index, split in enumerate(plan_inputs(self._spec, files)):
            context = Context(job_name=self._job.name, task_id=f"map-{index}", args=self._spec.args)
            job = self._job
            mapper = functools.partial(job.mapper, ctx=context) if job.mapper_wants_ctx else job.mapper
            if job.mapper_per == "split":
                self._call(lambda: mapper(self._records_of(split, context)), f"split {index}")  # noqa: B023 - called now
            else:
                self._map(mapper, split, context)
            if self.mapped.is_cut_short:
                break
        if self.mapped.records and not self.mapped.pairs:
            self.mapped.findings.append(
                Finding(
                    level="warning",
                    what=f"the mapper yielded nothing for any of {self.mapped.records:,} records",
                    fix="Look at what it gets: `print(repr(value))` in the mapper, and --format.",
                )
            )
        return self.mapped

    def _map(self, mapper: Any, split: Split, context: Context) -> None:
        for block in read_split(split, self._spec.inputs[split.input], _READ):
            context.input_file = block.path
            keys = block.keys() if self._job.mapper_arity == 2 else None
            for index, record in enumerate(block.records):
                if time.monotonic() > self._until_s:
                    self.mapped.is_cut_short = True
                    return
                arguments = (record,) if keys is None else (keys[index], record)
                self.mapped.records += 1
                self._call(functools.partial(mapper, *arguments), functools.partial(block.place, index))

    def _records_of(self, split: Split, context: Context) -> Iterator[Any]:
        for block in read_split(split, self._spec.inputs[split.input], _READ):
            context.input_file = block.path
            self.mapped.records += len(block.records)
            yield from block.records if self._job.mapper_arity == 1 else zip(block.keys(), block.records, strict=True)

    def _call(self, call: Any, place: Any) -> None:
        def where() -> str:
            return place if isinstance(place, str) else place()

        try:
            pairs = self._pairs_of(call(), where)
        except (TaskFailed, Stopped):
            raise
        except (Exception, SystemExit) as error:
            failure = failure_of(error, "the mapper", where())
            self._stop(str(failure), where(), fix=hint_for(error), traceback=failure.traceback)
        self.mapped.pairs += pairs
        self.mapped.calls.append(Call(place=where(), digest=self.digest(pairs), shown=shown(pairs)))

    def _pairs_of(self, result: Any, where: Any) -> list[tuple[Any, Any]]:
        if result is None:
            return []
        if isinstance(result, str | bytes) or not isinstance(result, Iterable):
            self._stop(f"the mapper returned {shown(result)}, not pairs", where(), fix=_PAIRS)
        name = self._job.named_reducer
        pairs, fragile = [], []
        for item in members_of(result, is_count=name == "count"):
            if name == "count":
                check_key(item)
                pairs.append((intern_nans(item), 1))
                continue
            pair = item
            self._check_shape(pair, where)
            kept = self._checked(pair, name, where)
            if type(pair[1]) not in _FROZEN:
                fragile.append((pair[1], self._codec.encode_column([pair[1]])))
            pairs.append(kept)
        for value, before in fragile:
            if self._codec.encode_column([value]) != before:
                self.mapped.findings.append(
                    Finding(
                        level="problem",
                        what="the mapper changes a value after it has yielded it; the engine keeps what was yielded, "
                        "so all pairs with it show the last change",
                        where=where(),
                        fix="Yield a copy, such as list(value), or make a new object for each pair.",
                    )
                )
                break
        return pairs

    def _check_shape(self, pair: Any, where: Any) -> None:
        if type(pair) in {tuple, list} and len(pair) == 2:
            return
        fix = _PAIRS
        if isinstance(pair, str):
            fix = "It looks as if a single string was yielded: write `yield word, 1`, or use the reducer count."
        elif isinstance(pair, tuple) and len(pair) > 2:
            fix = f"A pair has two members: write `yield key, ({', '.join('abcdef'[: len(pair) - 1])})` for a value."
        elif isinstance(pair, tuple) and type(pair) is not tuple:
            fix = "Yield a plain tuple: `yield pair[0], pair[1]`."
        self._stop(f"the mapper yields {shown(pair)}, which is no (key, value) pair", where(), fix=fix)

    def _checked(self, pair: Any, reducer: str | None, where: Any) -> tuple[Any, Any]:
        try:
            return checked_pair(pair, reducer, self._codec)
        except UnstorableValue as error:
            place = place_in(pair[0] if error.role == "key" else pair[1], error.culprit, error.role)
            self._stop(f"the mapper yields what cannot be stored: {error}", f"{place} of {where()}")
        except Misuse as error:
            self._stop(f"the mapper {error}", where(), fix="Yield numbers, or write a reducer of your own.")

    def _stop(self, what: str, where: str, *, fix: str = "", traceback: str = "") -> NoReturn:
        self.mapped.findings.append(Finding(level="problem", what=what, where=where, fix=fix, traceback=traceback))
        raise Stopped

    def digest(self, pairs: list[tuple[Any, Any]]) -> int:
        """Of what matters to the engine: all in a map-only job, else for each key its values in order."""
        if self._is_map_only:
            return xxh3_64_intdigest(self._codec.encode_column([list(pair) for pair in pairs]))
        groups: dict[bytes, list[Any]] = {}
        for key, value in pairs:
            groups.setdefault(canonical_bytes(key), []).append(value)
        return xxh3_64_intdigest(self._codec.encode_column([[key, groups[key]] for key in sorted(groups)]))


def place_in(value: Any, culprit: object, name: str) -> str:
    """Where inside a key or value the culprit stands: `value.prices[2]`."""
    return _path(value, culprit, name, 0) or name


def _path(value: Any, culprit: object, path: str, depth: int) -> str:
    if value is culprit or depth > 32:
        return path if value is culprit else ""
    members: Iterable[tuple[str, Any]]
    if isinstance(value, list | tuple):
        members = ((f"{path}[{index}]", member) for index, member in enumerate(value))
    elif isinstance(value, dict):
        members = ((f"{path}[{shown(key)}]", member) for key, member in value.items())
    else:
        names: Iterable[str] = getattr(value, "__struct_fields__", ()) or getattr(value, "__dataclass_fields__", ())
        members = ((f"{path}.{name}", getattr(value, name, None)) for name in names)
    return next((found for inner, member in members if (found := _path(member, culprit, inner, depth + 1))), "")


def hint_for(error: BaseException) -> str:
    """What an exception of the user's usually means here; "" when it speaks for itself."""
    text = str(error)
    trace = user_traceback(error)
    match error:
        case TypeError() if "has no len()" in text or "not subscriptable" in text:
            return "values is an iterator that can be read once: `values = list(values)` first, if a key's values fit."
        case ValueError() if "empty" in text and ("min" in trace or "max" in trace):
            return "values can be read once: a second loop, min or max over it finds nothing. Keep what you need."
        case ZeroDivisionError():
            return "Perhaps values was read before: it can be read once. Count and add in one loop."
        case UnicodeEncodeError():
            return "Undecodable bytes of the input come as surrogates; --encoding bytes gives the bytes."
        case KeyError() if "ctx.args" in trace:
            return f"Give the argument: --arg {error.args[0] if error.args else 'name'}=VALUE, or a default by .get()."
        case SystemExit():
            return "A function must not end the process; skip a bad record by `return`."
        case _:
            return ""
