"""What the log holds: one type for each fact, and their encoding. Pure.

A record says what happened and never has to be decided again: `evolve.evolve` applies it, live and in replay alike.
Fields are positional in the encoding (msgpack arrays), so new ones go to the end and get a default. Times are UTC
seconds since 1970, for people only; nothing is decided by them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from mapreduce.model import JobSpec
from mapreduce.protocol.messages import AttemptId, Failure
from mapreduce.typed import msgpack_decoder


class Release(IntEnum):
    """Why a lease ended without a commit and without a failure of the attempt."""

    LOST = 1
    """The worker fell silent past its lease; counts towards `maxLostAttempts`."""
    HANDED_BACK = 2
    """The worker released it: it leaves, or acknowledges a take-back."""
    UNCLAIMED = 3
    """The worker never learned of the grant (its answer was lost)."""
    STALE_INPUT = 4
    """A map was made again with other content; its running readers start again."""
    NOT_NEEDED = 5
    """Another attempt of the task is committed, or all outputs of the job are: a map made again has no reader left."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of all records."""


class EpochStarted(Record, frozen=True, tag=1):
    """A new incarnation of the coordinator serves. Leases of older epochs stay valid."""

    epoch: int
    at: float


class JobSubmitted(Record, frozen=True, tag=2):
    """A job joins the queue."""

    job: int
    name: str
    spec: JobSpec
    code: str
    at: float


class JobStarted(Record, frozen=True, tag=3):
    """The job is first in the queue; its plan is being made."""

    job: int
    at: float


class JobPlanned(Record, frozen=True, tag=4):
    """M and R are fixed; the plan lies as a content-addressed file beside the log."""

    job: int
    plan: str
    maps: int
    partitions: int
    input_bytes: int
    at: float


class WorkerRegistered(Record, frozen=True, tag=5):
    """A worker joined, or told of changed facts about itself."""

    worker: str
    slots: int
    serve_url: str
    at: float


class WorkerLeft(Record, frozen=True, tag=6):
    """A worker is gone and holds no lease any more."""

    worker: str
    at: float


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """One attempt of a `LeasesGranted`."""

    index: int
    attempt: int


class Granted(Record, frozen=True):
    """What both kinds of grants say."""

    worker: str
    call: int
    job: int
    kind: str
    grants: tuple[Grant, ...]
    at: float


class LeasesGranted(Granted, frozen=True, tag=7):
    """A batch of attempts was leased to a worker, in answer to its call number `call`."""


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """One committed attempt. For a map, size and digest of its run; for an output, of its file."""

    id: AttemptId
    has_file: bool
    bytes: int
    records: int
    digest: int
    input_records: int = 0
    counters: dict[str, int] = {}
    warnings: dict[str, int] = {}
    step_s: dict[str, float] = {}
    key_type: str = ""
    is_sorted: bool = False
    run_s: float = 0.0


class TasksCommitted(Record, frozen=True, tag=8):
    """The one moment at which these attempts' outputs became their tasks'."""

    worker: str
    commits: tuple[Committed, ...]
    at: float


class AttemptFailed(Record, frozen=True, tag=9):
    """An attempt ended without a result and its worker said why."""

    worker: str
    id: AttemptId
    failure: Failure
    at: float
    run_s: float = 0.0


class LeasesReleased(Record, frozen=True, tag=10):
    """Leases ended without result or failure."""

    worker: str
    ids: tuple[AttemptId, ...]
    why: Release
    at: float


class OutputLost(Record, frozen=True, tag=11):
    """The bytes of committed tasks are gone; the tasks have to be done again."""

    job: int
    kind: str
    indexes: tuple[int, ...]
    problem: str
    at: float


class MapsCompleted(Record, frozen=True, tag=12):
    """All maps are committed; reduces may start. Bytes by partition as far as this incarnation saw them."""

    job: int
    partition_bytes: tuple[int, ...]
    at: float


class JobCommitting(Record, frozen=True, tag=13):
    """All outputs are committed; from here on the coordinator publishes, again and again until it has succeeded."""

    job: int
    at: float


class JobFinished(Record, frozen=True, tag=14):
    """The job is over: `state` is Complete, Failed or Cancelled."""

    job: int
    state: str
    reason: str
    message: str
    at: float


class JobRebuilt(Record, frozen=True, tag=15):
    """After rot in the log: only these outputs were verified and are trusted; all else of the job is done again."""

    job: int
    maps: tuple[Committed, ...]
    reduces: tuple[Committed, ...]
    at: float


class BackupsGranted(Granted, frozen=True, tag=16):
    """Stragglers were leased a second time, to another worker, in answer to its call number `call`."""


AnyRecord = (
    EpochStarted
    | JobSubmitted
    | JobStarted
    | JobPlanned
    | WorkerRegistered
    | WorkerLeft
    | LeasesGranted
    | TasksCommitted
    | AttemptFailed
    | LeasesReleased
    | OutputLost
    | MapsCompleted
    | JobCommitting
    | JobFinished
    | JobRebuilt
    | BackupsGranted
)

#: Both kinds of grants.
AnyGrant = LeasesGranted | BackupsGranted

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[AnyRecord]] = msgpack_decoder(AnyRecord)


def encode(record: AnyRecord) -> bytes:
    """The record as the log stores it."""
    return _ENCODER.encode(record)


def decode(payload: bytes) -> AnyRecord:
    """The record behind `payload`.

    Raises:
        msgspec.DecodeError: it is none of ours (a newer release's, if its checksum is right).
    """
    return _DECODER.decode(payload)
