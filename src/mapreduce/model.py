"""The job specification: what a manifest says, what `mr run` builds, and what the CRD is generated from.

Types and their bounds only. Reading YAML is `mapreduce.manifest`; finding inputs, code and functions is elsewhere.
Field names are camelCase in YAML and JSON, snake_case here. Every field acts: a test fails on one that nothing reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mapreduce.units import CLAIM_SIZE

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
Speculation = Literal["Never", "Stragglers"]

Name = Annotated[str, Meta(min_length=1, max_length=253)]
FunctionName = Annotated[str, Meta(min_length=1, max_length=253)]
#: A DNS subdomain, as Kubernetes names most objects.
ObjectName = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")]
ArgumentName = Annotated[str, Meta(max_length=253)]
ArgumentText = Annotated[str, Meta(max_length=65_536)]
#: Part of a PodTemplateSpec, opaque to us: the API server checks it, and what the operator sets itself wins.
PodTemplate = dict[str, Any]
_POD_TEMPLATE: Final = (
    "A PodTemplateSpec to merge into the pod, as for a Deployment: resources, node selection, tolerations, more "
    "volumes. Security settings, commands and mounts of the operator go before it."
)


class _Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Common settings of all parts of a specification."""


class ConfigMapKey(_Spec, frozen=True):
    """One file of a ConfigMap in the job's namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the ConfigMap.")]
    key: Annotated[
        str,
        Meta(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+\Z", description="The key that holds the file."),
    ] = "job.py"


class NamedObject(_Spec, frozen=True):
    """A reference to an object in the job's namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the object.")]


class ClaimTemplate(_Spec, frozen=True):
    """A PersistentVolumeClaim to make."""

    size: Annotated[
        str,
        Meta(
            max_length=17,
            pattern=rf"^{CLAIM_SIZE}\Z",
            description="Size of the volume, such as 10Gi.",
        ),
    ] = "1Gi"
    storage_class_name: (
        Annotated[ObjectName, Meta(description="StorageClass of the claim; default: the cluster's default class.")]
        | None
    ) = None
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteMany"],
        Meta(description="ReadWriteMany lets pods on several nodes share the volume, where its class can do that."),
    ] = "ReadWriteOnce"


class Volume(_Spec, frozen=True):
    """A claim that exists, or one to make; at most one field is given."""

    claim_name: (
        Annotated[ObjectName, Meta(description="A claim in the job's namespace; it is never deleted by the job.")]
        | None
    ) = None
    claim_template: (
        Annotated[ClaimTemplate, Meta(description="A claim to make; it is deleted with the job.")] | None
    ) = None


class Code(_Spec, frozen=True):
    """Where the user's Python comes from; exactly one field is given."""

    inline: (
        Annotated[str, Meta(min_length=1, max_length=65_536, description="The job's Python source itself.")] | None
    ) = None
    config_map_ref: Annotated[ConfigMapKey, Meta(description="A file in a ConfigMap.")] | None = None
    module: (
        Annotated[str, Meta(min_length=1, max_length=253, description="An importable module that the workers have.")]
        | None
    ) = None
    volume_path: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=4_096,
                description="Path of the job's Python file: relative to the manifest, or pvc://CLAIM/PATH.",
            ),
        ]
        | None
    ) = None


class Input(_Spec, frozen=True):
    """One source of records. Several inputs are read in the order given. Exactly one of uri and inline is given."""

    uri: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4_096,
            description="A file, folder or glob; in a cluster pvc://CLAIM/PATH or configmap://NAME/PATH; or http(s)://.",
        ),
    ] = ""
    inline: Annotated[str, Meta(max_length=65_536, description="The input's text itself, as one file.")] | None = None
    secret_ref: (
        Annotated[
            NamedObject,
            Meta(description="Secret whose keys are sent as headers, such as Authorization, with an http(s) input."),
        ]
        | None
    ) = None
    format: Annotated[InputFormat, Meta(description="How the bytes become records.")] = "lines"
    encoding: Annotated[
        Encoding, Meta(description="utf-8 gives str (undecodable bytes survive as surrogates), bytes gives bytes.")
    ] = "utf-8"


