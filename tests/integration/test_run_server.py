"""How a worker serves its runs to others, on real sockets of the loopback interface."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable
from mapreduce.protocol.sessions import Session, make_session
from mapreduce_worker import __main__ as program
from mapreduce_worker.agent import serve, servehandler
from mapreduce_worker.agent.calls import say
from mapreduce_worker.agent.serve import RunServer

SECRET = "secret"
STEM = "map-00003.e1.a1"
CONTENT = b"0123456789"


class Coordinator:
    """What the endpoint of an agent knows of it."""

    def __init__(self) -> None:
        self.problem: MapReduceError | None = None

    def secret(self) -> str:
        if self.problem is not None:
            raise self.problem
        return SECRET


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


@pytest.fixture
def server(tmp_path: Path, coordinator: Coordinator) -> Iterator[RunServer]:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / f"{STEM}.run").write_bytes(CONTENT)
    server = RunServer("127.0.0.1", 0, tmp_path, coordinator.secret, lambda: True)
    server.start()
    yield server
    server.close()


def connect(server: RunServer) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.connect()
    return connection


def ask(connection: http.client.HTTPConnection, secret: str = SECRET) -> tuple[int, bytes]:
    """Status and body of a request for a part of the run."""
    token = make_session(Session("other", 1, 1 << 40), secret)
    headers = {"Authorization": f"Bearer {token}", "Range": "bytes=2-4"}
    connection.request("GET", f"/runs/1/{STEM}.run", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_range_of_a_run_is_given_to_workers_of_the_same_coordinator_only(server: RunServer) -> None:
    with closing(connect(server)) as connection:
        assert ask(connection) == (206, b"234")
        assert ask(connection, "another") == (401, b"")


@pytest.mark.parametrize("problem", [Unreachable("it is starting again"), Unauthorized("its token file is gone")])
def test_readers_are_served_while_the_coordinator_is_away(
    server: RunServer, coordinator: Coordinator, problem: MapReduceError
) -> None:
    with closing(connect(server)) as connection:
        assert ask(connection) == (206, b"234")
        coordinator.problem = problem
        assert ask(connection) == (206, b"234")
        assert ask(connection, "another") == (401, b"")


def test_who_asks_before_a_secret_was_ever_known_is_refused_and_no_thread_dies_of_it(
    server: RunServer, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    coordinator.problem = Unreachable("it has not come yet")
    with closing(connect(server)) as connection:
        assert ask(connection, "") == (401, b"")
        coordinator.problem = None
        assert ask(connection) == (206, b"234")
    assert died == []


def test_callers_that_keep_idle_connections_make_room_for_others(
    tmp_path: Path, server: RunServer, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_MAX_CONNECTIONS", 2)
    monkeypatch.setattr(servehandler, "IDLE_S", 0.2)
    small = RunServer("127.0.0.1", 0, tmp_path, coordinator.secret, lambda: True)
    small.start()
    with ExitStack() as stack:
        stack.callback(small.close)
        for _ in range(6):
            connection = stack.enter_context(closing(connect(small)))
            assert ask(connection) == (206, b"234")


def test_a_connection_that_cannot_be_accepted_is_not_the_end_of_serving(
    server: RunServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = server._listener, iter([OSError(24, "Too many open files")])

    class Flaky:
        def accept(self) -> tuple[socket.socket, object]:
            for failure in failures:
                raise failure
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

    monkeypatch.setattr(server, "_listener", Flaky())
    for _ in range(3):  # the first is taken by the accept that was waiting already
        with closing(connect_to(real)) as connection:
            assert ask(connection) == (206, b"234")


def connect_to(listener: socket.socket) -> http.client.HTTPConnection:
    host, port = listener.getsockname()
    return http.client.HTTPConnection(host, port, timeout=30)


class Full:
    """A stream to a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        """Nothing was written."""


def test_a_worker_whose_output_cannot_be_written_says_nothing_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    say("the log of map-3 is not stored")


def test_a_thread_that_dies_ends_the_worker_even_where_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Agent:
        has_been_asked = False

        def ask_to_end(self) -> None:
            self.has_been_asked = True

    agent = Agent()

    def show(_died: threading.ExceptHookArgs) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(threading, "excepthook", show)
    program._end_with_any_thread(agent)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space"):
        threading.excepthook(threading.ExceptHookArgs((ValueError, ValueError(), None, threading.current_thread())))
    assert agent.has_been_asked
