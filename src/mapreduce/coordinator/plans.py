"""A job's plan: its input files and how they are cut, as columns. Written once, content-addressed, beside the log.

A million splits take about 30 MB in memory. Listing and cutting is `dataplane.inputs` and `dataplane.splits`; which
job needs a plan is the machine's business.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mapreduce.dataplane.inputs import list_input
from mapreduce.dataplane.splits import plan_inputs
from mapreduce.errors import InvalidInput
from mapreduce.model import JobSpec
from mapreduce.protocol.messages import FileRange, Split
from mapreduce.typed import from_msgpack

FORMAT = 1


class _PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    paths: list[str]
    sizes: list[int]
    mtimes_ns: list[int]
    first_range: bytes
    split_input: bytes
    range_file: bytes
    range_start: bytes
    range_end: bytes
    validators: list[str] = []


@dataclass(slots=True)
class Plan:
    """The splits of one job. Split i is `ranges[first_range[i]:first_range[i + 1]]`."""

    paths: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    mtimes_ns: list[int] = field(default_factory=list)
    first_range: array[int] = field(default_factory=lambda: array("I", [0]))
    split_input: array[int] = field(default_factory=lambda: array("H"))
    range_file: array[int] = field(default_factory=lambda: array("I"))
    range_start: array[int] = field(default_factory=lambda: array("Q"))
    range_end: array[int] = field(default_factory=lambda: array("Q"))
    validators: list[str] = field(default_factory=list)
    """One for each path; none at all when no input is a URL."""

    @classmethod
    def of(cls, splits: Iterable[Split]) -> Plan:
        """The plan that holds `splits`, in their order: map index i is the i-th of them."""
        plan = cls()
        known: dict[tuple[str, int, int], int] = {}
        validators: list[str] = []
        for split in splits:
            for part in split.files:
                key = (part.path, part.size, part.mtime_ns)
                number = known.get(key)
                if number is None:
                    number = known[key] = len(plan.paths)
                    plan.paths.append(part.path)
                    plan.sizes.append(part.size)
                    plan.mtimes_ns.append(part.mtime_ns)
                    validators.append(part.validator)
                plan.range_file.append(number)
                plan.range_start.append(part.start)
                plan.range_end.append(part.end)
            plan.first_range.append(len(plan.range_file))
            plan.split_input.append(split.input)
        plan.validators = validators if any(validators) else []
        return plan

    @property
    def split_count(self) -> int:
        """Number of map tasks."""
        return len(self.split_input)

    @property
    def input_bytes(self) -> int:
        """Bytes of all input files together, compressed where they are."""
        return sum(self.range_end) - sum(self.range_start)

    def split(self, index: int) -> Split:
        """The input of map task `index`."""
        return Split(
            input=self.split_input[index],
            files=tuple(self._range(i) for i in range(self.first_range[index], self.first_range[index + 1])),
        )

    def _range(self, i: int) -> FileRange:
        number = self.range_file[i]
        return FileRange(
            path=self.paths[number],
            start=self.range_start[i],
            end=self.range_end[i],
            size=self.sizes[number],
            mtime_ns=self.mtimes_ns[number],
            validator=self.validators[number] if self.validators else "",
        )

    def encode(self) -> bytes:
        """The plan as its file's content."""
        return msgspec.msgpack.encode(
            _PlanFile(
                format=FORMAT,
                paths=self.paths,
                sizes=self.sizes,
                mtimes_ns=self.mtimes_ns,
                first_range=self.first_range.tobytes(),
                split_input=self.split_input.tobytes(),
                range_file=self.range_file.tobytes(),
                range_start=self.range_start.tobytes(),
                range_end=self.range_end.tobytes(),
                validators=self.validators,
            )
        )

    @classmethod
    def decode(cls, content: bytes) -> Plan:
        """The inverse of `encode`. Raises msgspec.DecodeError."""
        file = from_msgpack(content, _PlanFile)
        if file.format != FORMAT:
            raise msgspec.DecodeError(f"plan format {file.format}, this release reads {FORMAT}")
        plan = cls(file.paths, file.sizes, file.mtimes_ns, array("I"))
        plan.first_range.frombytes(file.first_range)
        plan.split_input.frombytes(file.split_input)
        plan.range_file.frombytes(file.range_file)
        plan.range_start.frombytes(file.range_start)
        plan.range_end.frombytes(file.range_end)
        plan.validators = file.validators
        return plan


def digest(content: bytes) -> str:
    """The address of a plan file."""
    return hashlib.sha256(content).hexdigest()


def make_plan(spec: JobSpec, secrets: Path | None = None) -> Plan:
    """Lists the inputs in their defined order and cuts them; `secrets/INDEX` holds an input's headers. Blocking.

    Raises:
        InvalidInput: an input is missing, empty of files, unreadable, or no regular file.
    """
    return Plan.of(
        plan_inputs(spec, [list_input(it, headers=headers_of(spec, i, secrets)) for i, it in enumerate(spec.inputs)])
    )


def headers_of(spec: JobSpec, index: int, secrets: Path | None) -> dict[str, str]:
    """The headers to send for an input; none without a Secret. Raises InvalidInput. Blocking."""
    source = spec.inputs[index]
    if source.secret_ref is None:
        return {}
    if secrets is None:
        raise InvalidInput(source.uri, f"needs Secret {source.secret_ref.name}.", "Run this job in a cluster.")
    from mapreduce.dataplane.documents import read_headers  # slow to import, and few inputs are behind URLs

    return read_headers(secrets / str(index))
