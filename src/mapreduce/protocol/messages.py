"""The messages between workers, clients and the coordinator: types only, pure. What they are about is `facts`.

JSON on the wire (so that `curl` reads it). A request is checked by decoding it into its type, with bounds. The version
is in every `register`; one release of skew works, more is refused in words (`PROTOCOL_VERSION`, `OLDEST_PROTOCOL`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from mapreduce.model import JobSpec
from mapreduce.protocol.facts import (
    Attempt,
    AttemptId,
    Count,
    Digest64,
    Epoch,
    Failure,
    FailureClass,
    FileRange,
    Index,
    JobId,
    LostRun,
    Message,
    PartitionSize,
    Split,
    TaskKind,
    TaskOutput,
    WorkerName,
)

#: What is reached through this module and defined in `facts`; all that is defined here is there for everyone.
__all__ = [
    "Attempt",
    "AttemptId",
    "Count",
    "Digest64",
    "Epoch",
    "Failure",
    "FailureClass",
    "FileRange",
    "Index",
    "JobId",
    "LostRun",
    "Message",
    "PartitionSize",
    "Split",
    "TaskKind",
    "TaskOutput",
    "WorkerName",
]

PROTOCOL_VERSION: Final = 1
OLDEST_PROTOCOL: Final = 1

# ----------------------------------------------------------------------------------------------------- worker calls


class Commit(Message, frozen=True, tag="commit", tag_field="type"):
    """Asks that this attempt's output become the task's."""

    id: AttemptId
    output: TaskOutput
    run_s: float = 0.0
    """Seconds the attempt ran."""


class Fail(Message, frozen=True, tag="fail", tag_field="type"):
    """Reports that this attempt ended without a result."""

    id: AttemptId
    failure: Failure
    run_s: float = 0.0


class Release(Message, frozen=True, tag="release", tag_field="type"):
    """Gives a lease back: the attempt was not run (take-back acknowledged), or not to its end (worker leaves)."""

    id: AttemptId
    was_started: bool = False


Finished = Commit | Fail | Release


class RegisterRequest(Message, frozen=True):
    """A worker joins, or comes back to a restarted coordinator with the attempts it still holds."""

    worker: WorkerName
    slots: Annotated[int, Meta(ge=1, le=1_024)]
    protocol: int
    held: Annotated[tuple[AttemptId, ...], Meta(max_length=100_000)] = ()
    serve_url: Annotated[str, Meta(max_length=1_024)] = ""
    """Base URL under which this worker serves its runs (Peer shuffle)."""


class RegisterReply(Message, frozen=True):
    """What a worker needs in order to take part."""

    epoch: Epoch
    session: str
    """Token for all further calls, bound to worker and epoch."""
    lease_s: float
    heartbeat_s: float
    keep: tuple[AttemptId, ...] = ()
    """Those of `held` that are still leased to this worker; all others must be dropped unseen."""
    committed: tuple[AttemptId, ...] = ()
    """Those of the others that this worker committed in a call whose answer it may have missed."""
    call: int = 0
    """Highest call number seen from this worker; the next `next` must be higher."""


class NextRequest(Message, frozen=True):
    """Commits what is finished and takes the next small batch, in one call. One is outstanding for each worker."""

    epoch: Epoch
    worker: WorkerName
    call: Annotated[int, Meta(ge=1, le=1 << 53)]
    """Rises by one with each new call; the same number again means a repeat and gets the same answer."""
    finished: Annotated[tuple[Finished, ...], Meta(max_length=10_000)] = ()
    want: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Slots that are free, or will be: 0 takes nothing."""
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """How long the call may wait for a task. A call that reports something finished is answered at once."""


class Assignment(Message, frozen=True):
    """One leased attempt and all that the worker cannot read from the job's definition."""

    id: AttemptId
    split: Split | None = None
    """Input of a map task."""
    budget_bytes: Count = 0
    """Memory for grouping; part of the grant, because spill points (hence a run's digest) depend on it."""
    is_traced: bool = False
    """An earlier attempt died without a word: write each record's place to the trace before running it."""


class Verdict(Message, frozen=True):
    """What became of one entry of `finished`."""

    id: AttemptId
    accepted: bool
    reason: str = ""


class NextReply(Message, frozen=True):
    """Verdicts for all that was finished (in order), then new work."""

    epoch: Epoch
    verdicts: tuple[Verdict, ...] = ()
    tasks: tuple[Assignment, ...] = ()
    is_done: bool = False
    """No job is left and this coordinator's host wants its workers to end: exit 0."""


class HeartbeatRequest(Message, frozen=True):
    """Renews the worker's lease and says what it holds."""

    epoch: Epoch
    worker: WorkerName
    running: Annotated[tuple[AttemptId, ...], Meta(max_length=10_000)] = ()
    """Attempts whose execution has begun."""
    queued: Annotated[tuple[AttemptId, ...], Meta(max_length=100_000)] = ()
    """Attempts leased and not begun."""
    memory_bytes: Count = 0
    """Private memory of its executors when it was last measured; 0 where it is not known."""


class HeartbeatReply(Message, frozen=True):
    """Orders for the worker."""

    epoch: Epoch
    heartbeat_s: float
    cancel: tuple[AttemptId, ...] = ()
    """End these now: their leases are over (job cancelled, or readers of a run that changed)."""
    take_back: tuple[AttemptId, ...] = ()
    """Give these back by a `Release` if they have not begun; counts only once acknowledged."""
    is_drain: bool = False
    """Take nothing more."""


