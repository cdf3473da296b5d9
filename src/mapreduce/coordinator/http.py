"""The coordinator's HTTP server: each request is admitted, read, carried out and answered, within its limits.

The order is fixed and in one place: Host, token, path, role, parameters, body, call. Nothing is looked up, and no body
is read, for a caller whose token is not valid. It is built on aiohttp's low-level server: its application would route
before it asks for a token, promise `100 Continue` to strangers, and cost a third of the calls per second. What a call
does is `calls`, which calls there are is `table`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from mapreduce.coordinator.auth import TOKEN_HEADER, Authenticator, Caller, Tokens, new_session
from mapreduce.coordinator.connections import CappedServer
from mapreduce.coordinator.downloads import send_file
from mapreduce.coordinator.events import send_events
from mapreduce.coordinator.limits import HttpSettings, read_body, refuse_encoded
from mapreduce.coordinator.port import CoordinatorService
from mapreduce.coordinator.refusals import Refused, bad_request, forbidden, internal, not_ready
from mapreduce.coordinator.replies import AS_IT_IS, Answer, Bytes, Events, Part, error_response, simple_response
from mapreduce.coordinator.routes import AnyRoute, Context, Match, MethodRefused, NoBody, NoParameters, RouteTable
from mapreduce.coordinator.table import ROUTES
from mapreduce.coordinator.tickets import Tickets, make_page_token
from mapreduce.errors import Fenced, InvalidRequest, StorageFailed
from mapreduce.protocol import wire
from mapreduce.protocol.sessions import make_session

T = TypeVar("T")

#: A reply beyond this may fill the connection's buffers, and gets a deadline for its reader.
_LARGE_BYTES: Final = 1 << 16
_NOBODY: Final = Caller("read")
_NO_PARAMETERS: Final = NoParameters()
_NO_BODY: Final = NoBody()
_ENDING: Final = not_ready("This coordinator is ending.")

#: A disk that is full or broken; every other OSError is unexpected.
_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})

_log = logging.getLogger(__name__)


class Edge:
    """Serves the calls of one service."""

    def __init__(
        self,
        service: CoordinatorService,
        tokens: Tokens,
        settings: HttpSettings,
        *,
        now_at: Callable[[], float] = time.time,
        has_page: bool = True,
    ) -> None:
        self.settings: Final = settings
        self.tickets: Final = Tickets(now_at)
        self.hosts: frozenset[str] | None = None
        """Values of `Host` that are served; None: any. Set when listening on loopback, against DNS rebinding."""
        self._service: Final = service
        self._now_at: Final = now_at
        self._authenticator: Final = Authenticator(tokens)
        self._table: Final = RouteTable(ROUTES)
        self._decoders: Final = {
            route: wire.Decoder(route.body) for route in ROUTES if issubclass(route.body, msgspec.Struct)
        }
        self._context: Final = Context(
            service=service,
            session_of=self._session_of,
            openapi=_openapi,
            tickets=self.tickets,
            page_token=lambda: make_page_token(tokens.read, now_at()),
            has_page=has_page,
        )
        self._timers: Final[set[asyncio.Timeout]] = set()
        self._unfinished: Final[set[asyncio.Task[Answer]]] = set()
        self._viewer_count = 0
        self._is_ending = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error becomes an ErrorReply here."""
        route: AnyRoute | None = None
        try:
            caller, match = self._admit(request)
            route = match.route
            parameters = _parameters(request, match)
            body = await self._body(request, route)
            answer = await self._carry_out(route, caller, parameters, body)
            return await self._respond(request, answer)
        except Refused as refused:
            return self._refuse(request, refused)
        except InvalidRequest as error:
            return self._refuse(request, bad_request(str(error)))
        except (StorageFailed, Fenced):  # whoever hosts the service says so, and ends
            return self._refuse(request, not_ready("This coordinator has stopped. Ask again: another may take over."))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                _log.error("%s %s failed: %s.", request.method, route.path if route else "(no route)", error)
                return self._refuse(request, not_ready(f"The coordinator's disk failed: {error.strerror}. Ask again."))
            if not _is_reader_gone(request, error):
                _log.exception("%s %s failed.", request.method, route.path if route else "(no route)")
            return self._refuse(request, internal())

    async def end(self) -> None:
        """Refuse new requests, and end what waits: long polls, streams, bodies that are still to come."""
        self._is_ending = True
        now_s = asyncio.get_running_loop().time()
        for timer in self._timers:
            timer.reschedule(now_s)
        if self._unfinished:
            await asyncio.wait(self._unfinished, timeout=self.settings.shutdown_s)

    def _admit(self, request: web.BaseRequest) -> tuple[Caller, Match]:
        """Who calls what; raises Refused unless it may."""
        headers = request.headers
        if self.hosts is not None and headers.get(hdrs.HOST, "").lower() not in self.hosts:
            raise forbidden("This coordinator listens on this machine only. Call it as localhost or 127.0.0.1.")
        path = request.rel_url.raw_path
        if self._table.is_open(path):
            return _NOBODY, self._table.find(request.method, path)
        if self._is_ending:
            raise _ENDING
        authorization = headers.get(hdrs.AUTHORIZATION)
        if authorization is None and (token := headers.get(TOKEN_HEADER)) is not None:
            authorization = f"Bearer {token}"
        caller = self._authenticator.caller(authorization, epoch=self._service.epoch, now_at=self._now_at())
        match = self._table.find(request.method, path)
        if caller.kind not in match.route.callers:
            kinds = " or ".join(sorted(match.route.callers))
            raise forbidden(f"A token of kind {caller.kind} may not do this; it takes {kinds}.")
        return caller, match

    async def _body(self, request: web.BaseRequest, route: AnyRoute) -> Any:
        """The decoded body, bytes as they are, or NoBody."""
        refuse_encoded(request)
        if route.body is NoBody:
            return _NO_BODY
        is_upload = route.body_limit_bytes > wire.WORKER_BODY_LIMIT_BYTES
        deadline_s = self.settings.upload_deadline_s if is_upload else self.settings.body_deadline_s
        reading = read_body(request, route.body_limit_bytes)
        if request.content.is_eof():  # it has all arrived, as most bodies have: no timer needed
            body = await reading
        else:
            late = Refused("timeout", f"The body did not arrive within {deadline_s:g} s.")
            body = await self._within(deadline_s, reading, late)
        decoder = self._decoders.get(route)
        return body if decoder is None else decoder.decode(body)

    async def _carry_out(self, route: AnyRoute, caller: Caller, parameters: Any, body: Any) -> Answer:
        deadline_s = route.wait_s(parameters, body) + self.settings.reply_deadline_s
        work = route.carry_out(self._context, caller, parameters, body)
        return await self._within(
            deadline_s,
            self._to_the_end(work) if route.runs_to_end else work,
            not_ready(f"The call took longer than {deadline_s:g} s. It may have been carried out; repeat it."),
        )

    async def _within(self, seconds: float | None, work: Awaitable[T], late: Refused) -> T:
        """What `work` returns; raises `late` after so many seconds, and `not-ready` when the server ends."""
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                self._timers.add(timer)
                return await work
        except TimeoutError:
            if not timer.expired():
                raise
            raise (_ENDING if self._is_ending else late) from None
        finally:
            self._timers.discard(timer)

    async def _to_the_end(self, work: Awaitable[Answer]) -> Answer:
        """Wait for `work`, and let it go on when the one who waits has gone."""
        assert isinstance(work, Coroutine)
        task: asyncio.Task[Answer] = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_unheard)
            raise

    async def _respond(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        match answer:
            case Part(path, is_link_followed):
                sending = send_file(request, path, self.settings.stall_s, is_link_followed=is_link_followed)
                return await self._within(None, sending, _ENDING)
            case Events():
                return await self._send_events(request, answer)
            case _:
                response = simple_response(answer)
                if isinstance(answer, Bytes) and len(answer.body) > _LARGE_BYTES:
                    await self._within(self.settings.upload_deadline_s, _send_whole(request, response), _ENDING)
                return response

    async def _send_events(self, request: web.BaseRequest, stream: Events) -> web.StreamResponse:
        if self._viewer_count >= self.settings.viewer_count:
            raise not_ready("Too many viewers follow the events. Try again later.")
        response = web.StreamResponse(headers={**AS_IT_IS, hdrs.CONTENT_TYPE: "text/event-stream"})
        self._viewer_count += 1
        try:
            await response.prepare(request)
            events = send_events(stream.subscribe, stream.from_sequence, response.write, self.settings)
            await self._within(None, events, _ENDING)
        except Refused:
            pass  # the stream ends in order, the viewer comes again and hears the reason then
        finally:
            self._viewer_count -= 1
        return response

    def _refuse(self, request: web.BaseRequest, refused: Refused) -> web.StreamResponse:
        """The refusal as an answer, or the end of the connection when another answer is under way on it."""
        if request.writer.output_size > 0 and request.transport is not None:
            request.transport.abort()
        headers = {"Allow": refused.allow} if isinstance(refused, MethodRefused) else None
        return error_response(refused, self._service.epoch, headers)

    def _session_of(self, worker: str) -> str:
        session = new_session(
            worker, epoch=self._service.epoch, now_at=self._now_at(), lifetime_s=self.settings.session_s
        )
        return make_session(session, self._authenticator.worker_secret)


class EdgeRunner(web.ServerRunner):
    """Owns the listening socket and the connections of an edge; `cleanup` ends both. Made by `serve`."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(CappedServer(edge.handle, edge.settings), shutdown_timeout=edge.settings.shutdown_s)
        self.edge: Final = edge

    async def shutdown(self) -> None:
        """End what waits, so that connections can be closed."""
        await self.edge.end()


def make_app(
    service: CoordinatorService,
    tokens: Tokens,
    settings: HttpSettings | None = None,
    *,
    now_at: Callable[[], float] = time.time,
    has_page: bool = True,
) -> Edge:
    """The server of a service's calls, not yet listening."""
    return Edge(service, tokens, settings or HttpSettings(), now_at=now_at, has_page=has_page)


async def serve(app: Edge, host: str, port: int) -> tuple[EdgeRunner, int]:
    """Listen on `host` (one address) and `port` (0: any free one); the port is returned. End with `runner.cleanup()`.

    Raises OSError when the address cannot be had.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listening = socket.create_server(address[:2], family=family, backlog=1_024)
    bound_port: int = listening.getsockname()[1]
    if ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
        app.hosts = _loopback_hosts(bound_port)
    runner = EdgeRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening, backlog=1_024).start()
    return runner, bound_port


@functools.cache
def _openapi() -> bytes:
    """The protocol's description; made when somebody asks, for it takes longer than all else of a start."""
    from mapreduce.coordinator.openapi import openapi_document

    return wire.encode(openapi_document(ROUTES))


def _loopback_hosts(port: int) -> frozenset[str]:
    names = ("localhost", "127.0.0.1", "[::1]")
    return frozenset(f"{name}:{port}" for name in names) | (frozenset(names) if port == 80 else frozenset())


def _parameters(request: web.BaseRequest, match: Match) -> Any:
    """The parameters of path, query and headers, as the route's type; raises InvalidRequest."""
    route = match.route
    if route.parameters is NoParameters:
        return _NO_PARAMETERS
    texts = dict(request.rel_url.query)
    for field, header in route.headers.items():
        texts.pop(field, None)
        if (text := request.headers.get(header)) is not None:
            texts[field] = text
    return wire.convert({**texts, **match.path_parameters}, route.parameters)


async def _send_whole(request: web.BaseRequest, response: web.StreamResponse) -> None:
    await response.prepare(request)
    await response.write_eof()


def _is_reader_gone(request: web.BaseRequest, error: Exception) -> bool:
    """Whether the connection ended, or its reader takes nothing: nothing of ours went wrong."""
    is_gone = request.transport is None or request.transport.is_closing()
    is_under_way = request.writer.output_size > 0
    return isinstance(error, ConnectionError | TimeoutError) and (is_gone or is_under_way)


def _log_unheard(task: asyncio.Task[Answer]) -> None:
    """Log what went wrong in a call whose client has gone."""
    told = (Refused, StorageFailed, Fenced)
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, told):
        _log.error("A call failed after its client had gone.", exc_info=error)
