"""Short hands for the worker's side of the protocol: attempts, results, jobs, and sessions that have got so far."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from mapreduce.model import Code, Input, JobSpec, Output, Storage
from mapreduce.protocol.messages import (
    Assignment,
    AttemptId,
    Commit,
    JobDefinition,
    NextReply,
    NextRequest,
    RegisterReply,
    TaskOutput,
)
from mapreduce_worker.agent.jobs import JobFiles, Prepared
from mapreduce_worker.agent.places import plan_places
from mapreduce_worker.agent.session import Session

SCRATCH = Path("/mr/disk/pod")


def attempt(index: int, *, epoch: int = 1) -> AttemptId:
    return AttemptId(job=1, kind="map", index=index, attempt=1, epoch=epoch)


def commit(index: int, run_s: float = 1.0) -> Commit:
    return Commit(id=attempt(index), output=TaskOutput(), run_s=run_s)


def definition(shuffle: Literal["Shared", "Peer"], data: Literal["path", "coordinator"]) -> JobDefinition:
    """A job of four maps and two partitions, as a worker is told of it."""
    spec = JobSpec(
        code=Code(module="x"), inputs=(Input(uri="in"),), output=Output(uri="out"), storage=Storage(shuffle=shuffle)
    )
    return JobDefinition(
        job=1,
        name="test",
        spec=spec,
        code="0" * 64,
        maps=4,
        partitions=2,
        data=data,
        runs_dir="/mr/runs/jobs/1/runs",
        attempts_dir="/out/attempts",
        trace_dir="/mr/runs/jobs/1/traces",
    )


def prepared(index: int, job: int = 1) -> Prepared:
    """A map that can run."""
    known = msgspec.structs.replace(definition("Shared", "path"), job=job)
    files = JobFiles(known, SCRATCH / "code", plan_places(known, SCRATCH, None, None))
    return Prepared(Assignment(id=msgspec.structs.replace(attempt(index), job=job)), files)


def welcome(
    epoch: int = 1,
    *,
    keep: tuple[AttemptId, ...] = (),
    committed: tuple[AttemptId, ...] = (),
    call: int = 0,
) -> RegisterReply:
    return RegisterReply(
        epoch=epoch, session=f"s{epoch}", lease_s=30, heartbeat_s=1, keep=keep, committed=committed, call=call
    )


def joined(slots: int = 1) -> Session:
    session = Session(worker="w", slots=slots, now_s=0.0)
    session.registered(welcome(), 0.0)
    return session


def asked(session: Session, now_s: float = 1.0) -> NextRequest:
    request = session.next_request(now_s)
    assert request is not None
    return request


def granted(session: Session, *indexes: int, now_s: float = 1.0) -> None:
    """One whole call that brings these tasks."""
    request = asked(session, now_s)
    tasks = tuple(Assignment(id=attempt(index)) for index in indexes)
    session.next_answered(request.call, NextReply(epoch=session.epoch, tasks=tasks), now_s)
