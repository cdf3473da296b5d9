"""The proxy that makes the Kubernetes API bad, in front of a small server: each fault does what its name says."""

from __future__ import annotations

import http.client
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cluster.certificates import Authority, Certificate
from tests.support.apicalls import (
    AnswerOfThePast,
    Call,
    Delay,
    DropEvents,
    Expire,
    Hang,
    LoseReply,
    Refuse,
    Reset,
    Silence,
)
from tests.support.apiproxy import ApiProxy
from tests.support.mrruns import until

JOBS = "/apis/batch/v1/namespaces/shop/jobs"


@dataclass
class Server:
    """Answers everything with what it was asked; a watch with what the test says."""

    asked: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    stays_open: threading.Event = field(default_factory=threading.Event)


@dataclass
class Stage:
    server: Server
    proxy: ApiProxy
    trust: ssl.SSLContext

    def open(self) -> http.client.HTTPSConnection:
        host, _, port = self.proxy.url.removeprefix("https://").partition(":")
        return http.client.HTTPSConnection(host, int(port), context=self.trust, timeout=5)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection = self.open()
        try:
            connection.request(method, path, body, {"Authorization": "Bearer secret"})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        server = cast("_Listener", self.server).told
        server.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "watch=true" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in server.events:
                self._chunk(json.dumps(event).encode() + b"\n")
            server.stays_open.wait(20)
            self._chunk(b"")
            return
        answer = {"path": self.path, "token": self.headers["Authorization"], "body": body.decode()}
        self.send_response(200)
        data = json.dumps(answer).encode()
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 names that the base class looks for

    def log_message(self, *_: Any) -> None:
        pass


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    told: Server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def serving(authority: Authority) -> Certificate:
    return authority.issue("proxy", "/CN=proxy", "IP:127.0.0.1")


@pytest.fixture
def stage(authority: Authority, serving: Certificate) -> Iterator[Stage]:
    listener = _Listener(("127.0.0.1", 0), _Handler)
    listener.told = Server()
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{listener.server_address[1]}"
    proxy = ApiProxy(url, authority.own.certificate, serving)
    proxy.start()
    try:
        yield Stage(listener.told, proxy, ssl.create_default_context(cafile=str(authority.own.certificate)))
    finally:
        listener.told.stays_open.set()
        proxy.close()
        listener.shutdown()
        listener.server_close()


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", JOBS, "list shop/jobs"),
        ("GET", "/apis/batch/v1/jobs", "list jobs"),
        ("GET", f"{JOBS}/one", "get shop/jobs/one"),
        ("POST", "/api/v1/namespaces/shop/pods", "create shop/pods"),
        ("PATCH", f"{JOBS}/one/status", "patch shop/jobs/one/status"),
        ("DELETE", f"{JOBS}/one", "delete shop/jobs/one"),
        ("DELETE", JOBS, "deletecollection shop/jobs"),
        ("GET", "/api/v1/namespaces/shop", "get namespaces/shop"),
        ("GET", "/api/v1/namespaces", "list namespaces"),
        ("GET", "/version", "get /version"),
    ],
)
def test_a_call_is_told_in_the_words_of_rbac(method: str, path: str, words: str) -> None:
    assert str(Call(0, method, path, {})) == f"#0 {words} -> 0"


def test_what_passes_is_unchanged_and_recorded(stage: Stage) -> None:
    status, answer = stage.ask("POST", f"{JOBS}?fieldManager=x%2Fy", '{"a": 1}')
    assert (status, answer["token"], answer["body"]) == (200, "Bearer secret", '{"a": 1}')
    assert answer["path"] == f"{JOBS}?fieldManager=x%2Fy"
    (call,) = stage.proxy.changes()
    assert (call.verb, call.resource, call.query, call.content, call.status) == (
        "create",
        "jobs",
        {"fieldManager": "x/y"},
        {"a": 1},
        200,
    )


def test_only_the_calls_that_match_are_befallen_and_only_so_often(stage: Stage) -> None:
    rule = stage.proxy.befall(Refuse(429, retry_after_s=7), "create", "jobs", skips=1, times=2)
    answers = [stage.ask("POST", JOBS, "{}")[0] for _ in range(4)]
    assert answers == [200, 429, 429, 200]
    assert stage.ask("GET", JOBS)[0] == 200
    assert [call.number for call in rule.hits] == [1, 2]
    assert len(stage.server.asked) == 3


