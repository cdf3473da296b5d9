"""`python -m mapreduce.coordinator.reader`: parts and logs of a job whose coordinator is gone, read-only, for a while.

A short-lived pod runs it on the volumes that are left; `mr get` and `mr logs` call it as they would the coordinator:
the same paths under job 1. It knows no log and no state machine: `_SUCCESS` says which parts there are. The token is
good for this process only, and only its SHA-256 is on the command line, so that who may see the pod cannot call it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import hdrs, web

from mapreduce.coordinator.connections import CappedServer
from mapreduce.coordinator.downloads import send_file
from mapreduce.coordinator.limits import HttpSettings
from mapreduce.coordinator.publish import SUCCESS_NAME
from mapreduce.coordinator.refusals import Refused, not_found, unauthorized
from mapreduce.coordinator.replies import Bytes, Json, error_response, simple_response
from mapreduce.coordinator.store import Store

TOKEN_HEADER: Final = "X-MapReduce-Token"  # noqa: S105 - a header's name
_JOB_PATH: Final = "/v1/jobs/1/"

_log = logging.getLogger(__name__)


class Places(msgspec.Struct, frozen=True):
    """What is read; None is not there."""

    output: Path | None = None
    """The output folder."""
    state: Path | None = None
    """The state folder."""


class Reader:
    """Answers requests for parts and logs."""

    def __init__(self, places: Places, token_sha256: str, settings: HttpSettings) -> None:
        self._places, self._token_sha256, self._settings = places, token_sha256, settings

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except Refused as refused:
            return error_response(refused, epoch=0)
        except OSError as error:
            gone = not_found(f"{request.path} ({error.strerror or error})")
            return error_response(gone, epoch=0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            raise Refused("method-not-allowed", "This is a reader: it only answers GET.")
        path = request.rel_url.raw_path
        if path == "/livez":
            return simple_response(Bytes(b"ok\n", "text/plain; charset=utf-8"))
        token = request.headers.get(TOKEN_HEADER) or request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), self._token_sha256):
            raise unauthorized()
        if not path.startswith(_JOB_PATH):
            raise not_found(path)
        kind, _, name = path.removeprefix(_JOB_PATH).partition("/")
        match kind, unquote(name):
            case "parts", "":
                return simple_response(Json(await asyncio.to_thread(self._parts)))
            case "parts", part:
                return await self._send_part(request, part)
            case "logs", "":
                return simple_response(Json(await asyncio.to_thread(self._tasks)))
            case "logs", task:
                return simple_response(Bytes(await asyncio.to_thread(self._log, task), "text/plain; charset=utf-8"))
            case _:
                raise not_found(path)

    async def _send_part(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        folder = self._output()
        if name != SUCCESS_NAME and name not in await asyncio.to_thread(self._parts):
            raise not_found(f"part {name}")
        return await send_file(request, folder / name, self._settings.stall_s)

    def _output(self) -> Path:
        if self._places.output is None:
            raise not_found("output", "this reader has only the log's volume")
        return self._places.output

    def _parts(self) -> list[str]:
        folder = self._output()
        try:
            success = msgspec.json.decode((folder / SUCCESS_NAME).read_bytes())
            return [name for name in success["parts"] if "/" not in name and not name.startswith(".")]
        except FileNotFoundError:
            raise not_found("finished result", "the folder has no _SUCCESS; `mr why` says how far the job is") from None
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            raise not_found(
                "finished result", "the folder's _SUCCESS cannot be read; another program wrote it"
            ) from None

    def _store(self) -> Store:
        if self._places.state is None:
            raise not_found("log", "this reader has only the output's volume")
        return Store(self._places.state)

    def _tasks(self) -> list[str]:
        """Tasks whose attempts printed something, maps first, by index."""
        folder = self._store().logs_folder(1)
        stems = {path.name.partition(".")[0] for path in folder.glob("*.log") if path.stat().st_size}
        parsed = sorted((kind, int(index)) for kind, _, index in (stem.rpartition("-") for stem in stems))
        return [f"{kind}-{index}" for kind, index in parsed]

    def _log(self, task: str) -> bytes:
        content = self._store().task_log(1, task)
        if content is None:
            raise not_found(f"task {task} (tasks are called map-3 or reduce-0)")
        return content


async def serve(
    places: Places,
    token_sha256: str,
    address: tuple[str, int],
    *,
    stop: asyncio.Event,
    listening: Callable[[int], object],
) -> None:
    """Serve until `stop` is set; tells the port once it listens. Raises OSError when the address cannot be had."""
    settings = HttpSettings()
    runner = web.ServerRunner(CappedServer(Reader(places, token_sha256, settings).handle, settings))
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address)
        await site.start()
        listening(int(runner.addresses[0][1]))
        await stop.wait()
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """The process: serves until SIGTERM, SIGINT, or its time is over; always exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m mapreduce.coordinator.reader", description=__doc__)
    parser.add_argument("--output", type=Path, help="output folder")
    parser.add_argument("--state", type=Path, help="state folder")
    parser.add_argument("--token-sha256", required=True, help="SHA-256 of the token, in hexadecimal digits")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--for-s", type=float, default=3_600.0, help="end by itself after so many seconds")
    given = parser.parse_args(arguments)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.call_later(given.for_s, stop.set)
        await serve(
            Places(given.output, given.state),
            given.token_sha256,
            (given.host, given.port),
            stop=stop,
            listening=lambda port: _log.info("The reader listens on port %d.", port),
        )

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
