"""Calling a job's reducer on the groups of a sample: one pass over the values, storable results, something at all."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from xxhash import xxh3_64_intdigest

from mapreduce.api import Context
from mapreduce.dataplane.blame import failure_of, shown
from mapreduce.dataplane.recordformats import format_record
from mapreduce.dataplane.unstorable import UnstorableValue
from mapreduce.dataplane.values import Codec
from mapreduce.errors import TaskFailed
from mapreduce.model import JobSpec
from mapreduce.userjob import UserJob
from mapreduce_cli.checking.findings import Finding
from mapreduce_cli.checking.mapping import Stopped, hint_for, place_in
from mapreduce_cli.checking.reports import Call

Group = tuple[Any, list[Any]]


@dataclass(slots=True)
class Reduced:
    """What the reducer did."""

    keys: int = 0
    emitted: int = 0
    calls: list[Call] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_cut_short: bool = False


class OnePass:
    """An iterator like the engine's, which notes when somebody begins to read it again."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = iter(values)
        self._is_over = False
        self.was_read_again = False

    def __iter__(self) -> Iterator[Any]:
        self.was_read_again |= self._is_over
        return self

    def __next__(self) -> Any:
        try:
            return next(self._values)
        except StopIteration:
            self._is_over = True
            raise


class ReducerProbe:
    """Reduces the groups of a sample."""

    def __init__(self, spec: JobSpec, job: UserJob, codec: Codec, *, until_s: float) -> None:
        self._spec, self._codec, self._until_s = spec, codec, until_s
        assert job.reducer is not None
        self._context = Context(job_name=job.name, task_id="reduce-0", args=spec.args, partition=0)
        self._reducer = functools.partial(job.reducer, ctx=self._context) if job.reducer_wants_ctx else job.reducer
        self.reduced = Reduced()

    def run(self, groups: Sequence[Group]) -> Reduced:
        """Reduce them. Raises `Stopped` with the reason among the findings of `reduced`."""
        for key, values in groups:
            if time.monotonic() > self._until_s:
                self.reduced.is_cut_short = True
                break
            pairs = self._call(key, values)
            self.reduced.keys += 1
            self.reduced.emitted += len(pairs)
            # Encoded as output lines: unlike values of runs, these need no class of the job's own to be known.
            lines = b"".join(format_record(*pair, "jsonl") for pair in pairs)
            self.reduced.calls.append(
                Call(place=f"key {shown(key)}", digest=xxh3_64_intdigest(lines), shown=shown(pairs))
            )
        if self.reduced.keys and not self.reduced.emitted:
            self.reduced.findings.append(
                Finding(
                    level="warning",
                    what=f"the reducer emitted nothing for any of {self.reduced.keys:,} keys",
                    fix="Write `yield key, result`; a returned value is taken as a list of pairs.",
                )
            )
        return self.reduced

    def _call(self, key: Any, values: list[Any]) -> list[tuple[Any, Any]]:
        place = f"key {shown(key)}"
        given = OnePass(values)
        try:
            pairs = [self._checked(pair, place) for pair in self._members(self._reducer(key, given), place)]
        except (TaskFailed, Stopped):
            raise
        except (Exception, SystemExit) as error:
            failure = failure_of(error, "the reducer", place)
            if given.was_read_again:
                self._read_again(place)
            self._stop(str(failure), place, fix=hint_for(error), traceback=failure.traceback)
        if given.was_read_again:
            self._read_again(place)
        return pairs

    def _members(self, result: Any, place: str) -> Any:
        if result is None:
            return ()
        if isinstance(result, str | bytes) or not hasattr(result, "__iter__"):
            self._stop(
                f"the reducer returned {shown(result)}, not pairs", place, fix="Write `yield key, result` instead."
            )
        return result

    def _checked(self, pair: Any, place: str) -> tuple[Any, Any]:
        if type(pair) not in {tuple, list} or len(pair) != 2:
            self._stop(
                f"the reducer emits {shown(pair)}, which is no (key, value) pair",
                place,
                fix="Write `yield key, result`.",
            )
        try:
            format_record(pair[0], pair[1], self._spec.output.format)
        except UnstorableValue as error:
            inner = place_in(pair[0] if error.role == "key" else pair[1], error.culprit, error.role)
            self._stop(f"the reducer emits what cannot be written: {error}", f"{inner} of {place}")
        return pair[0], pair[1]

    def _read_again(self, place: str) -> None:
        self.reduced.findings.append(
            Finding(
                level="problem",
                what="the reducer reads its values twice, and the second time there are none: values is an iterator",
                where=place,
                fix="Do both in one loop, or begin with `values = list(values)` if a key's values fit into memory.",
            )
        )

    def _stop(self, what: str, where: str, *, fix: str = "", traceback: str = "") -> NoReturn:
        self.reduced.findings.append(Finding(level="problem", what=what, where=where, fix=fix, traceback=traceback))
        raise Stopped
