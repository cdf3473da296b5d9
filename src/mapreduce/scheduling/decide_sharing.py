"""Sharing out the tail of a phase: what waits in one worker's queue is taken back for a worker that has nothing. Pure.

A lease covers a small batch, so one slow task must not hold the others of its batch while somebody waits. The worker
hears the order with its next heartbeat and acknowledges it by a `Release`; only then is the task pending again, and
then it is the waiting worker's, not the next batch of the one that gave it back.

What a free slot is about to begin waits for nobody but its input, and stays: two workers with nothing else to do would
hand it to and fro, and fetch the input anew each time.
"""

from __future__ import annotations

from mapreduce.protocol import messages as m
from mapreduce.scheduling.sessions import Session
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.scheduling.turn import Turn, in_order


def order_take_back(turn: Turn, worker: str, session: Session) -> None:
    """Orders what `worker` should give back, now that its queue is known from its heartbeat."""
    session.take_back &= session.queued
    job = turn.state.current_job
    if job is None:
        return
    if job.phase is JobPhase.MAPPING:
        # reduces that were leased before a map's output was lost: they wait for the map, and so might its next worker
        session.take_back |= {held for held in session.queued if held.kind == "reduce"}
    table = job.maps if job.phase is JobPhase.MAPPING else job.reduces
    if not turn.sessions.has_grantable(table) and not session.take_back and someone_waits(turn, worker):
        free = max(0, turn.state.workers[worker].slots - len(session.begun_s))
        queue = [held for held in in_order(session.queued) if held.kind == table.kind][free:]
        session.take_back |= set(queue[len(queue) // 2 :])


def is_yielding(turn: Turn, asked: m.NextRequest) -> bool:
    """The call acknowledges a take-back for a worker that waits: it gets nothing, or it would get the same again."""
    is_handing_back = any(isinstance(entry, m.Release) and not entry.was_started for entry in asked.finished)
    return is_handing_back and someone_waits(turn, asked.worker)


def someone_waits(turn: Turn, besides: str) -> bool:
    """Another worker has asked for a task and has not been given one."""
    return any(
        name != besides and session.last_call and not session.is_answered
        for name, session in turn.sessions.workers.items()
    )
