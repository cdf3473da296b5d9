"""A `MapReduceJob`'s status as types: what the operator writes and people and `mr` read. Types and bounds only.

Field names are camelCase in YAML and JSON. The schema is generated from here like the specification's; texts and lists
are bounded so that a status stays below 16 KiB, however many tasks a job has.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

State = Literal[
    "Pending", "Starting", "Mapping", "Reducing", "Publishing", "Suspending", "Suspended", "Complete", "Failed"
]
ConditionStatus = Literal["True", "False", "Unknown"]

MAX_CONDITIONS: Final = 16
MAX_MESSAGE_CHARS: Final = 2_048
"""Of a condition and of the status itself."""
MAX_FAILURES: Final = 5
MAX_FAILURE_MESSAGE_CHARS: Final = 512
MAX_TRACEBACK_CHARS: Final = 1_024
MAX_RECORD_CHARS: Final = 256
MAX_COUNTERS: Final = 50
MAX_COUNTER_NAME_CHARS: Final = 128
#: The API server compares bounds as floats: 2**63 - 1 would become 2**63, which overflows and refuses everything.
MAX_COUNT: Final = 1 << 53
"""Of a counter: the API server's schemas compare bounds as floats, and take 2**63 - 1 for a negative number."""

#: RFC 3339 in UTC, without fractions of a second, as metav1.Time.
Time = Annotated[str, Meta(max_length=32, extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 53)]
Digest = Annotated[str, Meta(max_length=128)]


