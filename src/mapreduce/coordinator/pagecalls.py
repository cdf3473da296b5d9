"""The calls of the page and of those who open it. The table of them is `pageroutes`, what is shown is `viewing`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from mapreduce.coordinator.auth import Caller
from mapreduce.coordinator.parameters import OfJob, Sequence
from mapreduce.coordinator.refusals import not_found, unauthorized
from mapreduce.coordinator.replies import JSON_TYPE, Answer, Bytes, Events, Json
from mapreduce.coordinator.routes import Context, NoBody, NoParameters
from mapreduce.page.assembling import page_headers, served_page
from mapreduce.page.columns import MAX_ROWS
from mapreduce.protocol.messages import Message

HTML = "text/html; charset=utf-8"


class TicketReply(Message, frozen=True):
    """A fresh ticket."""

    ticket: str


class TicketRequest(Message, frozen=True):
    """A ticket from the fragment of the page's address."""

    ticket: Annotated[str, Meta(min_length=1, max_length=256)]


class PageTokenReply(Message, frozen=True):
    """What the page shows from now on."""

    token: str


class FramesParameters(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """Parameters of the stream of frames."""

    job: Annotated[int, Meta(ge=0, le=1 << 53, description="Number of the job; 0: the latest.")]
    start: Annotated[Sequence, Meta(description="Send what came after this; 0: begin with the full state.")] = 0
    last_event_id: Annotated[Sequence | None, Meta(description="The same, as a header; it wins.")] = None


class TimelineParameters(OfJob, frozen=True, rename={"start": "from"}):
    """Parameters of a window of a job's attempts."""

    start: Annotated[int, Meta(ge=0, le=1 << 32, description="First row, and first task.")] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ROWS, description="Largest number of rows.")] = MAX_ROWS


class TraceParameters(msgspec.Struct, frozen=True):
    """Parameters of a trace."""

    job: Annotated[int, Meta(ge=0, le=1 << 53, description="Number of the job; 0: the latest.")] = 0


async def page(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Give the page, which is empty until it has bought a token."""
    if not context.has_page:
        raise not_found("page", "this coordinator was started with --no-page")
    return Bytes(served_page(), HTML, page_headers())


async def issue_ticket(context: Context, _: Caller, __: NoParameters, ___: NoBody) -> Answer:
    """Give a ticket for one browser."""
    if not context.has_page:
        raise not_found("page", "this coordinator was started with --no-page")
    return Json(TicketReply(ticket=context.tickets.issue()))


async def redeem_ticket(context: Context, _: Caller, __: NoParameters, body: TicketRequest) -> Answer:
    """Sell a page token for a ticket."""
    if not context.tickets.redeem(body.ticket):
        raise unauthorized("This ticket was used before, or is too old. `mr page` prints a fresh address.")
    return Json(PageTokenReply(token=context.page_token()))


async def frames(context: Context, _: Caller, at: FramesParameters, __: NoBody) -> Answer:
    """Stream what the page shows of a job."""
    start = at.start if at.last_event_id is None else at.last_event_id
    subscribe = context.service.frames(at.job)
    return Events(start, subscribe)


async def timeline(context: Context, _: Caller, at: TimelineParameters, __: NoBody) -> Answer:
    """Give a window of a job's attempts."""
    return Json(await context.service.timeline(at.job, at.start, at.limit))


async def trace(context: Context, _: Caller, at: TraceParameters, __: NoBody) -> Answer:
    """Give the job's attempts as a trace."""
    return Bytes(await context.service.trace(at.job), JSON_TYPE)