def test_a_refusal_looks_like_the_api_servers(stage: Stage) -> None:
    stage.proxy.befall(Refuse(409, "Conflict"))
    status, answer = stage.ask("PATCH", f"{JOBS}/one", "{}")
    assert (status, answer["kind"], answer["code"], answer["reason"]) == (409, "Status", 409, "Conflict")


def test_a_delayed_call_is_carried_out_later(stage: Stage) -> None:
    stage.proxy.befall(Delay(0.05))
    assert stage.ask("GET", JOBS)[0] == 200


def test_a_reset_call_was_not_carried_out_and_a_lost_reply_was(stage: Stage) -> None:
    seen: list[str] = []
    stage.proxy.befall(Reset(), "create")
    stage.proxy.befall(LoseReply(lambda call: seen.append(call.verb)), "delete")
    for method in ("POST", "DELETE"):
        with pytest.raises((OSError, http.client.HTTPException)):
            stage.ask(method, f"{JOBS}/one")
    assert stage.server.asked == [f"DELETE {JOBS}/one"]
    assert seen == ["delete"]


def test_a_hanging_call_is_never_answered(stage: Stage) -> None:
    rule = stage.proxy.befall(Hang())
    connection = stage.open()
    connection.request("GET", JOBS)
    assert rule.is_hit.wait(5)
    assert connection.sock is not None
    connection.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert not stage.server.asked


def test_an_answer_of_the_past_asks_for_exactly_that_version(stage: Stage) -> None:
    stage.proxy.befall(AnswerOfThePast("41"), "list")
    _, answer = stage.ask("GET", f"{JOBS}?limit=5")
    assert answer["path"] == f"{JOBS}?limit=5&resourceVersion=41&resourceVersionMatch=Exact"


def test_a_server_that_is_not_there_breaks_the_connection(stage: Stage) -> None:
    stage.proxy._upstream = "http://127.0.0.1:1"
    with pytest.raises((OSError, http.client.HTTPException)):
        stage.ask("GET", JOBS)


# ------------------------------------------------------------------------------------------------------------- watches
def _watch(stage: Stage) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    connection = stage.open()
    connection.request("GET", f"{JOBS}?watch=true")
    return connection, connection.getresponse()


def test_events_pass_one_by_one_while_the_watch_is_open(stage: Stage) -> None:
    stage.server.events = [{"type": "ADDED", "object": {"size": "x" * 200_000}}, {"type": "BOOKMARK", "object": {}}]
    connection, reply = _watch(stage)
    assert [json.loads(reply.readline())["type"] for _ in range(2)] == ["ADDED", "BOOKMARK"]
    assert [call.resource for call in stage.proxy.watches()] == ["jobs"]
    stage.server.stays_open.set()
    assert reply.readline() == b""
    connection.close()


def test_a_dropped_event_is_the_only_one_that_does_not_come(stage: Stage) -> None:
    stage.server.events = [{"type": kind, "object": {}} for kind in ("ADDED", "MODIFIED", "DELETED")]
    stage.proxy.befall(DropEvents(lambda event: event["type"] == "MODIFIED"), "watch")
    connection, reply = _watch(stage)
    assert [json.loads(reply.readline())["type"] for _ in range(2)] == ["ADDED", "DELETED"]
    connection.close()


def test_an_expired_watch_says_410_and_ends(stage: Stage) -> None:
    stage.proxy.befall(Expire(), "watch")
    connection, reply = _watch(stage)
    event = json.loads(reply.readline())
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert reply.readline() == b""
    connection.close()


@pytest.mark.parametrize("is_under_way", [False, True])
def test_a_silent_watch_is_open_and_says_nothing_until_it_is_ended(stage: Stage, is_under_way: bool) -> None:
    if not is_under_way:
        stage.server.events = [{"type": "ADDED", "object": {}}]
        stage.proxy.befall(Silence(), "watch")
    connection, reply = _watch(stage)
    until(lambda: bool(stage.proxy.watches("jobs")), "the watch")
    if is_under_way:
        assert stage.proxy.order_watches(Silence(), "jobs") == 1
    stage.server.stays_open.set()
    until(lambda: len(stage.server.asked) == 1, "the watch at the server")
    assert connection.sock is None or connection.sock.fileno() >= 0
    stage.proxy.order_watches(Expire())
    assert json.loads(reply.readline())["type"] == "ERROR"
    connection.close()


def test_a_watch_whose_caller_has_gone_is_forgotten(stage: Stage) -> None:
    connection, reply = _watch(stage)
    until(lambda: bool(stage.proxy.watches()), "the watch")
    stage.proxy.order_watches(Silence())
    reply.close()
    connection.close()
    until(lambda: not stage.proxy.watches(), "the end of the watch")
