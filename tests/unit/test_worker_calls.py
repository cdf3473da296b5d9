"""The threads that speak for a worker's session: when what they hear reaches the main loop."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from mapreduce.errors import Unreachable
from mapreduce.protocol.client import Refusal, UrlEndpoint
from mapreduce.protocol.messages import (
    Assignment,
    HeartbeatReply,
    HeartbeatRequest,
    NextReply,
    NextRequest,
    RegisterReply,
    RegisterRequest,
)
from mapreduce_worker.agent import calls
from mapreduce_worker.agent.actions import Action, CancelAttempt, Exit, StartAttempt
from mapreduce_worker.agent.session import Session
from tests.support.sessions import attempt, welcome


class Client:
    """Calls to a coordinator that grants one task, wants it ended, and then has no more work."""

    def __init__(self, _endpoint: object, *, deadline_s: float) -> None:
        del deadline_s

    def address(self) -> str:
        return ""

    def close(self) -> None:
        """There is nothing to close."""

    def interrupt(self) -> None:
        """Nothing is waited for."""

    def register(self, _request: RegisterRequest) -> RegisterReply:
        return msgspec.structs.replace(welcome(), heartbeat_s=0.001)

    def next(self, _session: str, request: NextRequest) -> NextReply:
        if request.call == 1:
            return NextReply(epoch=1, tasks=(Assignment(id=attempt(0)),))
        return NextReply(epoch=1, is_done=True)

    def heartbeat(self, _session: str, _request: HeartbeatRequest) -> HeartbeatReply:
        return HeartbeatReply(epoch=1, heartbeat_s=0.001, cancel=(attempt(0),))


def is_free(lock: threading.Condition) -> bool:
    """Whether another thread could have it now."""
    found: list[bool] = []

    def look() -> None:
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_orders_reach_the_main_loop_before_another_thread_can_act_upon_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WorkerClient", Client)
    shared = calls.SharedSession(Session(worker="w", slots=1, now_s=time.monotonic()))
    posted: list[tuple[type[Action], bool]] = []
    is_over = threading.Event()

    def post(actions: list[Action]) -> None:
        for action in actions:
            posted.append((type(action), is_free(shared.changed)))
            if isinstance(action, Exit):
                is_over.set()

    endpoint = UrlEndpoint("http://127.0.0.1:9")
    caller = calls.Caller(shared, endpoint, post)
    caller.start()
    calls.Heart(shared, endpoint, post, lambda: 0, caller.reconnect).start()
    assert is_over.wait(15)
    assert posted == [(StartAttempt, False), (CancelAttempt, False), (Exit, False)]


@pytest.mark.parametrize("epoch", [1, 2], ids=["unreachable for a while", "another incarnation"])
def test_a_call_to_a_coordinator_that_vanished_is_given_up_once_one_answers(
    epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_vanished, is_interrupted, is_over = threading.Event(), threading.Event(), threading.Event()
    losses = [Unreachable("no route to host")]

    class Vanishing(Client):
        """A machine that vanished closes no connection: what was asked of it is waited for."""

        def interrupt(self) -> None:
            is_interrupted.set()

        def register(self, _request: RegisterRequest) -> RegisterReply:
            return msgspec.structs.replace(welcome(epoch if has_vanished.is_set() else 1), heartbeat_s=0.001)

        def next(self, _session: str, request: NextRequest) -> NextReply:
            if has_vanished.is_set():
                return NextReply(epoch=request.epoch, is_done=True)
            has_vanished.set()
            is_interrupted.wait()
            raise Unreachable("the connection is closed")

        def heartbeat(self, _session: str, request: HeartbeatRequest) -> HeartbeatReply:
            if has_vanished.is_set() and losses:
                raise losses.pop()
            if has_vanished.is_set() and request.epoch != epoch:
                raise Refusal(409, "epoch-changed", "register again", epoch)
            return HeartbeatReply(epoch=request.epoch, heartbeat_s=0.001)

    def post(actions: list[Action]) -> None:
        if any(isinstance(action, Exit) for action in actions):
            is_over.set()

    monkeypatch.setattr(calls, "WorkerClient", Vanishing)
    shared = calls.SharedSession(Session(worker="w", slots=1, now_s=time.monotonic()))
    endpoint = UrlEndpoint("http://127.0.0.1:9")
    caller = calls.Caller(shared, endpoint, post)
    caller.start()
    calls.Heart(shared, endpoint, post, lambda: 0, caller.reconnect).start()
    assert is_over.wait(15)
    assert shared.session.epoch == epoch


def test_connections_to_another_incarnation_are_made_anew_before_the_session_registers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Restarted(Client):
        def heartbeat(self, _session: str, _request: HeartbeatRequest) -> HeartbeatReply:
            raise Refusal(409, "epoch-changed", "register again", 2)

    monkeypatch.setattr(calls, "WorkerClient", Restarted)
    session = Session(worker="w", slots=1, now_s=time.monotonic())
    session.registered(msgspec.structs.replace(welcome(), heartbeat_s=0.001), time.monotonic())
    seen: list[bool] = []
    is_told = threading.Event()

    def found_again() -> None:
        if not is_told.is_set():
            seen.append(session.is_joined)
        is_told.set()

    shared, endpoint = calls.SharedSession(session), UrlEndpoint("http://127.0.0.1:9")
    calls.Heart(shared, endpoint, lambda _actions: None, lambda: 0, found_again).start()
    assert is_told.wait(15)
    with shared.changed:
        session.terminated()  # or the thread would go on beside other tests
    assert seen == [True], "a registration would go where nobody is any more"
