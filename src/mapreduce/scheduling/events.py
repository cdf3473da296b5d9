"""What happens to the coordinator besides messages: the outcomes of its own I/O, and time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mapreduce.protocol.messages import AttemptId


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class WorkersGone:
    """The host has seen the processes of these workers end, so nobody need wait for their silence to last."""

    workers: tuple[str, ...]
    is_charged: bool = True
    """Whether what they ran may have ended them; False when their host ended with them."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A user wants the job to end."""

    job: int


@dataclass(frozen=True, slots=True)
class PlanMade:
    """The inputs were listed and cut; the plan lies on disk."""

    job: int
    plan: str
    maps: int
    partitions: int
    input_bytes: int


@dataclass(frozen=True, slots=True)
class JobBroken:
    """Planning or publishing found something that no retry mends."""

    job: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Published:
    """Every part has its final name and `_SUCCESS` is written."""

    job: int


@dataclass(frozen=True, slots=True)
class OutputsMissing:
    """Publishing found outputs gone or altered; these tasks have to be done again."""

    job: int
    indexes: tuple[int, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class RunsProbed:
    """The runs of a job were looked at after a reader's report; `lost` are the attempts whose bytes are gone."""

    job: int
    lost: tuple[AttemptId, ...]
    problem: str
    refuted: tuple[AttemptId, ...] = ()
    """Those that were reported, that the coordinator could look at, and that it did not find lost."""


@dataclass(frozen=True, slots=True)
class ReplicaKept:
    """The coordinator has a whole copy of this attempt's run, with this digest of its content."""

    run: AttemptId
    digest: int


@dataclass(frozen=True, slots=True)
class ReplicasBad:
    """Copies of runs turned out to be gone or damaged."""

    job: int
    runs: tuple[AttemptId, ...]
    problem: str


Event = (
    Tick
    | WorkersGone
    | CancelRequested
    | PlanMade
    | JobBroken
    | Published
    | OutputsMissing
    | RunsProbed
    | ReplicaKept
    | ReplicasBad
)
