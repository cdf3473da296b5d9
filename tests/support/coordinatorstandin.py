"""Coordinators of many jobs as the operator sees them: an HTTP server that says of each what the test wants said.

The operator reaches it by `MR_COORDINATOR_URL`, which names namespace and Service in the path. What is asked with a
wrong token is refused, so that a test notices an operator that takes the wrong Secret. A Service can also be forwarded
to a real coordinator.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from mapreduce.protocol.messages import (
    CoordinatorStatus,
    ErrorReply,
    JobState,
    JobStatus,
    TaskCounts,
    WorkersGoneRequest,
)

_HEADERS = ("Authorization", "X-MapReduce-Token", "Content-Type")


@dataclass
class Coordinator:
    """One job's coordinator; its fields may be changed at any time."""

    status: JobStatus
    about: CoordinatorStatus = field(default_factory=lambda: CoordinatorStatus(epoch=1, sequence=1, version="0.1.0"))
    token: str | None = None
    """What callers must have; None: anything."""
    refuses: int = 0
    """A status with which everything is refused."""
    gone: list[WorkersGoneRequest] = field(default_factory=list)
    calls: list[tuple[float, str]] = field(default_factory=list)
    """When and what was asked, such as `GET /v1/jobs/1`."""

    def set(
        self, state: JobState, maps: tuple[int, int] = (0, 0), reduces: tuple[int, int] = (0, 0), **more: Any
    ) -> None:
        """Sets the state, and committed and total of maps and reduces."""
        self.status = progress(self.status.name, state, maps, reduces, **more)


def progress(
    name: str, state: JobState, maps: tuple[int, int] = (0, 0), reduces: tuple[int, int] = (0, 0), **more: Any
) -> JobStatus:
    """A coordinator's word on its job."""
    counts = [TaskCounts(total=total, committed=committed) for committed, total in (maps, reduces)]
    times: dict[str, Any] = {"submitted_at": time.time(), "started_at": time.time()}
    if state in {"Complete", "Failed", "Cancelled"}:
        times["finished_at"] = time.time()
    return JobStatus(job=1, name=name, state=state, maps=counts[0], reduces=counts[1], **{**times, **more})


class StandIn:
    """The server. Services it does not know do not answer as a coordinator: 503, as a Service without endpoints."""

    def __init__(self) -> None:
        self._coordinators: dict[str, Coordinator] = {}
        self._forwards: dict[str, str] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The value of `MR_COORDINATOR_URL`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{{namespace}}/{{service}}"

    def put(self, namespace: str, service: str, coordinator: Coordinator) -> Coordinator:
        """From now on this answers for the Service."""
        self._coordinators[f"{namespace}/{service}"] = coordinator
        return coordinator

    def find(self, namespace: str, service: str) -> Coordinator | None:
        return self._coordinators.get(f"{namespace}/{service}")

    def forward(self, namespace: str, service: str, url: str) -> None:
        """From now on what is asked of the Service is asked of a real coordinator."""
        self._forwards[f"{namespace}/{service}"] = url

    def remove(self, namespace: str, service: str) -> None:
        """Nobody answers any more."""
        self._coordinators.pop(f"{namespace}/{service}", None)
        self._forwards.pop(f"{namespace}/{service}", None)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """One call; status and body of the reply."""
        namespace, service, *rest = path.strip("/").split("/", 2)
        route = "/" + "".join(rest)
        if f"{namespace}/{service}" in self._forwards:
            return _forwarded(self._forwards[f"{namespace}/{service}"] + route, method, headers, body)
        found = self.find(namespace, service)
        if found is None:
            return 503, b"no endpoints"
        found.calls.append((time.monotonic(), f"{method} {route.partition('?')[0]}"))
        given = headers.get("X-MapReduce-Token") or headers.get("Authorization", "").removeprefix("Bearer ")
        if found.token is not None and given != found.token:
            return 401, _error("unauthorized")
        if found.refuses:
            return found.refuses, _error("refused")
        match f"{method} {route.partition('?')[0]}":
            case "GET /v1/jobs/1":
                return 200, msgspec.json.encode(found.status)
            case "GET /v1/coordinator":
                return 200, msgspec.json.encode(found.about)
            case "POST /v1/workers/gone":
                found.gone.append(msgspec.json.decode(body, type=WorkersGoneRequest))
                return 200, b"{}"
            case "POST /v1/jobs/1/cancel" | "DELETE /v1/jobs/1":
                found.set("Cancelled", reason="Cancelled")
                return 200, b"{}"
            case "GET /livez" | "GET /readyz":
                return 200, b"ok"
            case _:
                return 404, _error("not-found")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    stand_in: StandIn

    def handle_error(self, *_: Any) -> None:
        """Operators that are killed in the midst of a call are what the tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: self.headers[name] for name in _HEADERS if name in self.headers}
        status, content = cast("_Server", self.server).stand_in.answer(self.command, self.path, headers, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 names that the base class looks for

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    try:
        yield server
    finally:
        server.close()


def _forwarded(url: str, method: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body or None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        return 503, json.dumps({"error": str(error)}).encode()


def _error(code: str) -> bytes:
    return msgspec.json.encode(ErrorReply(code=code, message=f"{code}: said by the test"))
