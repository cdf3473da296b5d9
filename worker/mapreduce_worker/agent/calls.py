"""The two threads that speak for the session: one makes the `next` calls and registers, one beats.

They do what `Session` says, wait where it says so, and hand its actions to the main loop, under the session's lock: the
order to end an attempt must not overtake the one to start it. The heartbeat has its own thread and connection, so that
neither user code nor a waiting `next` ever delays it.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from mapreduce.errors import MapReduceError, Unauthorized, Unreachable
from mapreduce.protocol.client import Refusal, WorkerClient
from mapreduce.protocol.endpoint import Endpoint
from mapreduce.protocol.messages import ErrorReply, NextRequest
from mapreduce_worker.agent.actions import Action
from mapreduce_worker.agent.lanes import Backoff
from mapreduce_worker.agent.session import Session

_NEXT_DEADLINE_S: Final = 20.0
#: A heartbeat that is not answered within this part of the lease is lost; the next one follows at once.
_HEARTBEAT_DEADLINE: Final = 0.25
_LONGEST_HEARTBEAT_S: Final = 10.0
#: While a coordinator that starts beside this worker is awaited, it is looked for this often.
_EAGER_PAUSE_S: Final = 0.02
_EAGER_FOR_S: Final = 5.0
_LONGEST_LOOK_S: Final = 1.0


def say(text: str) -> None:
    """One line to whoever looks after this process, if it can be written."""
    with contextlib.suppress(OSError, ValueError):  # a full disk, a closed pipe: no reason for a thread to end
        sys.stderr.write(f"worker: {text}\n")
        sys.stderr.flush()


class SharedSession:
    """The session, and the lock under which each thread touches it for a moment."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.changed = threading.Condition()
        """Notified when a call may have become due."""

    def token(self) -> str:
        """The session token of now; empty while not joined."""
        with self.changed:
            return self.session.token


class Caller:
    """Registers, then calls `next` whenever the session has something to say."""

    def __init__(self, shared: SharedSession, endpoint: Endpoint, post: Callable[[list[Action]], None]) -> None:
        self._shared, self._endpoint, self._post = shared, endpoint, post
        self._client = WorkerClient(endpoint, deadline_s=_NEXT_DEADLINE_S)
        self._backoff = Backoff()
        self._started_s = time.monotonic()
        self._has_joined = False

    def start(self) -> None:
        """Begin, for the rest of the process's life."""
        threading.Thread(target=self._run, name="next", daemon=True).start()

    def reconnect(self) -> None:
        """From another thread: whoever this is connected to may be gone, and then nothing is ever answered there."""
        self._client.interrupt()

    def _run(self) -> None:
        session = self._shared.session
        while session.exit is None:
            if session.is_joined:
                self._call_when_due()
            else:
                self._register()

    def _call_when_due(self) -> None:
        with self._shared.changed:
            now_s = time.monotonic()
            session = self._shared.session
            due_s = session.due_s(now_s)
            if due_s is None or due_s > now_s:
                left_s = _LONGEST_LOOK_S if due_s is None else min(due_s - now_s, _LONGEST_LOOK_S)
                self._shared.changed.wait(left_s)
                return
            request, token = session.next_request(now_s), session.token
        if request is not None:
            self._call(token, request)

    def _call(self, token: str, request: NextRequest) -> None:
        session, changed = self._shared.session, self._shared.changed
        try:
            reply = self._client.next(token, request)
        except (Refusal, Unauthorized) as error:
            with changed:
                self._post(session.refused(*_said(error), time.monotonic(), call=request.call))
        except Unreachable as error:
            self._lost(error)
        else:
            self._backoff.reset()
            with changed:
                self._post(session.next_answered(request.call, reply, time.monotonic()))

    def _register(self) -> None:
        session, changed = self._shared.session, self._shared.changed
        with changed:
            request = session.register_request()
        try:
            reply = self._client.register(request)
        except Refusal as error:
            with changed:
                self._post(session.register_refused(*_said(error), time.monotonic()))
            time.sleep(self._backoff.next_pause_s())
        except (Unreachable, Unauthorized) as error:
            self._lost(error)
            time.sleep(self._pause_s())
        else:
            self._backoff.reset()
            with changed:
                self._post(session.registered(reply, time.monotonic()))
                is_joined = session.is_joined
            if is_joined:
                say(f"joined the coordinator at {self._client.address()} in epoch {reply.epoch}")
                self._has_joined = True
            else:
                time.sleep(self._backoff.next_pause_s())

    def _lost(self, error: MapReduceError) -> None:
        now_s = time.monotonic()
        with self._shared.changed:
            self._post(self._shared.session.call_lost(now_s, now_s + self._pause_s(), str(error)))

    def _pause_s(self) -> float:
        if not self._has_joined and time.monotonic() - self._started_s < _EAGER_FOR_S:
            return _EAGER_PAUSE_S
        return self._backoff.next_pause_s()


