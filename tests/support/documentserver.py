"""A web server with one document, which answers as the test says."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class DocumentServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = b"".join(b"line %d\n" % index for index in range(1_000))
        self.etag = '"one"'
        self.answers: list[int] = []
        """Statuses to give first."""
        self.has_ranges = True
        self.seen: list[dict[str, str]] = []
        self.redirect = ""
        self.gone_after = 1 << 30
        """So many requests are answered before the document is gone."""
        self.pause_s = 0.0
        """So slow is the way from here: the time from a request for some of the document to the answer."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}/a/data.txt?signature=hush"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: DocumentServer

    def do_GET(self) -> None:
        server = self.server
        server.seen.append({name.lower(): value for name, value in self.headers.items()})
        if len(server.seen) > server.gone_after:
            self._answer(410, b"", {})
            return
        if server.answers:
            self._answer(server.answers.pop(0), b"", {})
            return
        if server.redirect:
            self._answer(302, b"", {"Location": server.redirect})
            return
        asked = self.headers.get("Range", "")
        is_same = self.headers.get("If-Range", server.etag) == server.etag
        if asked and server.has_ranges and is_same:
            start, end = (int(text) for text in asked.removeprefix("bytes=").split("-"))
            total = len(server.content)
            body = server.content[start : end + 1]
            if len(body) > 1:
                time.sleep(server.pause_s)
            self._answer(206, body, {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{total}"})
        else:
            self._answer(200, server.content, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "ETag": self.server.etag, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Not logged."""


@contextmanager
def serving_a_document() -> Iterator[DocumentServer]:
    """A server that answers while the block runs."""
    with DocumentServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
