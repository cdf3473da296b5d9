"""What each call of the protocol does with the service. The table of them is `table`.

Everything is typed and checked before: token, role, parameters, body. How bytes come and go is `http`; what a call
means is the service's.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mapreduce.coordinator.auth import Caller
from mapreduce.coordinator.parameters import (
    EventsParameters,
    OfAttempt,
    OfCode,
    OfJob,
    OfPart,
    OfSplitFile,
    OfTask,
    RunsParameters,
    StatusParameters,
    UploadParameters,
)
from mapreduce.coordinator.refusals import Refused, bad_request, conflict, epoch_changed, forbidden
from mapreduce.coordinator.replies import JSON_TYPE, SEQUENCE_HEADER, Answer, Bytes, Events, Json, Part
from mapreduce.coordinator.routes import Context, NoBody, NoParameters
from mapreduce.protocol.messages import (
    HeartbeatRequest,
    NextRequest,
    RegisterRequest,
    SubmitRequest,
    WorkersGoneRequest,
)
from mapreduce.protocol.singlesteps import CommitRequest, FailRequest, GetTaskRequest, ReleaseRequest, SingleStep

TEXT: Final = "text/plain; charset=utf-8"
OCTETS: Final = "application/octet-stream"


def _check_speaker(context: Context, caller: Caller, message: NextRequest | HeartbeatRequest | SingleStep) -> None:
    """Raise Refused unless the session's worker speaks for itself, to this incarnation."""
    if message.worker != caller.worker:
        raise forbidden(f"This session is of worker {caller.worker}, the call of {message.worker}.")
    if message.epoch != context.service.epoch:
        raise epoch_changed(context.service.epoch)


async def register(context: Context, _: Caller, __: NoParameters, body: RegisterRequest) -> Answer:
    """Register a worker and give it its session."""
    reply = await context.service.register(body)
    return Json(msgspec.structs.replace(reply, session=context.session_of(body.worker)))


async def next_(context: Context, caller: Caller, _: NoParameters, body: NextRequest) -> Answer:
    """Judge what is finished and give new work."""
    _check_speaker(context, caller, body)
    return Json(await context.service.next(body))


async def heartbeat(context: Context, caller: Caller, _: NoParameters, body: HeartbeatRequest) -> Answer:
    """Renew a worker's leases."""
    _check_speaker(context, caller, body)
    return Json(await context.service.heartbeat(body))


async def get_task(context: Context, caller: Caller, _: NoParameters, body: GetTaskRequest) -> Answer:
    """Give one task."""
    _check_speaker(context, caller, body)
    return Json(await context.service.next(body.as_next()))


async def report(
    context: Context, caller: Caller, _: NoParameters, body: CommitRequest | FailRequest | ReleaseRequest
) -> Answer:
    """Judge one finished attempt: a `next` of a single step. What is not accepted is a refusal here."""
    _check_speaker(context, caller, body)
    reply = await context.service.next(body.as_next())
    if len(reply.verdicts) != 1:
        raise bad_request(f"Call {body.call} was another one before. Use a higher number.")
    verdict = reply.verdicts[0]
    if not verdict.accepted:
        raise conflict(verdict.reason or "The attempt's lease is over.")
    return Json(verdict)


async def definition(context: Context, _: Caller, at: OfJob, __: NoBody) -> Answer:
    """Tell what a job's tasks share."""
    return Json(await context.service.definition(at.job))


async def runs(context: Context, _: Caller, at: RunsParameters, __: NoBody) -> Answer:
    """Tell one page of a job's runs."""
    return Json(await context.service.runs(at.job, at.start, at.limit))


async def code(context: Context, _: Caller, at: OfCode, __: NoBody) -> Answer:
    """Give a code bundle."""
    return Bytes(await context.service.code(at.digest), OCTETS)


async def put_code(context: Context, _: Caller, at: OfCode, body: bytes) -> Answer:
    """Keep a code bundle."""
    await context.service.put_code(at.digest, body)
    return None


async def put_attempt_log(context: Context, _: Caller, at: OfAttempt, body: bytes) -> Answer:
    """Keep an attempt's log."""
    await context.service.put_attempt_log(at.job, at.stem, body)
    return None


async def put_run(context: Context, caller: Caller, at: UploadParameters, body: bytes) -> Answer:
    """Keep a piece of a run's replica."""
    return Json(await context.service.put_run(caller.worker, at.job, at.stem, at.offset, at.size, body))


async def put_output(context: Context, caller: Caller, at: UploadParameters, body: bytes) -> Answer:
    """Keep a piece of an attempt's output."""
    return Json(await context.service.put_output(caller.worker, at.job, at.stem, at.offset, at.size, body))


async def replica(context: Context, _: Caller, at: OfAttempt, __: NoBody) -> Answer:
    """Stream a run's replica."""
    return Part(await context.service.replica_path(at.job, at.stem))


async def split_file(context: Context, _: Caller, at: OfSplitFile, __: NoBody) -> Answer:
    """Stream an input file, as a worker that cannot see it reads it."""
    return Part(await context.service.input_path(at.job, at.index, at.number), is_link_followed=True)


async def workers_gone(context: Context, _: Caller, __: NoParameters, body: WorkersGoneRequest) -> Answer:
    """Free what these workers held."""
    await context.service.workers_gone(body)
    return None


async def coordinator(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Tell how the coordinator is."""
    return Json(await context.service.coordinator_status())


async def submit(context: Context, _: Caller, __: NoParameters, body: SubmitRequest) -> Answer:
    """Queue a job."""
    return Json(await context.service.submit(body))


async def statuses(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Tell the status of all jobs."""
    return Json(await context.service.statuses())


async def status(context: Context, _: Caller, at: StatusParameters, __: NoBody) -> Answer:
    """Tell a job's status and its sequence."""
    status, sequence = await context.service.status(at.job, wait_s=at.wait_s, after_sequence=at.after_sequence)
    return Json(status, {SEQUENCE_HEADER: str(sequence)})


async def cancel(context: Context, _: Caller, at: OfJob, __: NoBody) -> Answer:
    """End a job."""
    return Json(await context.service.cancel(at.job))


async def task_log(context: Context, _: Caller, at: OfTask, __: NoBody) -> Answer:
    """Give a task's log."""
    return Bytes(await context.service.task_log(at.job, at.task), TEXT)


async def parts(context: Context, _: Caller, at: OfJob, __: NoBody) -> Answer:
    """Name the published parts."""
    return Json(await context.service.parts(at.job))


async def part(context: Context, _: Caller, at: OfPart, __: NoBody) -> Answer:
    """Stream a published part."""
    return Part(await context.service.part_path(at.job, at.name))


async def events(context: Context, _: Caller, at: EventsParameters, __: NoBody) -> Answer:
    """Stream events; the header that browsers send wins over the query."""
    return Events(at.start if at.last_event_id is None else at.last_event_id, context.service.subscribe)


async def livez(_: Context, __: Caller, ___: NoParameters, ____: NoBody) -> Answer:
    """Answer, which is all."""
    return Bytes(b"ok\n", TEXT)


async def readyz(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Answer unless this incarnation is over."""
    if context.service.failed.done():
        raise Refused("not-ready", "This coordinator is ending. Its log says why.")
    return Bytes(b"ok\n", TEXT)


async def openapi(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Describe this protocol."""
    return Bytes(context.openapi(), JSON_TYPE)