#: Peer: how the URL of a run begins that nobody serves; only its replica is to be read. Nothing listens there.
NOBODY_SERVES: Final = "http://127.0.0.1:9/gone"


class RunRef(Message, frozen=True):
    """One committed map output that a reducer has to read."""

    map: AttemptId
    bytes: Count
    digest: Digest64
    url: str = ""
    """Peer: where to fetch it; empty: it lies in the job's runs folder under `map.stem`."""
    has_replica: bool = False
    """Peer: the coordinator has a copy, for when `url` does not answer."""


class RunsPage(Message, frozen=True):
    """A page of the runs a reducer must read, in order of map index; maps without output are left out."""

    runs: tuple[RunRef, ...]
    next: int | None = None
    """Map index to ask for next, or None at the end."""


class JobDefinition(Message, frozen=True):
    """Everything about a job that its tasks share; fetched once by each worker."""

    job: JobId
    name: str
    spec: JobSpec
    code: str
    """sha256 of the code bundle."""
    maps: Count
    partitions: Count
    """R; 0 for a map-only job."""
    runs_dir: str
    """Folder of run files, named `<stem>.run`."""
    attempts_dir: str
    """Folder of attempts' output files, named `<stem>.out`, in the same file system as the output."""
    trace_dir: str
    """Folder of record traces, named `<stem>.trace`."""
    data: Literal["path", "coordinator"] = "path"
    """How workers come by inputs and hand in outputs. path: by the paths given here, which they share with the
    coordinator. coordinator: by calls to it, for workers that share no volume; so do replicas of runs."""


class UploadReply(Message, frozen=True, omit_defaults=False):
    """How much of an upload is here. Whoever lost count asks with an empty body."""

    received: Count
    """Bytes that are here, hence the offset to go on from."""
    is_complete: bool
    """All is here, was checked, is on disk and has its name."""


# ----------------------------------------------------------------------------------------------------- client calls


class SubmitRequest(Message, frozen=True):
    """A new job. Its code bundle has been put before."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]
    spec: JobSpec
    code: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    key: Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._-]*$(?!\n)")] = ""
    """Chosen anew for each job by its client: the same key again means the same job, and makes no second one."""


class SubmitReply(Message, frozen=True):
    """The new job's id."""

    job: JobId


JobState = Literal["Queued", "Planning", "Mapping", "Reducing", "Committing", "Complete", "Failed", "Cancelled"]
FINAL_STATES: Final = frozenset({"Complete", "Failed", "Cancelled"})


class TaskCounts(Message, frozen=True):
    """How far one phase is."""

    total: int = 0
    running: int = 0
    committed: int = 0
    attempts_failed: int = 0
    backups: int = 0


class FailureSample(Message, frozen=True):
    """One failed attempt, for people."""

    id: AttemptId
    failure: Failure
    at: float
    """UTC, seconds since 1970."""
    worker: str = ""


class JobStatus(Message, frozen=True):
    """A job as its users see it."""

    job: JobId
    name: str
    state: JobState
    reason: str = ""
    message: str = ""
    maps: TaskCounts = TaskCounts()
    reduces: TaskCounts = TaskCounts()
    maps_remade: int = 0
    workers: int = 0
    """Workers now registered at the coordinator."""
    counters: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    input_bytes: int = 0
    output: str = ""
    output_records: int = 0
    output_bytes: int = 0
    submitted_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    failures: tuple[FailureSample, ...] = ()
    resumed_maps: int = 0
    """Maps that were already committed when this incarnation of the coordinator took the job up."""
    resumed_reduces: int = 0


class StatusList(Message, frozen=True):
    """All jobs of one coordinator, in order of submission."""

    jobs: tuple[JobStatus, ...]
    epoch: Epoch
    sequence: int


class WorkersGoneRequest(Message, frozen=True):
    """Whoever starts the workers has seen these end: nobody need wait for their silence to last."""

    workers: Annotated[tuple[WorkerName, ...], Meta(min_length=1, max_length=10_000)]
    is_charged: bool = True
    """Whether what they ran may have ended them; False when they were disrupted: node drained, pod evicted."""
    reason: Annotated[str, Meta(max_length=1_000)] = ""
    """What became of them, for the coordinator's log."""


class Notice(Message, frozen=True):
    """Something about the coordinator itself that people should know."""

    reason: str
    """Stable, in CamelCase: `WALCorrupt`, `WALRepaired`, `LowSpace`, `SlowDisk`."""
    message: str


class WorkerSummary(Message, frozen=True, omit_defaults=False):
    """One registered worker."""

    name: str
    slots: int
    last_heartbeat_age_s: float
    """Since it was last heard of."""
    running: int
    """Attempts that it holds."""
    memory_bytes: int = 0
    """Private memory of its executors, by its last heartbeat; 0 where it is not known."""


class CoordinatorStatus(Message, frozen=True, omit_defaults=False):
    """How the coordinator itself is."""

    epoch: Epoch
    sequence: int
    version: str
    notices: tuple[Notice, ...] = ()
    is_short_of_space: bool = False
    """Nothing is granted until there is room on the volume of the log."""
    replicas_pending: int = 0
    """Peer: committed runs that a reduce may still need and that exist at their worker only."""
    workers: tuple[WorkerSummary, ...] = ()


class ErrorReply(Message, frozen=True):
    """Body of every answer with a status of 400 and above."""

    code: str
    """Stable, for programs: `epoch-changed`, `unknown-worker`, `stale-call`, `bad-request`, `unauthorized`, ..."""
    message: str
    """For people."""
    epoch: int = 0
