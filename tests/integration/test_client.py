"""The client against the real HTTP edge, and against servers that behave badly."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from cluster.certificates import Authority
from cluster.running import wait_until
from mapreduce.errors import Unauthorized, Unreachable
from mapreduce.protocol import connection
from mapreduce.protocol.client import (
    CoordinatorClient,
    FolderEndpoint,
    Refusal,
    TokenFileEndpoint,
    UrlEndpoint,
    WorkerClient,
)
from mapreduce.protocol.messages import (
    Commit,
    HeartbeatRequest,
    NextRequest,
    RegisterRequest,
    SubmitRequest,
    TaskOutput,
)
from tests.support.edge import WORKER, Served, serving
from tests.support.fakeservice import ATTEMPT, JOB, PART, a_spec
from tests.support.running import runs


def admin(served: Served) -> CoordinatorClient:
    return CoordinatorClient(UrlEndpoint(served.url, served.tokens.admin))


@runs
async def test_a_worker_joins_takes_a_task_commits_it_and_beats(tmp_path: Path) -> None:
    async with serving(tmp_path, now_at=time.time) as served:
        client = WorkerClient(UrlEndpoint(served.url, served.tokens.worker))

        def dialogue() -> None:
            joined = client.register(RegisterRequest(worker=WORKER, slots=1, protocol=1))
            first = client.next(joined.session, NextRequest(epoch=1, worker=WORKER, call=1, want=1))
            assert [task.id for task in first.tasks] == [ATTEMPT]
            done = Commit(id=ATTEMPT, output=TaskOutput(), run_s=0.5)
            second = client.next(joined.session, NextRequest(epoch=1, worker=WORKER, call=2, finished=(done,)))
            assert [verdict.accepted for verdict in second.verdicts] == [True]
            assert client.heartbeat(joined.session, HeartbeatRequest(epoch=1, worker=WORKER)).epoch == 1
            assert client.definition(joined.session, JOB).name == "words"
            assert [run.digest for run in client.runs(joined.session, JOB)] == [1 << 63]
            client.put_log(joined.session, ATTEMPT, b"hello")
            with pytest.raises(Refusal) as caught:
                client.next(joined.session, NextRequest(epoch=2, worker=WORKER, call=3))
            assert (caught.value.status, caught.value.code) == (409, "epoch-changed")
            client.close()

        await asyncio.to_thread(dialogue)
        assert served.service.log_of_attempt[ATTEMPT.stem] == b"hello"


@runs
async def test_the_command_line_can_do_all_that_it_needs(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        client = admin(served)
        bundle = b"some code"
        digest = hashlib.sha256(bundle).hexdigest()

        def dialogue() -> None:
            client.put_code(digest, bundle)
            assert client.code(digest) == bundle
            assert client.submit(SubmitRequest(name="words", spec=a_spec(), code=digest)) == JOB
            assert [job.job for job in client.statuses().jobs] == [JOB]
            status, sequence = client.status(JOB)
            assert (status.name, sequence) == ("words", 7)
            assert client.logs(JOB, "map-3") == b"what map-3 printed\n"
            assert client.parts(JOB) == [PART]
            into = io.BytesIO()
            assert client.download_part(JOB, PART, into) == len(into.getvalue()) == 256 * 40
            assert client.cancel(JOB).state == "Cancelled"
            assert client.definition(JOB).name == "words"
            client.close()

        await asyncio.to_thread(dialogue)


@runs
async def test_events_come_with_their_sequences(tmp_path: Path) -> None:
    async def three(start: int) -> AsyncIterator[tuple[int, bytes]]:
        for sequence in range(start, start + 3):
            yield sequence, json.dumps({"sequence": sequence}).encode()
        await asyncio.sleep(60)

    async with serving(tmp_path) as served:
        served.service.subscription = three

        def look() -> list[tuple[int, bytes]]:
            events = admin(served).events(5)
            try:
                return [next(events) for _ in range(3)]
            finally:
                events.close()  # type: ignore[attr-defined]  # an iterator to its users, a generator here

        seen = await asyncio.to_thread(look)
        assert [(sequence, json.loads(body)) for sequence, body in seen] == [(n, {"sequence": n}) for n in (5, 6, 7)]


@runs
async def test_a_wrong_token_is_unauthorized_and_a_wrong_role_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for token in ("x" * 40, served.tokens.read):
            client = CoordinatorClient(UrlEndpoint(served.url, token))
            with pytest.raises(Unauthorized):
                await asyncio.to_thread(client.cancel, JOB)


@runs
async def test_what_does_not_exist_is_a_refusal_with_its_code(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        client = admin(served)
        with pytest.raises(Refusal) as caught:
            await asyncio.to_thread(client.code, "0" * 64)
        assert (caught.value.status, caught.value.code, caught.value.exit_code) == (404, "not-found", 2)
        assert [job.job for job in (await asyncio.to_thread(client.statuses)).jobs] == [JOB], "it can go on"
        client.close()


def client_of(url: str, *, deadline_s: float = 5.0) -> closing[CoordinatorClient]:
    return closing(CoordinatorClient(UrlEndpoint(url, "t"), deadline_s=deadline_s))


def test_no_coordinator_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = CoordinatorClient(UrlEndpoint(f"http://127.0.0.1:{port}", "t"))
    with pytest.raises(Unreachable, match=str(port)):
        client.statuses()


def whole_request(connection: socket.socket) -> bytes:
    """Head and body: a connection that is closed with something unread takes the answer along."""
    got = b""
    while piece := connection.recv(1 << 16):
        got += piece
        head, end, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if end and len(body) >= (0 if length is None else int(length[1])):
            break
    return got


@contextmanager
def saying(
    *answers: bytes | None, is_keeping: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says these bytes, one connection each, and what it was asked; None: silence.

    `is_keeping`: it closes no connection on which it said something. `tls`: it speaks that.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []
    is_over = threading.Event()

    def serve() -> None:
        with ExitStack() as kept:
            for answer in answers:
                connection, _ = listener.accept()
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with ExitStack() as own:
                    (kept if is_keeping and answer else own).enter_context(connection)
                    asked.append(whole_request(connection))
                    if answer is None:
                        is_over.wait(10)
                    else:
                        connection.sendall(answer)
            if is_keeping:
                is_over.wait(10)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        is_over.set()
        listener.close()
        thread.join(5)


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


EMPTY_HEARTBEAT = b'{"epoch":1,"heartbeat_s":1}'
EMPTY_LIST = b'{"jobs":[],"epoch":1,"sequence":0}'


def test_silence_ends_at_the_deadline() -> None:
    with (
        saying(None) as (url, _),
        client_of(url, deadline_s=0.2) as client,
        pytest.raises(Unreachable, match="timed out"),
    ):
        client.statuses()


def test_an_address_that_swallows_every_packet_is_given_up_long_before_an_answer_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with (
            socket.create_connection(address),
            client_of(f"http://127.0.0.1:{address[1]}", deadline_s=3_600.0) as client,
            pytest.raises(Unreachable, match="timed out"),
        ):
            client.statuses()


def test_a_call_that_waits_can_be_interrupted_from_another_thread() -> None:
    with (
        saying(None) as (url, asked),
        closing(WorkerClient(UrlEndpoint(url, "t"), deadline_s=3_600.0)) as client,
        ThreadPoolExecutor(1) as beside,
    ):
        call = beside.submit(client.next, "s", NextRequest(epoch=1, worker=WORKER, call=1))
        wait_until("the call has arrived", (bool(asked) for _ in count()), timeout_s=30)
        client.interrupt()
        with pytest.raises(Unreachable):
            call.result(30)


def test_a_connection_that_nobody_waits_at_can_be_interrupted_and_the_next_call_makes_another_one() -> None:
    with (
        saying(answer(EMPTY_HEARTBEAT), answer(EMPTY_HEARTBEAT)) as (url, asked),
        closing(WorkerClient(UrlEndpoint(url, "t"))) as client,
    ):
        for _ in range(2):
            client.heartbeat("s", HeartbeatRequest(epoch=1, worker=WORKER))
            client.interrupt()
        assert len(asked) == 2


def test_once_a_call_found_nobody_other_callers_leave_their_old_connections() -> None:
    beat = HeartbeatRequest(epoch=1, worker=WORKER)
    with saying(answer(EMPTY_HEARTBEAT), b"", answer(EMPTY_HEARTBEAT), is_keeping=True) as (url, asked):
        endpoint = UrlEndpoint(url, "t")
        with closing(WorkerClient(endpoint)) as one, closing(WorkerClient(endpoint)) as other:
            one.heartbeat("s", beat)
            with pytest.raises(Unreachable):
                other.heartbeat("s", beat)
            one.heartbeat("s", beat)
    assert len(asked) == 3


def test_the_kernel_asks_whether_a_silent_coordinator_is_still_there() -> None:
    with saying(answer(EMPTY_LIST)) as (url, _):
        own = connection.Connection(UrlEndpoint(url, "t"))
        with closing(own):
            own.call(connection.Request("GET", "/v1/jobs"))
            sock = own._http.sock  # type: ignore[union-attr]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 10


@pytest.mark.parametrize(
    "said", [answer(EMPTY_LIST)[:-5], b"SSH-2.0-OpenSSH\r\n", b"", answer(b"<html>"), answer(b"{}")]
)
def test_what_is_no_whole_answer_of_a_coordinator_is_unreachable(said: bytes) -> None:
    with saying(said) as (url, _), client_of(url) as client, pytest.raises(Unreachable):
        client.statuses()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("404 Not Found", b""),
        ("502 Bad Gateway", b"<html>Bad Gateway</html>"),
        ("404 Not Found", b'{"kind":"Status","code":404,"message":"no such service"}'),
    ],
)
def test_an_error_that_no_coordinator_sends_comes_from_whoever_answers_while_there_is_none(
    status: str, body: bytes
) -> None:
    with saying(answer(body, status)) as (url, _), client_of(url) as client, pytest.raises(Unreachable) as caught:
        client.statuses()
    assert str(caught.value) == f"What answers at {url} is not a coordinator: {status}."


def test_a_proxy_may_find_a_call_too_large() -> None:
    with saying(answer(b"<html>", "413 Content Too Large")) as (url, _), client_of(url) as client:
        with pytest.raises(Refusal) as caught:
            client.statuses()
        assert (caught.value.status, caught.value.code) == (413, "http-413")


def test_a_connection_that_was_closed_while_idle_is_opened_again_without_a_word() -> None:
    with saying(answer(EMPTY_LIST), answer(EMPTY_LIST)) as (url, asked), client_of(url) as client:
        client.statuses()
        client.statuses()
        assert len(asked) == 2


def test_a_connection_under_tls_that_was_closed_while_idle_is_opened_again_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.own.certificate))
    server = authority.issue("server", "/CN=server", "IP:127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(server.certificate, server.key)
    heartbeat = answer(EMPTY_HEARTBEAT)
    with saying(heartbeat, heartbeat, tls=tls) as (url, asked), closing(WorkerClient(UrlEndpoint(url, "t"))) as client:
        for _ in range(2):
            client.heartbeat("s", HeartbeatRequest(epoch=1, worker=WORKER))
        assert len(asked) == 2


def test_a_submission_that_broke_off_is_not_sent_twice() -> None:
    with saying(b"", answer(b'{"job":1}')) as (url, asked), client_of(url) as client:
        with pytest.raises(Unreachable):
            client.submit(SubmitRequest(name="n", spec=a_spec(), code="0" * 64))
        assert len(asked) == 1
        assert client.submit(SubmitRequest(name="n", spec=a_spec(), code="0" * 64)) == 1


def test_a_coordinator_that_restarts_elsewhere_is_found_through_its_folder(tmp_path: Path) -> None:
    client = CoordinatorClient(FolderEndpoint(tmp_path))
    with pytest.raises(Unreachable, match="No coordinator"):
        client.statuses()
    (tmp_path / "token").write_text('{"admin":"a","worker":"w","read":"r"}')
    with pytest.raises(Unreachable, match="No coordinator"):
        client.statuses()
    with saying(answer(EMPTY_LIST)) as (url, asked):
        (tmp_path / "endpoint.json").write_text(json.dumps({"url": url, "epoch": 1, "pid": 1}))
        client.statuses()
        assert b"Authorization: Bearer r\r\n" in asked[0]
    with saying(answer(EMPTY_LIST)) as (url, _):
        (tmp_path / "endpoint.json").write_text(json.dumps({"url": url, "epoch": 2, "pid": 1}))
        with pytest.raises(Unreachable):
            client.statuses()
        client.statuses()
    client.close()


def test_a_token_file_may_hold_one_bare_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    endpoint = TokenFileEndpoint("http://h", tmp_path / "token")
    assert endpoint.token("worker") == "secret"
    (tmp_path / "token").write_text('{"read":"r"}')
    with pytest.raises(Unauthorized, match="worker"):
        endpoint.token("worker")
    (tmp_path / "token").unlink()
    with pytest.raises(Unauthorized, match="cannot be read"):
        endpoint.token("worker")
