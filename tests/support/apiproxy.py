"""A reverse proxy in front of the Kubernetes API that can be bad: it delays, loses, refuses, lies and falls silent.

HTTPS on loopback, an event loop in a thread of its own. Credentials pass through untouched, so that what the API
server allows is what the caller may do. It records every call, so that a test can ask for rates, and can enumerate the
calls of a run to befall each of them in turn. What can become of a call: `apicalls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from cluster.certificates import Certificate
from cluster.controlplane import ControlPlane
from cluster.kubeconfigs import kubeconfig
from tests.support.apicalls import (
    AnswerOfThePast,
    Call,
    Delay,
    DropEvents,
    Expire,
    Fault,
    Hang,
    LoseReply,
    Refuse,
    Reset,
    Rule,
    Silence,
)

_NOT_PASSED = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding", "upgrade"}
_LARGEST_BODY_BYTES = 16 << 20
_TURNS = 10
_PATIENCE_S = 30.0


@dataclass(eq=False)
class _Watch:
    """A watch that is under way, and the order that ends it or strikes it dumb."""

    call: Call
    orders: asyncio.Queue[Silence | Expire | Reset] = field(default_factory=asyncio.Queue)


class ApiProxy:
    """The proxy. Its rules may be changed at any time, from any thread."""

    def __init__(self, upstream: str, upstream_ca: Path, serving: Certificate, *, keeps_bodies: bool = True) -> None:
        """Starts nothing. Without `keeps_bodies` long runs remember what was called and not what with."""
        self.calls: list[Call] = []
        self.news = 0
        """Grows when a call that changes something comes, and when it is answered."""
        self.deletions = 0
        """The same, of calls that may leave garbage."""
        self.url = ""
        self._upstream, self._ca, self._serving, self._keeps_bodies = upstream, upstream_ca, serving, keeps_bodies
        self._rules: list[Rule] = []
        self._watches: set[_Watch] = set()
        self._is_ill = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="api-proxy")

    # ------------------------------------------------------------------------------------------------- for the test
    def befall(self, fault: Fault, verb: str = "", resource: str = "", **where: Any) -> Rule:
        """From now on this becomes of the next call that matches; `where` are further fields of `Rule`."""
        self._is_ill = True
        rule = Rule(fault, verb, resource, **where)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """No more faults for new calls; watches that may be dumb or deaf are ended."""
        self._rules.clear()
        if self._is_ill:
            self.order_watches(Reset())
        self._is_ill = False

    def watches(self, resource: str = "") -> list[Call]:
        """The watches that are open."""
        return [watch.call for watch in self._watches if resource in {"", watch.call.resource}]

    def order_watches(self, order: Silence | Expire | Reset, resource: str = "") -> int:
        """Does this to all watches that are open; how many there were."""
        self._is_ill = True
        return asyncio.run_coroutine_threadsafe(self._order(order, resource), self._loop).result(_PATIENCE_S)

    def changes(self, since: int = 0) -> list[Call]:
        """Calls that changed something, in order."""
        return [call for call in self.calls[since:] if call.is_change]

    # ------------------------------------------------------------------------------------------------------ its life
    def start(self) -> None:
        """Serves when this returns."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_PATIENCE_S)

    def close(self) -> None:
        """Breaks all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.run_until_complete(self._let_go())
        self._loop.close()

    async def _let_go(self) -> None:
        """Connections are closed some turns of the loop after they were told to; one left over is a warning later."""
        until_s = self._loop.time() + _PATIENCE_S
        connections = self._loop._selector.get_map()  # type: ignore[attr-defined]
        while len(connections) > 1 and self._loop.time() < until_s:  # noqa: ASYNC110 - nothing tells of their end
            await asyncio.sleep(0.01)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def _start(self) -> None:
        trust = ssl.create_default_context(cafile=str(self._ca)) if self._upstream.startswith("https") else False
        connector = aiohttp.TCPConnector(limit=0, ssl=trust)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(connector=connector, timeout=patience, auto_decompress=False)
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(self._serving.certificate, self._serving.key)
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        await web.SockSite(self._runner, listener, ssl_context=own).start()

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # --------------------------------------------------------------------------------------------------- in the loop
    async def _order(self, order: Silence | Expire | Reset, resource: str) -> int:
        chosen = [watch for watch in self._watches if resource in {"", watch.call.resource}]
        for watch in chosen:
            watch.orders.put_nowait(order)
        return len(chosen)

    def _count(self, call: Call) -> None:
        self.news += call.is_change
        self.deletions += call.may_leave_garbage

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = Call(len(self.calls), request.method, request.path, dict(request.query), at_s=time.monotonic())
        call.body = body if self._keeps_bodies else b""
        self.calls.append(call)
        self._count(call)
        fault = next((rule.fault for rule in tuple(self._rules) if rule.takes(call)), None)
        match fault:
            case Delay(by_s):
                await asyncio.sleep(by_s)
            case Refuse():
                call.status = fault.status
                headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
                return web.Response(
                    status=fault.status, body=fault.body, headers=headers, content_type="application/json"
                )
            case Reset():
                return _broken(request)
            case Hang():
                await asyncio.Event().wait()
            case _:
                pass
        try:
            return await self._pass_on(request, call, body, fault)
        except (aiohttp.ClientError, ConnectionError):  # the API server is not there, or the caller is gone
            return _broken(request)

    async def _pass_on(self, request: web.Request, call: Call, body: bytes, fault: Fault | None) -> web.StreamResponse:
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        if isinstance(fault, AnswerOfThePast):
            url = url.update_query(resourceVersion=fault.resource_version, resourceVersionMatch="Exact")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as reply:
            back = {name: value for name, value in reply.headers.items() if name.lower() not in _NOT_PASSED}
            if call.verb == "watch" and reply.status == 200:
                call.status = reply.status
                return await self._pass_events(request, call, reply, back, fault)
            content = await reply.read()
            call.status = reply.status
            self._count(call)
            if isinstance(fault, LoseReply):
                await asyncio.to_thread(fault.does, call)
                return _broken(request)
            return web.Response(status=reply.status, body=content, headers=back)

    async def _pass_events(
        self,
        request: web.Request,
        call: Call,
        reply: aiohttp.ClientResponse,
        headers: dict[str, str],
        fault: Fault | None,
    ) -> web.StreamResponse:
        to_caller = web.StreamResponse(status=reply.status, headers=headers)
        to_caller.enable_chunked_encoding()
        await to_caller.prepare(request)
        watch = _Watch(call)
        if isinstance(fault, Silence | Expire):
            watch.orders.put_nowait(fault)
        self._watches.add(watch)
        lines = _Lines(reply)
        ordered = asyncio.ensure_future(watch.orders.get())
        try:
            while True:
                line = asyncio.ensure_future(lines.fetch())
                line.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may come to ask
                await asyncio.wait({line, ordered}, return_when=asyncio.FIRST_COMPLETED)
                if ordered.done():
                    line.cancel()
                    await _obey(watch, ordered.result(), request, to_caller)
                    return to_caller
                event = line.result()
                if not event:
                    break
                if not (isinstance(fault, DropEvents) and fault.is_lost(json.loads(event))):
                    await to_caller.write(event)
            await to_caller.write_eof()
            return to_caller
        finally:
            ordered.cancel()
            self._watches.discard(watch)


@contextmanager
def api_proxy(plane: ControlPlane, *, keeps_bodies: bool = True) -> Iterator[ApiProxy]:
    """A proxy in front of a control plane."""
    serving = plane.issue("api-proxy", "/CN=api-proxy", "DNS:localhost", "IP:127.0.0.1")
    proxy = ApiProxy(plane.url, plane.ca_file, serving, keeps_bodies=keeps_bodies)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()


def write_kubeconfig(proxy: ApiProxy, plane: ControlPlane, token: str, path: Path) -> Path:
    """A kubeconfig by which the bearer of `token` reaches the control plane through the proxy."""
    path.write_text(kubeconfig(proxy.url, plane.ca_file.read_bytes(), token))
    path.chmod(0o600)
    return path


class _Lines:
    """The events of a watch, one a line; a line may be longer than the reader's buffer."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply, self._data = reply, b""

    async def fetch(self) -> bytes:
        """The next event; empty at the end."""
        while b"\n" not in self._data:
            more = await self._reply.content.readany()
            if not more:
                return b""
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        return line + b"\n"


async def _obey(
    watch: _Watch, order: Silence | Expire | Reset, request: web.Request, to_caller: web.StreamResponse
) -> None:
    match order:
        case Silence():
            await _obey(watch, await watch.orders.get(), request, to_caller)  # or until the caller goes away
        case Expire():
            await to_caller.write(order.event)
            await to_caller.write_eof()
        case Reset():
            _break(request)


def _broken(request: web.Request) -> web.Response:
    _break(request)
    return web.Response()


def _break(request: web.Request) -> None:
    """Ends the connection as a reset, not with a goodbye."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
