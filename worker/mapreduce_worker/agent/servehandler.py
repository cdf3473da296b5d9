"""One connection to the run server, spoken by the standard library's `http.server`; imported only when needed."""

from __future__ import annotations

import os
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from mapreduce_worker.agent.serve import IDLE_S, STALL_S, parse_range

if TYPE_CHECKING:
    from mapreduce_worker.agent.serve import RunServer


class RunHandler(BaseHTTPRequestHandler):
    """Answers all requests of one connection when it is made."""

    protocol_version = "HTTP/1.1"
    server_version = "mapreduce"
    sys_version = ""

    def __init__(self, connection: socket.socket, runs: RunServer) -> None:
        self._runs = runs
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # nothing here uses the server

    def handle_one_request(self) -> None:
        """The next request of this caller, if it comes soon."""
        self.connection.settimeout(IDLE_S)
        super().handle_one_request()

    def do_GET(self) -> None:
        """A run, or a range of it; or whether the agent is alive."""
        self.connection.settimeout(STALL_S)
        if self.path == "/livez":
            self._answer(HTTPStatus.OK if self._runs.is_alive() else HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if not self._runs.is_allowed(self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED)
            return
        file = self._runs.open(self.path)
        if file is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            asked = self.headers.get("Range")
            span = parse_range(asked, size)
            if span is None:
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            start, end = span
            self.send_response(HTTPStatus.OK if asked is None else HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start))
            if asked is not None:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()
            self.wfile.flush()
            if end > start:
                self.connection.sendfile(file, start, end - start)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Requests are not logged: a failed one is its caller's to report."""

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