class Heart:
    """Beats while the session is joined.

    It calls `found_again` when a coordinator answers that did not answer before, or that is not the one that was
    joined: a machine that vanished closes no connection, so what is sent to it is waited for until the deadline.
    """

    def __init__(
        self,
        shared: SharedSession,
        endpoint: Endpoint,
        post: Callable[[list[Action]], None],
        memory_bytes: Callable[[], int],
        found_again: Callable[[], None],
    ) -> None:
        self._shared, self._endpoint, self._post, self._memory_bytes = shared, endpoint, post, memory_bytes
        self._found_again = found_again
        self._deadline_s = _LONGEST_HEARTBEAT_S
        self._client = WorkerClient(endpoint, deadline_s=self._deadline_s)
        self._backoff = Backoff()

    def start(self) -> None:
        """Begin, for the rest of the process's life."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        session = self._shared.session
        has_been_heard = True
        while session.exit is None:
            pause_s = session.heartbeat_s * random.uniform(0.8, 1.0)  # noqa: S311 - not a secret
            time.sleep(pause_s if has_been_heard else min(pause_s, self._backoff.next_pause_s()))
            has_been_heard = self._beat(was_heard=has_been_heard)
            if has_been_heard:
                self._backoff.reset()

    def _beat(self, *, was_heard: bool) -> bool:
        """Returns whether the coordinator has answered, or had nothing to be told."""
        session, changed = self._shared.session, self._shared.changed
        with changed:
            request, token = session.heartbeat_request(), session.token
            deadline_s = min(session.lease_s * _HEARTBEAT_DEADLINE, _LONGEST_HEARTBEAT_S)
        if request is None:
            return True
        if deadline_s != self._deadline_s:
            self._client.close()
            self._deadline_s, self._client = deadline_s, WorkerClient(self._endpoint, deadline_s=deadline_s)
        is_heard = True
        request = msgspec.structs.replace(request, memory_bytes=self._memory_bytes())
        try:
            reply = self._client.heartbeat(token, request)
        except (Refusal, Unauthorized) as error:
            self._found_again()  # first: the session may have the other thread register at once
            with changed:
                self._post(session.refused(*_said(error), time.monotonic(), epoch=request.epoch))
                changed.notify()
        except Unreachable as error:
            is_heard = False
            with changed:
                self._post(session.check_silence(time.monotonic(), str(error)))
        else:
            if not was_heard:
                self._found_again()
            with changed:
                self._post(session.heartbeat_answered(reply, time.monotonic()))
                changed.notify()
        return is_heard


def _said(error: Refusal | Unauthorized) -> tuple[int, ErrorReply]:
    """Status and content of an answer that was no."""
    if isinstance(error, Unauthorized):
        return 401, ErrorReply(code="unauthorized", message=str(error))
    return error.status, ErrorReply(code=error.code, message=error.message, epoch=error.epoch)
