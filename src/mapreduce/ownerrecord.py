"""The owner record of an output folder: what a result is made from, in digests and in names. Pure.

What follows from two records that differ is `local.changes` and `local.ownership`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from mapreduce.model import JobSpec

RECORD_VERSION: Final = 1

#: Fields that decide what the result is. All others (workers, budgets, leases, attempts, timeouts, shuffle) only decide
#: how it is reached; a resumed job keeps the values it was begun with. `code` and `inputs` have digests of their own.
RESULT_FIELDS: Final = ("mapper", "reducer", "combiner", "reducers", "args", "splitSizeBytes")
RESULT_OUTPUT_FIELDS: Final = ("format", "nameTemplate")
RESULT_INPUT_FIELDS: Final = ("uri", "format", "encoding")

#: How `mr run` does a job in its own process, without a coordinator and its log.
Mode = Literal["", "inline", "sequential"]
End = Literal["", "Complete", "Failed", "Cancelled"]

#: Path, bytes, modification time in ns: one input file as it was listed.
InputEntry = tuple[str, int, int]


class OwnerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of `_mapreduce/owner.json`."""

    version: int = RECORD_VERSION
    job_name: str = ""
    spec: dict[str, Any] = {}
    """The fields that decide the result, as in YAML; outputs and inputs flattened (`output.format`)."""
    spec_digest: str = ""
    code: dict[str, str] = {}
    """sha256 of each file of the code bundle, by name."""
    code_digest: str = ""
    """sha256 of the bundle."""
    inputs_digest: str = ""
    inputs_count: int = 0
    inputs_bytes: int = 0
    store_id: str = ""
    """Hex id of the store (log) that runs or ran the job."""
    state_folder: str = ""
    """Folder of that store; `mr run` keeps its own in `_mapreduce` of the output."""
    job: int = 0
    """The job's id in that store, when it was submitted there."""
    end: End = ""
    """How the job ended; empty while it has not, also when its process was killed."""
    mode: Mode = ""
    """Empty when a coordinator runs or ran it."""


def make_owner_record(
    name: str, spec: JobSpec, *, code: Mapping[str, str], code_digest: str, inputs: Sequence[InputEntry]
) -> OwnerRecord:
    """The record of a job that is about to run."""
    fields = result_fields(spec)
    return OwnerRecord(
        job_name=name,
        spec=fields,
        spec_digest=_digest(msgspec.json.encode(fields, order="sorted")),
        code=dict(code),
        code_digest=code_digest,
        inputs_digest=_digest(msgspec.json.encode(inputs)),
        inputs_count=len(inputs),
        inputs_bytes=sum(size for _, size, _ in inputs),
    )


def result_fields(spec: JobSpec) -> dict[str, Any]:
    """The fields of `spec` that can change the result, by the names of the manifest; defaults are left out."""
    raw: dict[str, Any] = msgspec.to_builtins(spec)
    fields: dict[str, Any] = {name: raw[name] for name in RESULT_FIELDS if name in raw}
    fields |= {f"output.{name}": raw["output"][name] for name in RESULT_OUTPUT_FIELDS if name in raw["output"]}
    fields["inputs"] = [{name: entry[name] for name in RESULT_INPUT_FIELDS if name in entry} for entry in raw["inputs"]]
    return fields


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
