"""What happens to the coordinator besides messages: the outcomes of its own I/O, and time. Pure."""

from __future__ import annotations

import msgspec

from mapreduce.protocol.messages import AttemptId


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


class WorkersGone(msgspec.Struct, frozen=True):
    """The host has seen the processes of these workers end, so nobody need wait for their silence to last."""

    workers: tuple[str, ...]
    is_charged: bool = True
    """Whether what they ran may have ended them; False when their host ended with them."""


class CancelRequested(msgspec.Struct, frozen=True):
    """A user wants the job to end."""

    job: int


class PlanMade(msgspec.Struct, frozen=True):
    """The inputs were listed and cut; the plan lies on disk."""

    job: int
    plan: str
    maps: int
    partitions: int
    input_bytes: int


class JobBroken(msgspec.Struct, frozen=True):
    """Planning or publishing found something that no retry mends."""

    job: int
    reason: str
    message: str


class Published(msgspec.Struct, frozen=True):
    """Every part has its final name and `_SUCCESS` is written."""

    job: int


class OutputsMissing(msgspec.Struct, frozen=True):
    """Publishing found outputs gone or altered; these tasks have to be done again."""

    job: int
    indexes: tuple[int, ...]
    problem: str


class RunsProbed(msgspec.Struct, frozen=True):
    """The runs of a job were looked at after a reader's report; `lost` are the attempts whose bytes are gone."""

    job: int
    lost: tuple[AttemptId, ...]
    problem: str
    refuted: tuple[AttemptId, ...] = ()
    """Those that were reported, that the coordinator could look at, and that it did not find lost."""


class ReplicaKept(msgspec.Struct, frozen=True):
    """The coordinator has a whole copy of this attempt's run, with this digest of its content."""

    run: AttemptId
    digest: int


class ReplicasBad(msgspec.Struct, frozen=True):
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
