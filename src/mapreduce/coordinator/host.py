"""Serving one state folder: lock, tokens, service, HTTP, endpoint file, and the order in which they begin and end.

Used by `mr coordinator` and by `mr run`; a pod's host is the former. Signals and the end of the process are the
caller's business: it waits for `Host.service.failed` beside whatever else it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mapreduce.coordinator.auth import Tokens, load_or_create_tokens
from mapreduce.coordinator.http import EdgeRunner, make_app, serve
from mapreduce.coordinator.limits import HttpSettings
from mapreduce.coordinator.runtimefile import Note, leave_note
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.coordinator.statefiles import (
    ENDPOINT_FILE,
    LOCK_FILE,
    TOKEN_FILE,
    Endpoint,
    FolderLock,
    lock_holder,
    read_endpoint,
    write_endpoint,
)
from mapreduce.coordinator.tickets import Tickets
from mapreduce.errors import MapReduceError, UsageError
from mapreduce.wal.files import make_folder

if TYPE_CHECKING:
    from mapreduce.coordinator.tracing import Tracing
    from mapreduce.tracesending import TraceTarget


class HostSettings(msgspec.Struct, frozen=True):
    """How a state folder is served."""

    folder: Path
    """Absolute; created if it does not exist."""
    address: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = None
    """None: the one of the last incarnation if it is free, else any. 0: any."""
    is_announced: bool = False
    """Whether this user's other commands shall find the coordinator by themselves."""
    service: ServiceSettings = msgspec.field(default_factory=ServiceSettings)
    http: HttpSettings = msgspec.field(default_factory=HttpSettings)
    tokens: Tokens | None = None
    """None: those in the folder, made first if it has none."""
    has_page: bool = True
    """Whether the page is served."""
    traces: TraceTarget | None = None
    """The collector that is told of jobs that have ended; None: nobody."""


class Host(msgspec.Struct, frozen=True):
    """A coordinator that serves its folder."""

    service: Service
    tokens: Tokens
    url: str
    folder: Path
    tickets: Tickets | None = None
    """None: the page is not served."""

    def page_address(self) -> str:
        """Where one browser can see the page, with a fresh ticket; empty when it is not served."""
        return f"{self.url}/#ticket={self.tickets.issue()}" if self.tickets is not None else ""


@contextlib.asynccontextmanager
async def serving(
    settings: HostSettings,
    *,
    lock: FolderLock | None = None,
    before_listening: Callable[[Service], Awaitable[None]] | None = None,
) -> AsyncIterator[Host]:
    """Serve `settings.folder` until the block is left.

    `lock` is the folder's lock if the caller holds it already; else it is taken here and given back at the end.
    `before_listening` is seen through before anybody can call. The endpoint file appears when calls are answered, and
    is gone before the server is: whoever finds it can call.

    Raises:
        UsageError: another process serves the folder, or the address cannot be had.
        WALForeign, WALCorrupt, StorageFailed: as `Service.start`.
    """
    folder = settings.folder
    with _locked(folder, lock):
        previous = read_endpoint(folder)
        (folder / ENDPOINT_FILE).unlink(missing_ok=True)
        tokens = settings.tokens or load_or_create_tokens(folder / TOKEN_FILE)
        service = await Service.start(folder, settings=settings.service)
        try:
            if before_listening is not None:
                await before_listening(service)
            runner, port = await _listen(service, tokens, settings, previous)
            tracing = _begin_tracing(service, settings.traces)
            url = _url(settings.address, port)
            note: Path | None = None
            try:
                write_endpoint(folder, Endpoint(url=url, epoch=service.epoch, pid=os.getpid()))
                if settings.is_announced:
                    note = leave_note(Note(url=url, folder=str(folder), pid=os.getpid()))
                yield Host(service, tokens, url, folder, runner.edge.tickets if settings.has_page else None)
            finally:
                if note is not None:
                    note.unlink(missing_ok=True)
                _retract(folder)
                with contextlib.suppress(MapReduceError):  # the log has failed, which is told elsewhere
                    await service.viewing.finish()
                if tracing is not None:
                    await tracing.finish()
                await runner.cleanup()
        finally:
            await service.close()


def _begin_tracing(service: Service, target: TraceTarget | None) -> Tracing | None:
    """Tell a collector of jobs from now on; imported only where there is one."""
    if target is None:
        return None
    from mapreduce.coordinator.tracing import Tracing

    return Tracing(service, target)


async def wait_for_end(service: Service, stop: asyncio.Event) -> None:
    """Wait until `stop` is set. Raises what ended the service if that comes first."""
    stopping = asyncio.create_task(stop.wait())
    ends: tuple[asyncio.Future[Any], ...] = (stopping, service.failed)
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if service.failed.done():
            service.failed.result()
    finally:
        stopping.cancel()


def _retract(folder: Path) -> None:
    """Remove our endpoint, and nobody else's: a newer incarnation may have written its own."""
    endpoint = read_endpoint(folder)
    if endpoint is not None and endpoint.pid == os.getpid():
        (folder / ENDPOINT_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path, lock: FolderLock | None) -> Iterator[None]:
    """Hold the folder's lock: the caller's, or one of our own."""
    if lock is not None:
        yield
        return
    try:
        make_folder(folder)
        own = FolderLock.try_acquire(folder / LOCK_FILE)
    except OSError as error:
        raise UsageError(f"state folder {folder}: cannot be written ({error.strerror}).") from None
    if own is None:
        holder = lock_holder(folder / LOCK_FILE)
        by = f" (process {holder})" if holder else ""
        raise UsageError(f"state folder {folder}: another coordinator serves it{by}; end that one, or choose another.")
    try:
        yield
    finally:
        own.release()


async def _listen(
    service: Service, tokens: Tokens, settings: HostSettings, previous: Endpoint | None
) -> tuple[EdgeRunner, int]:
    app = make_app(service, tokens, settings.http, has_page=settings.has_page)
    if settings.port is None and (port := _port_of(previous)):
        with contextlib.suppress(OSError):
            return await serve(app, settings.address, port)
    try:
        return await serve(app, settings.address, settings.port or 0)
    except OSError as error:
        where = f"{settings.address}:{settings.port or 0}"
        raise UsageError(f"cannot listen on {where}: {error.strerror or error}; choose another --port") from None


def _port_of(endpoint: Endpoint | None) -> int:
    if endpoint is None:
        return 0
    try:
        return urlsplit(endpoint.url).port or 0
    except ValueError:
        return 0


def _url(address: str, port: int) -> str:
    """Where to call: the address listened on, or this machine's name when that is all of them."""
    if address in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        address = socket.gethostname()
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
