"""Decisions about whole jobs: the queue, the phases, the end. Pure."""

from __future__ import annotations

from typing import assert_never

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events
from mapreduce.scheduling import records as r
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.scheduling.turn import Refusal, Turn, in_order


def decide_submit(turn: Turn, asked: m.SubmitRequest) -> m.SubmitReply:
    """Appends a job to the queue."""
    job = turn.state.next_job_id
    turn.emit(r.JobSubmitted(job, asked.name, asked.spec, asked.code, turn.at))
    return m.SubmitReply(job=job)


def decide_cancel(turn: Turn, event: events.CancelRequested) -> Refusal | None:
    """Ends a job for its user; one that is being published has won the race and completes."""
    job = turn.state.jobs.get(event.job)
    if job is None:
        return Refusal("not-found", f"there is no job {event.job}; `mr ls` lists them")
    if job.phase.is_final:
        return Refusal("conflict", f"job {job.id} is {job.phase} already")
    if job.phase is JobPhase.COMMITTING:
        return Refusal("conflict", f"job {job.id} is being published and can no longer be cancelled")
    turn.finish_job(job, JobPhase.CANCELLED, "Cancelled", "cancelled by its user")
    return None


def decide_outcome(turn: Turn, event: events.PlanMade | events.JobBroken | events.Published) -> None:
    """Takes the outcome of planning or publishing; one that comes too late (the job is over) changes nothing."""
    job = turn.state.jobs[event.job]
    match event:
        case events.PlanMade():
            if job.phase is JobPhase.PLANNING:
                turn.emit(r.JobPlanned(job.id, event.plan, event.maps, event.partitions, event.input_bytes, turn.at))
        case events.Published():
            if job.phase is JobPhase.COMMITTING:
                turn.finish_job(job, JobPhase.COMPLETE, "Complete", "")
        case events.JobBroken():
            if not job.phase.is_final:
                turn.finish_job(job, JobPhase.FAILED, event.reason, event.message)
        case _:
            assert_never(event)


def advance(turn: Turn) -> None:
    """Whatever follows by itself at the end of every turn: next phase, next job."""
    job = turn.state.current_job
    if job is not None and job.phase in {JobPhase.MAPPING, JobPhase.REDUCING}:
        if job.outputs.is_complete and (job.reduces.count or job.maps.is_complete):
            _end_leases(turn, job)
            turn.emit(r.JobCommitting(job.id, turn.at))
        elif job.phase is JobPhase.MAPPING and job.maps.is_complete:
            sums = turn.sessions.partition_bytes.get(job.id, ())
            turn.emit(r.MapsCompleted(job.id, tuple(sums), turn.at))
    if turn.state.current_job is None:
        queued = turn.state.next_queued_job
        if queued is not None:
            turn.emit(r.JobStarted(queued.id, turn.at))


def _end_leases(turn: Turn, job: Job) -> None:
    """While a job is published nothing of it runs: a map made again and come out different must not fail it then."""
    for worker in turn.state.workers.values():
        mine = {held for held in worker.leases if held.job == job.id}
        turn.release(worker.name, in_order(mine), r.Release.NOT_NEEDED)
        turn.cancel(worker.name, mine)
