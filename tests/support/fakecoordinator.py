"""A coordinator of a few lines for tests of the worker: grants what the test puts in, remembers what the worker says.

Standard library only, in threads of the test's process. It keeps no log and checks no leases; it can be stopped and
started again in a new epoch, lose answers, and wait for what a test expects.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from mapreduce.protocol.messages import (
    Assignment,
    AttemptId,
    ErrorReply,
    Finished,
    HeartbeatReply,
    HeartbeatRequest,
    JobDefinition,
    NextReply,
    NextRequest,
    RegisterReply,
    RegisterRequest,
    RunRef,
    RunsPage,
    Verdict,
)
from mapreduce.protocol.sessions import Session, make_session

TOKENS = {role: role * 10 for role in ("admin", "worker", "read")}


class Refuse(Exception):
    """Answer with this status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class FakeCoordinator:
    """One job's coordinator. Everything public may be looked at under `changed`, and is changed by its methods only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed = threading.Condition()
        self.epoch = 0
        self.definitions: dict[int, JobDefinition] = {}
        self.bundles: dict[str, bytes] = {}
        self.runs: list[RunRef] = []
        self.has_runs = True
        """False: a map is being made, and who asks for the list of runs is told to ask again."""
        self.runs_refused = 0
        self.pending: list[Assignment] = []
        self.leased: set[AttemptId] = set()
        self.results: dict[AttemptId, Finished] = {}
        self.result_count = 0
        self.logs: dict[str, bytes] = {}
        self.beats: list[tuple[float, HeartbeatRequest]] = []
        self.registrations: list[RegisterRequest] = []
        self.serve_urls: dict[str, str] = {}
        self.cancel: tuple[AttemptId, ...] = ()
        self.take_back: tuple[AttemptId, ...] = ()
        self.is_done = False
        self.batch = 1_000
        self.heartbeat_s = 0.05
        self.answers_to_lose = 0
        """So many answers to `next` are carried out and then lost."""
        self.beats_to_swallow = 0
        """So many heartbeats arrive and are never answered; the connection stays open."""
        self.lease_s = 30.0
        self._answers: dict[str, tuple[int, NextReply]] = {}
        self._server: _Server | None = None

    # ------------------------------------------------------------------------------------------------- for the test

    def start(self) -> FakeCoordinator:
        """Listen on a new port, in a new epoch."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(json.dumps(TOKENS))
        self.epoch += 1
        self._answers.clear()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        temporary = folder / "endpoint.tmp"
        temporary.write_text(json.dumps({"url": url, "epoch": self.epoch, "pid": 0}))
        temporary.replace(folder / "endpoint.json")
        return self

    def stop(self) -> None:
        """Be gone, with all connections."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.close_all()

    def grant(self, *assignments: Assignment) -> None:
        """Have these run."""
        with self.changed:
            self.pending += assignments
            self.changed.notify_all()

    def finish(self) -> None:
        """Tell workers that no work is left."""
        with self.changed:
            self.is_done = True
            self.changed.notify_all()

    def complete_maps(self) -> None:
        """Hand out the list of runs from now on."""
        with self.changed:
            self.has_runs = True

    def order(self, *, cancel: tuple[AttemptId, ...] = (), take_back: tuple[AttemptId, ...] = ()) -> None:
        """Send these orders with every heartbeat from now on."""
        with self.changed:
            self.cancel, self.take_back = cancel, take_back

    def wait_for(self, condition: Callable[[], bool], what: str, *, within_s: float = 15.0) -> None:
        """Wait until the condition holds; fail the test after `within_s`."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout=within_s):
                raise AssertionError(f"not within {within_s} s: {what}; results: {self.results}")

    def result(self, attempt: AttemptId, *, within_s: float = 15.0) -> Finished:
        """What the worker reports of an attempt; waits for it."""
        self.wait_for(lambda: attempt in self.results, f"a result of {attempt}", within_s=within_s)
        return self.results[attempt]

    def is_running(self, attempt: AttemptId) -> bool:
        """Whether the last heartbeat lists it as running."""
        return bool(self.beats) and attempt in self.beats[-1][1].running

    # ----------------------------------------------------------------------------------------------- for the handler

    def register(self, request: RegisterRequest) -> RegisterReply:
        self.registrations.append(request)
        self.serve_urls[request.worker] = request.serve_url
        session = Session(worker=request.worker, epoch=self.epoch, expires_at=int(time.time()) + 3_600)
        return RegisterReply(
            epoch=self.epoch,
            session=make_session(session, TOKENS["worker"]),
            lease_s=self.lease_s,
            heartbeat_s=self.heartbeat_s,
            keep=tuple(held for held in request.held if held in self.leased),
        )

    def next(self, request: NextRequest) -> NextReply | None:
        """None: the answer is lost on its way."""
        self._check(request.epoch)
        last_call, last_reply = self._answers.get(request.worker, (0, NextReply(epoch=self.epoch)))
        if request.call == last_call:
            return last_reply
        verdicts = tuple(self._take_result(result) for result in request.finished)
        deadline_s = time.monotonic() + request.wait_s
        while request.want and not self.pending and not self.is_done and not request.finished:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not self.changed.wait(left_s):
                break
        count = self.batch if request.want else 0
        tasks, self.pending = tuple(self.pending[:count]), self.pending[count:]
        self.leased |= {task.id for task in tasks}
        is_over = self.is_done and not self.pending and not self.leased
        reply = NextReply(epoch=self.epoch, verdicts=verdicts, tasks=tasks, is_done=is_over)
        self._answers[request.worker] = (request.call, reply)
        if self.answers_to_lose and (verdicts or tasks):
            self.answers_to_lose -= 1
            return None
        return reply

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply | None:
        """None: it was lost on its way."""
        self._check(request.epoch)
        if self.beats_to_swallow:
            self.beats_to_swallow -= 1
            return None
        self.beats.append((time.monotonic(), request))
        listed = set(request.running) | set(request.queued)
        return HeartbeatReply(
            epoch=self.epoch,
            heartbeat_s=self.heartbeat_s,
            cancel=tuple(attempt for attempt in self.cancel if attempt in listed),
            take_back=tuple(attempt for attempt in self.take_back if attempt in listed),
        )

    def _take_result(self, result: Finished) -> Verdict:
        is_live = result.id in self.leased
        if is_live:
            self.leased.discard(result.id)
            self.results[result.id] = result
            self.result_count += 1
        return Verdict(id=result.id, accepted=is_live, reason="" if is_live else "lease lost")

    def _check(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise Refuse(409, "epoch-changed")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, coordinator: FakeCoordinator) -> None:
        self.coordinator = coordinator
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed says goodbye to nobody."""

    def close_all(self) -> None:
        self.server_close()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Quiet."""

    def _answer(self, body: bytes) -> None:
        coordinator = self.server.coordinator
        try:
            with coordinator.changed:
                answer = self._carry_out(coordinator, body)
                coordinator.changed.notify_all()
        except Refuse as refusal:
            error = ErrorReply(code=refusal.code, message=refusal.code, epoch=coordinator.epoch)
            self._send(HTTPStatus(refusal.status), msgspec.json.encode(error))
            return
        if answer is None:
            if self.path == "/v1/heartbeat":
                self.rfile.read(1)  # until the worker gives up
            self.close_connection = True
            return
        self._send(HTTPStatus.OK, answer)

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _carry_out(self, coordinator: FakeCoordinator, body: bytes) -> bytes | None:
        if self.headers.get("Authorization", "") in {"", "Bearer "}:
            raise Refuse(401, "unauthorized")
        match self.path:
            case "/v1/register":
                return msgspec.json.encode(coordinator.register(msgspec.json.decode(body, type=RegisterRequest)))
            case "/v1/next":
                reply = coordinator.next(msgspec.json.decode(body, type=NextRequest))
                return None if reply is None else msgspec.json.encode(reply)
            case "/v1/heartbeat":
                heard = coordinator.heartbeat(msgspec.json.decode(body, type=HeartbeatRequest))
                return None if heard is None else msgspec.json.encode(heard)
            case _:
                return self._job_data(coordinator, body)

    def _job_data(self, coordinator: FakeCoordinator, body: bytes) -> bytes:
        if found := re.fullmatch(r"/v1/jobs/(\d+)/definition", self.path):
            return msgspec.json.encode(coordinator.definitions[int(found[1])])
        if re.fullmatch(r"/v1/jobs/\d+/runs\?from=0&limit=\d+", self.path):
            if not coordinator.has_runs:
                coordinator.runs_refused += 1
                coordinator.changed.notify_all()
                raise Refuse(503, "not-ready")
            return msgspec.json.encode(RunsPage(runs=tuple(coordinator.runs)))
        if found := re.fullmatch(r"/v1/code/([0-9a-f]{64})", self.path):
            return coordinator.bundles[found[1]]
        if found := re.fullmatch(r"/v1/jobs/\d+/attempts/([\w.-]+)/log", self.path):
            coordinator.logs[found[1]] = body
            return b""
        raise Refuse(404, "not-found")
