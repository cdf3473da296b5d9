"""The page of a job in a cluster, on this machine: a small server on loopback that hands each call to the API server.

A browser has no credentials for the API server, and needs none so: the person's own are used for the way, and the token
that the page bought for the coordinator. Only what the page asks for is passed on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from mapreduce.errors import MapReduceError
from mapreduce_cli.cluster.access import Cluster
from mapreduce_cli.cluster.proxied import TOKEN_HEADER, SecretEndpoint, coordinator_client
from mapreduce_cli.jobnames import OfCluster

#: What a browser may ask for here: the page and its reading calls.
_GET: Final = re.compile(r"/|/trace\.json(\?[\w=]*)?|/v1/jobs/[0-9]+/(frames|timeline)(\?[\w=&]*)?")
_POST: Final = re.compile(r"/v1/ticket")
_MOST_BODY_BYTES: Final = 4_096
_SILENCE_S: Final = 60.0
_PASSED_ON: Final = (
    "Content-Type",
    "Content-Security-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Cache-Control",
)


def serve_page(found: OfCluster, show: Callable[[str], None]) -> int:
    """Serve the page until Ctrl-C; `show` gets its address. Raises Unreachable when there is no coordinator."""
    ticket = coordinator_client(found.jobs, found.job).page_ticket()
    path = SecretEndpoint(found.jobs, found.job).path
    server = _Server(found.cluster, path)
    try:
        show(f"http://127.0.0.1:{server.server_port}/#ticket={ticket}")
        print("mr: the page is served until Ctrl-C", file=sys.stderr, flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, cluster: Cluster, path: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cluster, self.path = cluster, path


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Hand a reading call on."""
        self._pass_on(_GET, None)

    def do_POST(self) -> None:
        """Hand the purchase of a token on."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY_BYTES:
            self.send_error(413)
            return
        self._pass_on(_POST, self.rfile.read(int(length)))

    def _pass_on(self, allowed: re.Pattern[str], body: bytes | None) -> None:
        hosts = {f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        if self.headers.get("Host") not in hosts or allowed.fullmatch(self.path) is None:
            self.send_error(404)
            return
        headers = {
            name: value
            for name in (TOKEN_HEADER, "Last-Event-ID", "Content-Type")
            if (value := self.headers.get(name)) is not None
        }
        self.close_connection = True
        try:
            with self.server.cluster.stream(
                self.command, self.server.path + self.path, body=body, headers=headers, deadline_s=_SILENCE_S
            ) as answer:
                self.send_response(answer.status)
                for name in _PASSED_ON:
                    if (value := answer.headers.get(name)) is not None:
                        self.send_header(name, value)
                self.send_header("Connection", "close")
                self.end_headers()
                for piece in answer.pieces(1 << 14):
                    self.wfile.write(piece)
                    self.wfile.flush()
        except MapReduceError as error:
            self.log_error("%s", error)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the browser has gone

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server uses
        """Say nothing of each request."""
