"""Short hands for the worker's side of the protocol: attempts, results, and sessions that have got so far."""

from __future__ import annotations

from mapreduce.protocol.messages import (
    Assignment,
    AttemptId,
    Commit,
    NextReply,
    NextRequest,
    RegisterReply,
    TaskOutput,
)
from mapreduce_worker.agent.session import Session


def attempt(index: int, *, epoch: int = 1) -> AttemptId:
    return AttemptId(job=1, kind="map", index=index, attempt=1, epoch=epoch)


def commit(index: int, run_s: float = 1.0) -> Commit:
    return Commit(id=attempt(index), output=TaskOutput(), run_s=run_s)


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
