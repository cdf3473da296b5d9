"""The job specification: what a manifest says, what `mr run` builds, and what the CRD is generated from.

Types and their bounds only. Reading YAML is `mapreduce.manifest`; finding inputs, code and functions is elsewhere.
Field names are camelCase in YAML and JSON, snake_case here. Every field acts: a test fails on one that nothing reads.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

API_VERSION: Final = "mapreduce.dev/v1alpha1"
KIND: Final = "MapReduceJob"

MIB: Final = 1 << 20
GIB: Final = 1 << 30

#: Bytes of input for each reduce task when `reducers` is not given. Depends on the input only, never on the workers,
#: or a laptop and a cluster would partition differently.
INPUT_BYTES_PER_REDUCER: Final = 128 * MIB
MAX_AUTO_REDUCERS: Final = 1_000
#: The default split size is one sixteenth of the input within these bounds: enough tasks for any laptop to be busy and
#: for a resumed run to lose little, and not so many that each one's distinct keys dominate the shuffle.
MIN_AUTO_SPLIT_BYTES: Final = 1 * MIB
MAX_AUTO_SPLIT_BYTES: Final = 64 * MIB

InputFormat = Literal["lines", "files", "jsonl", "csv"]
Encoding = Literal["utf-8", "bytes"]
OutputFormat = Literal["text", "jsonl"]
Shuffle = Literal["Shared", "Peer"]

Name = Annotated[str, Meta(min_length=1, max_length=253)]
FunctionName = Annotated[str, Meta(min_length=1, max_length=253)]


class _Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Common settings of all parts of a specification."""


class Code(_Spec, frozen=True):
    """Where the user's Python comes from; exactly one field is given."""

    inline: Annotated[str, Meta(max_length=65_536, description="The job's Python source itself.")] | None = None
    module: Annotated[str, Meta(max_length=253, description="An importable module that the workers have.")] | None = (
        None
    )
    volume_path: (
        Annotated[str, Meta(max_length=4_096, description="Path of the job's Python file; relative to the manifest.")]
        | None
    ) = None


class Input(_Spec, frozen=True):
    """One source of records. Several inputs are read in the order given."""

    uri: Annotated[str, Meta(min_length=1, max_length=4_096, description="A file, a folder, or a glob.")]
    format: Annotated[InputFormat, Meta(description="How the bytes become records.")] = "lines"
    encoding: Annotated[
        Encoding, Meta(description="utf-8 gives str (undecodable bytes survive as surrogates), bytes gives bytes.")
    ] = "utf-8"


class Output(_Spec, frozen=True):
    """Where the result goes."""

    uri: Annotated[str, Meta(min_length=1, max_length=4_096, description="The output folder.")]
    format: Annotated[OutputFormat, Meta(description="text is key<TAB>value, jsonl one [key, value] a line.")] = "text"
    name_template: Annotated[
        str,
        Meta(max_length=200, description="Name of a part; must contain {partition}, which may carry a format."),
    ] = "part-{partition:05d}"
    overwrite: Annotated[
        Literal["Refuse", "Replace"], Meta(description="What to do when the folder holds a finished result of ours.")
    ] = "Refuse"


class Workers(_Spec, frozen=True):
    """How much runs at once."""

    replicas: Annotated[int, Meta(ge=0, le=10_000, description="Number of workers to start.")] = 2
    slots: Annotated[int, Meta(ge=1, le=256, description="Tasks that one worker runs at once.")] = 1
    memory_budget_bytes: Annotated[
        int, Meta(ge=1 * MIB, le=1 << 40, description="Memory for grouping in one slot; beyond it a task spills.")
    ] = 256 * MIB
    memory_limit_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 44,
            description="Private memory at which an executor is ended; 0: four times the budget and 1 GiB.",
        ),
    ] = 0


class Storage(_Spec, frozen=True):
    """Where intermediate runs lie and what remains of them."""

    shuffle: Annotated[
        Shuffle, Meta(description="Shared: runs on a volume that all see. Peer: served by the worker that made them.")
    ] = "Shared"
    retain_runs: Annotated[
        Literal["Never", "OnFailure", "Always"], Meta(description="Whether intermediate runs stay after the job.")
    ] = "OnFailure"


class JobSpec(_Spec, frozen=True):
    """What the user asks for. Function names are looked up in the job's own code."""

    code: Code
    inputs: Annotated[tuple[Input, ...], Meta(min_length=1, max_length=10_000, description="Sources of records.")]
    output: Output
    mapper: Annotated[FunctionName, Meta(description="The mapper's name in the code.")] = "mapper"
    reducer: (
        Annotated[
            FunctionName,
            Meta(description="The reducer's name in the code, or sum, count, mean, min, max, list, identity."),
        ]
        | None
    ) = None
    combiner: Annotated[FunctionName, Meta(description="The combiner's name in the code.")] | None = None
    reducers: (
        Annotated[
            int, Meta(ge=0, le=100_000, description="Number of reduce tasks; 0 is map-only; default: one per 128 MiB.")
        ]
        | None
    ) = None
    args: Annotated[
        dict[str, str], Meta(max_length=1_000, description="Arguments, given to the functions as ctx.args.")
    ] = {}
    split_size_bytes: (
        Annotated[
            int,
            Meta(ge=1, le=1 << 40, description="Largest split of an input; default: a sixteenth of it, 1 to 64 MiB."),
        ]
        | None
    ) = None
    workers: Workers = Workers()
    storage: Storage = Storage()
    max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Attempts of a task that may fail by its own fault.")
    ] = 4
    max_lost_attempts: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Attempts of a task whose worker may vanish before the task is suspected."),
    ] = 8
    lease_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Silence after which a worker counts as lost.")] = (
        30
    )
    task_timeout_seconds: Annotated[
        int, Meta(ge=1, le=31_536_000, description="Run time after which one attempt is ended as hanging.")
    ] = 3_600


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of Kubernetes' object metadata that has a meaning outside a cluster."""

    name: Name
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Manifest(_Spec, frozen=True):
    """A whole `MapReduceJob` object, as in a YAML file."""

    api_version: Literal["mapreduce.dev/v1alpha1"]
    kind: Literal["MapReduceJob"]
    metadata: Metadata
    spec: JobSpec


def reducer_count(spec: JobSpec, input_bytes: int) -> int:
    """R, the number of reduce tasks: as asked for, or one for each 128 MiB of input, at least 1 and at most 1 000."""
    if spec.reducers is not None:
        return spec.reducers
    return min(max(1, -(-input_bytes // INPUT_BYTES_PER_REDUCER)), MAX_AUTO_REDUCERS)


def split_size_bytes(spec: JobSpec, input_bytes: int) -> int:
    """The largest split in bytes: as asked for, or a sixteenth of the input within 1 and 64 MiB."""
    if spec.split_size_bytes is not None:
        return spec.split_size_bytes
    return min(max(MIN_AUTO_SPLIT_BYTES, -(-input_bytes // 16)), MAX_AUTO_SPLIT_BYTES)