class Output(_Spec, frozen=True):
    """Where the result goes."""

    uri: Annotated[
        str, Meta(min_length=1, max_length=4_096, description="The output folder; in a cluster pvc://CLAIM/PATH.")
    ]
    claim_template: (
        Annotated[
            ClaimTemplate, Meta(description="How to make the output's claim if there is none; it outlives the job.")
        ]
        | None
    ) = None
    format: Annotated[OutputFormat, Meta(description="text is key<TAB>value, jsonl one [key, value] a line.")] = "text"
    name_template: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="Name of a part; must contain {partition}, which may carry a format.",
        ),
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
            description="Private memory at which an executor is ended; 0: four times the budget, at least 1 GiB.",
        ),
    ] = 0
    pod_template: Annotated[PodTemplate, Meta(description=_POD_TEMPLATE)] = {}


class Coordinator(_Spec, frozen=True):
    """The coordinator's pod."""

    pod_template: Annotated[PodTemplate, Meta(description=_POD_TEMPLATE)] = {}


class Storage(_Spec, frozen=True):
    """Where the log and intermediate runs lie and what remains of them."""

    log: Annotated[
        Volume, Meta(description="Volume of the coordinator's log; default: a claim of 1Gi of the default class.")
    ] = Volume()
    runs: Annotated[Volume, Meta(description="Volume of intermediate runs; default: that of the log.")] = Volume()

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
        dict[ArgumentName, ArgumentText],
        Meta(max_length=1_000, description="Arguments, given to the functions as ctx.args."),
    ] = {}
    split_size_bytes: (
        Annotated[
            int,
            Meta(ge=1, le=1 << 40, description="Largest split of an input; default: a sixteenth of it, 1 to 64 MiB."),
        ]
        | None
    ) = None
    workers: Annotated[Workers, Meta(description="How much runs at once.")] = Workers()
    coordinator: Annotated[Coordinator, Meta(description="The coordinator's pod.")] = Coordinator()
    storage: Annotated[Storage, Meta(description="Where the log and intermediate runs lie.")] = Storage()
    image: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=1_024,
                pattern=r"^\S+\Z",
                description="Image in which the job's own code runs; default: the operator's worker image.",
            ),
        ]
        | None
    ) = None
    image_pull_policy: (
        Annotated[
            Literal["Always", "IfNotPresent", "Never"],
            Meta(description="When images are pulled; default: Kubernetes'."),
        ]
        | None
    ) = None
    image_pull_secrets: Annotated[
        tuple[NamedObject, ...], Meta(max_length=32, description="Secrets with which images are pulled.")
    ] = ()
    suspend: Annotated[
        bool, Meta(description="Ends all pods and keeps log and runs; set back to false, the job goes on.")
    ] = False
    max_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Attempts of a task that may fail by its own fault.")
    ] = 4
    max_lost_attempts: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Attempts of a task whose worker may vanish before the task is suspected."),
    ] = 8
    speculation: Annotated[
        Speculation,
        Meta(
            description="Whether idle slots run a second attempt of tasks that take far longer than the others; the "
            "first to finish counts. The job's code may then run twice at once for one task."
        ),
    ] = "Never"
    lease_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Silence after which a worker counts as lost.")] = (
        30
    )
    task_timeout_seconds: Annotated[
        int, Meta(ge=1, le=31_536_000, description="Run time after which one attempt is ended as hanging.")
    ] = 3_600
    active_deadline_seconds: (
        Annotated[
            int,
            Meta(
                ge=1, le=315_360_000, description="Time from the start, without suspension, after which the job fails."
            ),
        ]
        | None
    ) = None
    pending_deadline_seconds: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=31_536_000,
                description="Time after which the job fails if meanwhile no task can run: a claim or ConfigMap is "
                "missing, the coordinator is not ready, or not a single worker is.",
            ),
        ]
        | None
    ) = None
    ttl_seconds_after_finished: (
        Annotated[
            int,
            Meta(ge=0, le=315_360_000, description="Time after the end when the job is deleted; its output stays."),
        ]
        | None
    ) = None


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
