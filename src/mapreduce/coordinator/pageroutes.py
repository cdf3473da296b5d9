"""The part of the table of calls that the page uses; `table.ROUTES` holds all of them."""

from __future__ import annotations

from typing import Final

from mapreduce.coordinator import pagecalls
from mapreduce.coordinator.auth import CallerKind
from mapreduce.coordinator.routes import AnyRoute, NoBody, NoParameters, Route
from mapreduce.page.messages import TimelinePage

_EVERYONE: Final[frozenset[CallerKind]] = frozenset()
_READING: Final[frozenset[CallerKind]] = frozenset({"admin", "worker", "read"})

PAGE_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/",
        summary="The page: an empty shell, which fetches what it shows with a token.",
        callers=_EVERYONE,
        parameters=NoParameters,
        body=NoBody,
        reply="text/html; charset=utf-8",
        refusals=("not-found",),
        carry_out=pagecalls.page,
    ),
    Route(
        method="POST",
        path="/v1/tickets",
        summary="A ticket for one browser, good once and for 15 minutes.",
        callers=_READING,
        parameters=NoParameters,
        body=NoBody,
        reply=pagecalls.TicketReply,
        refusals=("not-found",),
        carry_out=pagecalls.issue_ticket,
    ),
    Route(
        method="POST",
        path="/v1/ticket",
        summary="Sells the page a token that may read, for a ticket.",
        callers=_EVERYONE,
        parameters=NoParameters,
        body=pagecalls.TicketRequest,
        body_limit_bytes=1 << 12,
        reply=pagecalls.PageTokenReply,
        refusals=("unauthorized",),
        carry_out=pagecalls.redeem_ticket,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/frames",
        summary="What the page shows of a job, as server-sent events, at most twice a second.",
        callers=_READING,
        parameters=pagecalls.FramesParameters,
        headers={"last_event_id": "Last-Event-ID"},
        body=NoBody,
        reply="text/event-stream",
        refusals=("not-ready",),
        carry_out=pagecalls.frames,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job}/timeline",
        summary="A window of a job's attempts and outputs, as columns.",
        callers=_READING,
        parameters=pagecalls.TimelineParameters,
        body=NoBody,
        reply=TimelinePage,
        refusals=("not-ready",),
        carry_out=pagecalls.timeline,
    ),
    Route(
        method="GET",
        path="/trace.json",
        summary="A job's attempts in Chrome's trace format, for Perfetto.",
        callers=_READING,
        parameters=pagecalls.TraceParameters,
        body=NoBody,
        reply="application/json",
        refusals=("not-found", "not-ready"),
        carry_out=pagecalls.trace,
    ),
)