class _Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Common settings of all parts of a status; fields that a newer operator wrote are passed over."""


class Condition(_Status, frozen=True, kw_only=True, omit_defaults=False):
    """A condition as metav1.Condition has it."""

    type: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=316,
            description="What the condition is about: Validated, CoordinatorReady, WorkersReady, MapsComplete, "
            "ReducesComplete, Suspended, Degraded, Stalled, SpecDrift, Complete, Failed or Finished.",
        ),
    ]
    status: Annotated[ConditionStatus, Meta(description="Whether it is the case.")]
    observed_generation: Annotated[
        int,
        Meta(ge=0, le=1 << 53, description="metadata.generation of the object that the condition was made for."),
    ] = 0
    last_transition_time: Annotated[Time, Meta(description="When status last changed.")]
    reason: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1_024,
            pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            description="Why, in one CamelCase word for programs.",
        ),
    ]
    message: Annotated[str, Meta(max_length=MAX_MESSAGE_CHARS, description="Why, for people, with what to do.")] = ""


class Tasks(_Status, frozen=True):
    """How far one phase is."""

    total: Annotated[Count, Meta(description="Number of tasks.")] = 0
    running: Annotated[Count, Meta(description="Tasks that some worker has.")] = 0
    committed: Annotated[Count, Meta(description="Tasks whose result is kept.")] = 0
    failed: Annotated[Count, Meta(description="Attempts that failed.")] = 0
    remade: Annotated[Count, Meta(description="Tasks done again because their committed result was lost.")] = 0
    progress: Annotated[str, Meta(max_length=32, description="Committed and total, such as 37/64.")] = ""


class WorkersStatus(_Status, frozen=True, kw_only=True, omit_defaults=False):
    """The pods that run tasks."""

    desired: Annotated[Count, Meta(description="Workers that were asked for.")] = 0
    ready: Annotated[Count, Meta(description="Workers whose pods are ready.")] = 0
    selector: Annotated[str, Meta(max_length=512, description="Label selector of the workers' pods.")] = ""


class OutputStatus(_Status, frozen=True):
    """The result."""

    uri: Annotated[str, Meta(max_length=4_096, description="The output folder.")] = ""
    bytes: Annotated[Bytes, Meta(description="Size of all parts.")] = 0
    records: Annotated[Bytes, Meta(description="Number of records in all parts.")] = 0


class FailureStatus(_Status, frozen=True):
    """One failed attempt."""

    task: Annotated[str, Meta(max_length=64, description="The task, such as map-3.")]
    attempt: Annotated[Count, Meta(description="Number of the attempt, from 1.")] = 1
    class_: Annotated[
        str,
        Meta(
            max_length=64,
            description="Kind of failure: user, memory, timeout, crash, lost, disruption, input, unstorable, "
            "run-lost or system.",
        ),
    ] = msgspec.field(default="", name="class")
    message: Annotated[str, Meta(max_length=MAX_FAILURE_MESSAGE_CHARS, description="What happened.")] = ""
    traceback: Annotated[
        str, Meta(max_length=MAX_TRACEBACK_CHARS, description="The end of the traceback, from the job's own frames.")
    ] = ""
    record: Annotated[
        str, Meta(max_length=MAX_RECORD_CHARS, description="The record that was being worked on, and where it is.")
    ] = ""
    at: Annotated[Time, Meta(description="When it failed.")] | None = None
    worker: Annotated[str, Meta(max_length=253, description="The worker, by the name of its pod.")] = ""


class CoordinatorStatus(_Status, frozen=True):
    """The process that gives out the tasks."""

    service: Annotated[str, Meta(max_length=253, description="Name of its Service.")] = ""
    epoch: Annotated[Count, Meta(description="How often it was started.")] = 0


class JobStatus(_Status, frozen=True):
    """What became of the job so far; written by the operator."""

    observed_generation: Annotated[
        int, Meta(ge=0, le=1 << 53, description="metadata.generation of the object that this status is of.")
    ] = 0
    state: (
        Annotated[State, Meta(description="The state in one word, for people; programs look at conditions.")] | None
    ) = None
    message: Annotated[
        str, Meta(max_length=MAX_MESSAGE_CHARS, description="What the job does or waits for, in one sentence.")
    ] = ""
    start_time: (
        Annotated[
            Time, Meta(description="When the job was taken up; from then on what changes its result cannot be edited.")
        ]
        | None
    ) = None
    completion_time: Annotated[Time, Meta(description="When the job ended, either way.")] | None = None
    suspended_seconds: Annotated[
        Count, Meta(description="Time the job was suspended so far, which its active deadline does not count.")
    ] = 0
    pending_since: (
        Annotated[
            Time,
            Meta(
                description="Since when no task can run although some should: something is missing, the coordinator is "
                "not ready, or no worker is."
            ),
        ]
        | None
    ) = None
    spec_digest: Annotated[Digest, Meta(description="Digest of the specification that the job was started with.")] = ""
    code_digest: Annotated[Digest, Meta(description="Digest of the code that the job was started with.")] = ""
    maps: Annotated[Tasks, Meta(description="The map tasks.")] = Tasks()
    reduces: Annotated[Tasks, Meta(description="The reduce tasks.")] = Tasks()
    attempts_failed: Annotated[Count, Meta(description="Attempts that failed, of all tasks.")] = 0
    workers: Annotated[WorkersStatus, Meta(description="The pods that run tasks.")] = WorkersStatus()
    input_bytes: Annotated[Bytes, Meta(description="Size of all inputs.")] = 0
    output: Annotated[OutputStatus, Meta(description="The result.")] = OutputStatus()
    shuffle: Annotated[
        str, Meta(max_length=16, description="How intermediate runs travel: Shared or Peer, as in spec.storage.")
    ] = ""
    counters: Annotated[
        dict[
            Annotated[str, Meta(max_length=MAX_COUNTER_NAME_CHARS)],
            Annotated[int, Meta(ge=-MAX_COUNT, le=MAX_COUNT)],
        ],
        Meta(max_length=MAX_COUNTERS, description="The job's own counters, the first fifty by name."),
    ] = {}
    failures: Annotated[
        tuple[FailureStatus, ...], Meta(max_length=MAX_FAILURES, description="The latest failed attempts.")
    ] = ()
    coordinator: Annotated[CoordinatorStatus, Meta(description="The process that gives out the tasks.")] = (
        CoordinatorStatus()
    )
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(max_length=MAX_CONDITIONS, description="What is the case, for programs and `kubectl wait`."),
    ] = ()
