"""The table of all calls: path, who may call, what goes in, what comes out, what it may be refused with.

The server, the OpenAPI document and the tests' matrix of roles are made from it. `docs/protocol.md` explains it to
people.
"""

from __future__ import annotations

from typing import Final

from mapreduce.coordinator import calls
from mapreduce.coordinator.auth import CallerKind
from mapreduce.coordinator.pageroutes import PAGE_ROUTES
from mapreduce.coordinator.parameters import (
    EventsParameters,
    OfAttempt,
    OfCode,
    OfJob,
    OfPart,
    OfTask,
    RunsParameters,
    StatusParameters,
)
from mapreduce.coordinator.refusals import RefusalCode
from mapreduce.coordinator.routes import AnyRoute, NoBody, NoParameters, Route
from mapreduce.coordinator.transferroutes import TRANSFER_ROUTES
from mapreduce.protocol import wire
from mapreduce.protocol.messages import (
    CoordinatorStatus,
    HeartbeatReply,
    HeartbeatRequest,
    JobDefinition,
    JobStatus,
    NextReply,
    NextRequest,
    RegisterReply,
    RegisterRequest,
    RunsPage,
    StatusList,
    SubmitReply,
    SubmitRequest,
    Verdict,
    WorkersGoneRequest,
)
from mapreduce.protocol.singlesteps import CommitRequest, FailRequest, GetTaskRequest, ReleaseRequest

EVERYONE: Final[frozenset[CallerKind]] = frozenset()
ANY_TOKEN: Final[frozenset[CallerKind]] = frozenset({"admin", "worker", "read", "session"})
ADMIN: Final[frozenset[CallerKind]] = frozenset({"admin"})
JOINING: Final[frozenset[CallerKind]] = frozenset({"admin", "worker"})
READING: Final[frozenset[CallerKind]] = frozenset({"admin", "worker", "read"})
SESSION: Final[frozenset[CallerKind]] = frozenset({"session"})
TASK_DATA: Final[frozenset[CallerKind]] = frozenset({"session", "admin"})

#: What a worker's call may be refused with.
_WORKER: Final[tuple[RefusalCode, ...]] = ("epoch-changed", "unknown-worker", "stale-call", "not-ready")

_WORKER_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST",
        path="/v1/register",
        summary="A worker joins, or comes back with the attempts it holds.",
        callers=JOINING,
        parameters=NoParameters,
        body=RegisterRequest,
        body_limit_bytes=wire.WORKER_BODY_LIMIT_BYTES,
        reply=RegisterReply,
        refusals=("conflict", "not-ready"),
        carry_out=calls.register,
    ),
    Route(
        method="POST",
        path="/v1/next",
        summary="Commits what is finished and takes the next small batch of tasks.",
        callers=SESSION,
        parameters=NoParameters,
        body=NextRequest,
        body_limit_bytes=wire.WORKER_BODY_LIMIT_BYTES,
        reply=NextReply,
        refusals=_WORKER,
        carry_out=calls.next_,
        wait_s=lambda _, body: body.wait_s,
    ),
    Route(
        method="POST",
        path="/v1/heartbeat",
        summary="Renews the leases of a worker and brings orders back.",
        callers=SESSION,
        parameters=NoParameters,
        body=HeartbeatRequest,
        body_limit_bytes=wire.WORKER_BODY_LIMIT_BYTES,
        reply=HeartbeatReply,
        refusals=_WORKER,
        carry_out=calls.heartbeat,
    ),
    Route(
        method="POST",
        path="/v1/get-task",
        summary="Takes one task.",
        callers=SESSION,
        parameters=NoParameters,
        body=GetTaskRequest,
        reply=NextReply,
        refusals=_WORKER,
        carry_out=calls.get_task,
        wait_s=lambda _, body: body.wait_s,
    ),
    Route(
        method="POST",
        path="/v1/commit",
        summary="Asks that an attempt's output become the task's.",
        callers=SESSION,
        parameters=NoParameters,
        body=CommitRequest,
        body_limit_bytes=wire.WORKER_BODY_LIMIT_BYTES,
        reply=Verdict,
        refusals=(*_WORKER, "conflict"),
        carry_out=calls.report,
    ),
    Route(
        method="POST",
        path="/v1/fail",
        summary="Reports that an attempt ended without a result.",
        callers=SESSION,
        parameters=NoParameters,
        body=FailRequest,
        reply=Verdict,
        refusals=(*_WORKER, "conflict"),
        carry_out=calls.report,
    ),
    Route(
        method="POST",
        path="/v1/release",
        summary="Gives a lease back.",
        callers=SESSION,
        parameters=NoParameters,
        body=ReleaseRequest,
        reply=Verdict,
        refusals=(*_WORKER, "conflict"),
        carry_out=calls.report,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/definition",
        summary="What the tasks of a job share.",
        callers=TASK_DATA,
        parameters=OfJob,
        body=NoBody,
        reply=JobDefinition,
        refusals=("not-ready",),
        carry_out=calls.definition,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/runs",
        summary="A page of the runs that a reducer must read.",
        callers=TASK_DATA,
        parameters=RunsParameters,
        body=NoBody,
        reply=RunsPage,
        refusals=("not-ready",),
        carry_out=calls.runs,
    ),
    Route(
        method="PUT",
        path="/v1/jobs/{job}/attempts/{stem}/log",
        summary="Keeps what an attempt printed.",
        callers=SESSION,
        parameters=OfAttempt,
        body=bytes,
        body_limit_bytes=wire.LOG_LIMIT_BYTES,
        reply="no content",
        carry_out=calls.put_attempt_log,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/code/{digest}",
        summary="A code bundle.",
        callers=TASK_DATA,
        parameters=OfCode,
        body=NoBody,
        reply="application/octet-stream",
        carry_out=calls.code,
    ),
)

