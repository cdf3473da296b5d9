"""A real HTTP server over a fake service on loopback, and ways to talk to it: well, and badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from mapreduce.coordinator.auth import Tokens, make_tokens
from mapreduce.coordinator.http import Edge, make_app, serve
from mapreduce.coordinator.limits import HttpSettings
from mapreduce.protocol.messages import ErrorReply
from mapreduce.protocol.sessions import Session, make_session
from tests.support.fakeservice import FakeService

NOW_AT = 1_000_000.0
WORKER = "worker-a"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def error(self) -> ErrorReply:
        return msgspec.json.decode(self.body, type=ErrorReply)


@dataclass(frozen=True, slots=True)
class Served:
    """The running server."""

    service: FakeService
    edge: Edge
    tokens: Tokens
    port: int
    client: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def session(self, *, worker: str = WORKER, epoch: int = 1, expires_at: float = NOW_AT + 60) -> str:
        made = Session(worker=worker, epoch=epoch, expires_at=int(expires_at))
        return make_session(made, self.tokens.worker)

    async def call(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        body: object = None,
        data: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = msgspec.json.encode(body) if body is not None else data
        async with self.client.request(method, self.url + path, data=content, headers=sent) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def raw(self, sent: bytes) -> bytes:
        """What the server answers to these bytes until it ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(
    folder: Path,
    settings: HttpSettings | None = None,
    *,
    host: str = "127.0.0.1",
    now_at: Callable[[], float] = lambda: NOW_AT,
) -> AsyncIterator[Served]:
    part = folder / "the-part"
    part.write_bytes(bytes(range(256)) * 40)
    service, tokens = FakeService(part), make_tokens()
    edge = make_app(service, tokens, settings, now_at=now_at)
    runner, port = await serve(edge, host, 0)
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
            yield Served(service, edge, tokens, port, client)
    finally:
        await runner.cleanup()