_CLIENT_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="PUT",
        path="/v1/code/{digest}",
        summary="Keeps a code bundle under its sha256.",
        callers=ADMIN,
        parameters=OfCode,
        body=bytes,
        body_limit_bytes=wire.CODE_LIMIT_BYTES,
        reply="no content",
        carry_out=calls.put_code,
        runs_to_end=True,
    ),
    Route(
        method="POST",
        path="/v1/jobs",
        summary="Submits a job whose code bundle has been put before.",
        callers=ADMIN,
        parameters=NoParameters,
        body=SubmitRequest,
        reply=SubmitReply,
        refusals=("conflict", "not-ready"),
        carry_out=calls.submit,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/jobs",
        summary="All jobs.",
        callers=READING,
        parameters=NoParameters,
        body=NoBody,
        reply=StatusList,
        carry_out=calls.statuses,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}",
        summary="A job's status, at once or when it has changed.",
        callers=READING,
        parameters=StatusParameters,
        body=NoBody,
        reply=JobStatus,
        carry_out=calls.status,
        wait_s=lambda at, _: at.wait_s,
    ),
    Route(
        method="POST",
        path="/v1/jobs/{job}/cancel",
        summary="Ends a job without output.",
        callers=ADMIN,
        parameters=OfJob,
        body=NoBody,
        reply=JobStatus,
        refusals=("not-ready",),
        carry_out=calls.cancel,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/logs/{task}",
        summary="What the attempts of a task printed.",
        callers=READING,
        parameters=OfTask,
        body=NoBody,
        reply="text/plain; charset=utf-8",
        carry_out=calls.task_log,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/parts",
        summary="Names of the published parts.",
        callers=READING,
        parameters=OfJob,
        body=NoBody,
        reply=list[str],
        carry_out=calls.parts,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/parts/{name}",
        summary="A published part, whole or a range of its bytes.",
        callers=READING,
        parameters=OfPart,
        body=NoBody,
        reply="application/octet-stream",
        refusals=("range-not-satisfiable",),
        carry_out=calls.part,
    ),
    Route(
        method="POST",
        path="/v1/workers/gone",
        summary="Tells that workers have ended, so that what they held is free at once.",
        callers=ADMIN,
        parameters=NoParameters,
        body=WorkersGoneRequest,
        reply="no content",
        refusals=("not-ready",),
        carry_out=calls.workers_gone,
        runs_to_end=True,
    ),
    Route(
        method="GET",
        path="/v1/coordinator",
        summary="How the coordinator itself is: notices, space, replicas, workers.",
        callers=READING,
        parameters=NoParameters,
        body=NoBody,
        reply=CoordinatorStatus,
        refusals=("not-ready",),
        carry_out=calls.coordinator,
    ),
    Route(
        method="GET",
        path="/v1/events",
        summary="What happens, as server-sent events.",
        callers=READING,
        parameters=EventsParameters,
        headers={"last_event_id": "Last-Event-ID"},
        body=NoBody,
        reply="text/event-stream",
        refusals=("not-ready",),
        carry_out=calls.events,
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        summary="This protocol as an OpenAPI document.",
        callers=ANY_TOKEN,
        parameters=NoParameters,
        body=NoBody,
        reply="application/json",
        carry_out=calls.openapi,
    ),
)

_OPEN_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/livez",
        summary="Whether the process serves requests.",
        callers=EVERYONE,
        parameters=NoParameters,
        body=NoBody,
        reply="text/plain; charset=utf-8",
        carry_out=calls.livez,
    ),
    Route(
        method="GET",
        path="/readyz",
        summary="Whether calls are carried out: 503 once the log failed or another incarnation took over.",
        callers=EVERYONE,
        parameters=NoParameters,
        body=NoBody,
        reply="text/plain; charset=utf-8",
        refusals=("not-ready",),
        carry_out=calls.readyz,
    ),
)

ROUTES: Final[tuple[AnyRoute, ...]] = _WORKER_ROUTES + TRANSFER_ROUTES + _CLIENT_ROUTES + PAGE_ROUTES + _OPEN_ROUTES
