"""The agent: holds the parts of a worker together in one main loop over sockets, pipes and timers.

Threads: this loop (executors and what becomes of attempts), `calls` (two), `preparing`, log uploads, and in Peer mode
the run server. The loop never waits for the coordinator; others reach it by `post`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import WorkerClient
from mapreduce.protocol.messages import Assignment, AttemptId, Commit, Fail, Failure, Finished, Release, TaskOutput
from mapreduce_worker.agent.absence import Absence
from mapreduce_worker.agent.actions import (
    EXIT_TERMINATED,
    EXIT_UNUSABLE,
    Action,
    CancelAttempt,
    CommitAccepted,
    Exit,
    StartAttempt,
    WithdrawAttempt,
)
from mapreduce_worker.agent.calls import Caller, Heart, SharedSession, say
from mapreduce_worker.agent.executors import Executor, Executors
from mapreduce_worker.agent.handing import HandingOver
from mapreduce_worker.agent.jobs import JobStore, Prepared, remove_tree
from mapreduce_worker.agent.lanes import Lane
from mapreduce_worker.agent.leaving import Leaving
from mapreduce_worker.agent.preparing import Preparer
from mapreduce_worker.agent.readyqueue import ReadyQueue
from mapreduce_worker.agent.reports import as_log
from mapreduce_worker.agent.serve import RunServer
from mapreduce_worker.agent.session import Session
from mapreduce_worker.agent.settings import AgentSettings
from mapreduce_worker.agent.slot import Slot

_LOG_DEADLINE_S: Final = 10.0
_TIMER_S: Final = 0.5


class Agent:
    """One worker process. `run` serves until there is no work left, or it is told to end.

    Args:
        settings: what it was told at its start.
        executors: where executors come from.
        started: those that were started before this object was made: one for each slot, or none.
    """

    def __init__(self, settings: AgentSettings, executors: Executors, started: Sequence[Executor] = ()) -> None:
        self._settings, self._executors = settings, executors
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._posted: deque[Callable[[], None]] = deque()
        self._ready = ReadyQueue()
        self._exit_code: int | None = None
        self._leaving: Leaving | None = None
        self._has_been_asked_to_end = False
        self._absence = Absence(settings.host_away_s)
        self._turned_s = time.monotonic()
        self._slots = [
            Slot(self, settings, executors, index, started[index] if index < len(started) else None)
            for index in range(settings.slots)
        ]
        self._server = RunServer(
            settings.serve_host,
            settings.serve_port,
            settings.scratch / "runs",
            lambda: settings.endpoint.token("worker"),
            self._is_alive,
        )
        self._shared = SharedSession(
            Session(
                worker=settings.worker,
                slots=settings.slots,
                now_s=time.monotonic(),
                serve_url=settings.serve_url or self._server.url,
                reconnect_s=settings.reconnect_s,
                settings=settings.session,
            )
        )
        self._store = JobStore(WorkerClient(settings.endpoint), self._shared.token, settings)
        self._handing_over = HandingOver(settings.endpoint, self._shared.token, holds=self._holds, done=self._conclude)
        self._preparer = Preparer(self._store, holds=self._holds, done=self._prepared)
        self._log_lane = Lane("logs")
        self._log_client = WorkerClient(settings.endpoint, deadline_s=_LOG_DEADLINE_S)

    def run(self) -> int:
        """Work until the end; returns the exit code."""
        self._listen()
        self._mind_host()
        try:
            while self._exit_code is None:
                self._turn()
        finally:
            self._clean_up()
        return self._exit_code

    def ask_to_end(self) -> None:
        """What SIGTERM means; from a signal handler. Asked twice, it does not wait for anything."""
        self._post(self._end_now if self._has_been_asked_to_end else self._begin_to_leave)
        self._has_been_asked_to_end = True

    # ----------------------------------------------------------------------------------------------------- main loop

    def _listen(self) -> None:
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        if self._settings.parent_descriptor is not None:
            self._selector.register(self._settings.parent_descriptor, selectors.EVENT_READ, self._on_parent)
        self._executors.attach(self)
        if self._settings.serve_port:
            self._server.start()

    def _turn(self) -> None:
        is_busy = any(slot.needs_ticks for slot in self._slots)
        for key, ready in self._selector.select(self._settings.tick_s if is_busy else _TIMER_S):
            key.data(ready)
        while self._posted:
            self._posted.popleft()()
        self._turned_s = time.monotonic()
        self._mind_host()
        self._ready.feed(self._slots)
        for slot in self._slots:
            slot.tick()
        self._go_on_leaving()

    def _memory_bytes(self) -> int:
        return sum(slot.memory_bytes for slot in self._slots)

    def _mind_host(self) -> None:
        """Meet the coordinator once executors can be started; take nothing while they cannot."""
        if self._executors.problem:
            say(self._executors.problem)
            self._exit_code = EXIT_UNUSABLE
            return
        match self._absence.step(time.monotonic(), is_ready=self._executors.is_ready):
            case "meet":
                endpoint, post = self._settings.endpoint, self._post_actions
                caller = Caller(self._shared, endpoint, post)
                caller.start()
                Heart(self._shared, endpoint, post, self._memory_bytes, caller.reconnect).start()
            case "gone":
                say("the container of the executors has gone; waiting for it to come back")
                self._set_paused(True)
            case "back":
                say("the container of the executors is back")
                self._set_paused(False)
            case "give back":
                with self._shared.changed:
                    actions = self._shared.session.give_back()
                self._carry_out(actions)
            case "none":
                pass

    def _set_paused(self, is_paused: bool) -> None:
        with self._shared.changed:
            self._shared.session.set_paused(is_paused)
            self._shared.changed.notify()

    def _is_alive(self) -> bool:
        """Whether the main loop turns; from any thread."""
        return time.monotonic() - self._turned_s < self._settings.stuck_s

    def _on_wake(self, _ready: int) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            return

    def _on_parent(self, _ready: int) -> None:
        descriptor = self._settings.parent_descriptor
        if descriptor is not None and not os.read(descriptor, 64):
            self._exit_code = EXIT_TERMINATED  # `_clean_up` kills the executors; nobody is left to report to

    def _post(self, call: Callable[[], None]) -> None:
        """Have the main loop call this; from any thread."""
        self._posted.append(call)
        try:
            self._wake_write.send(b"\0")
        except BlockingIOError:
            return  # it has enough reasons to wake up already

    def _post_actions(self, actions: list[Action]) -> None:
        if actions:
            self._post(lambda: self._carry_out(actions))

    def _clean_up(self) -> None:
        for slot in self._slots:
            slot.close()
        self._executors.close()
        self._server.close()
        remove_tree(self._settings.scratch)

    # ------------------------------------------------------------------------------------------- what the session wants

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartAttempt(assignment):
                    self._take_on(assignment)
                case CancelAttempt(attempt):
                    if not self._unqueue(attempt):
                        for slot in self._slots:
                            slot.cancel(attempt)
                case WithdrawAttempt(attempt):
                    self._withdraw(attempt)
                case CommitAccepted(attempt):
                    self._handing_over.keep_replica(attempt)
                case Exit(code, reason):
                    say(f"ends: {reason}")
                    self._exit_code = code
                case _:
                    assert_never(action)

    def _take_on(self, assignment: Assignment) -> None:
        prepared = self._preparer.prepare_now(assignment)
        if prepared is not None:
            self._put(prepared)
        else:
            self._preparer.prepare(assignment)

    def _withdraw(self, attempt: AttemptId) -> None:
        if self._unqueue(attempt):
            self.attempt_withdrawn(attempt)
        else:
            for slot in self._slots:
                slot.withdraw({attempt})

    def _unqueue(self, attempt: AttemptId) -> bool:
        return self._ready.drop(attempt) or self._preparer.drop(attempt)

    def _holds(self, attempt: AttemptId) -> bool:
        with self._shared.changed:
            return self._shared.session.holds(attempt)

    def _prepared(self, assignment: Assignment, outcome: Prepared | Failure) -> None:
        self._post(lambda: self._enqueue(assignment, outcome))

    def _enqueue(self, assignment: Assignment, outcome: Prepared | Failure) -> None:
        if not (self._preparer.drop(assignment.id) and self._holds(assignment.id)):
            return
        if isinstance(outcome, Failure):
            self._report(Fail(id=assignment.id, failure=outcome))
            return
        if outcome.job.is_by_coordinator or outcome.inputs:
            with self._shared.changed:
                self._shared.session.keeps_runs |= outcome.job.is_by_coordinator
                self._shared.session.fetches_ahead |= bool(outcome.inputs)
        self._put(outcome)

    def _put(self, prepared: Prepared) -> None:
        if prepared.job.is_peer:
            self._server.start()
        self._ready.put(prepared)

    # ----------------------------------------------------------------------------------------------- as owner of slots

    def watch(self, source: socket.socket, events: int, call: Callable[[int], None]) -> None:
        """Call `call` whenever the socket is ready."""
        if source in self._selector.get_map():
            self._selector.modify(source, events, call)
        else:
            self._selector.register(source, events, call)

    def unwatch(self, source: socket.socket) -> None:
        """Undo `watch`."""
        if source.fileno() >= 0 and source in self._selector.get_map():
            self._selector.unregister(source)

    def attempt_begun(self, attempt: AttemptId) -> None:
        """An executor has begun it."""
        with self._shared.changed:
            self._shared.session.begun(attempt)

    def attempt_ended(self, work: Prepared, outcome: TaskOutput | Failure, run_s: float, log: bytes) -> None:
        """An executor has ended it, or ended over it."""
        attempt = work.assignment.id
        self._store.forget_attempt(attempt)
        if self._handing_over.is_needed(work.job, outcome):
            self._handing_over.take(work.job, attempt, outcome, run_s, log)
        else:
            self._conclude(attempt, outcome, run_s, log)

    def attempts_returned(self, work: list[Prepared]) -> None:
        """They go first again."""
        self._ready.put_back([prepared for prepared in work if self._holds(prepared.assignment.id)])

    def attempt_withdrawn(self, attempt: AttemptId) -> None:
        """It is given back."""
        with self._shared.changed:
            self._shared.session.withdrawn(attempt, time.monotonic())
            self._shared.changed.notify()

    def executors_fail(self, failure: Failure) -> None:
        """An attempt that waits fails for it, so that the job does not wait for this worker for ever."""
        say(f"{failure.message}\n{failure.traceback}")
        work = self._ready.pop()
        if work is not None:
            self.attempt_ended(work, failure, 0.0, b"")

    def _conclude(self, attempt: AttemptId, outcome: TaskOutput | Failure, run_s: float, log: bytes) -> None:
        """Report what became of an attempt, its log first. From any thread."""
        result: Finished
        if isinstance(outcome, TaskOutput):
            result = Commit(id=attempt, output=outcome, run_s=run_s)
        else:
            result = Fail(id=attempt, failure=outcome, run_s=run_s)
            log += as_log(outcome)
        if log:
            self._log_lane.put(lambda: self._upload_and_report(result, log))
        else:
            self._report(result)

    def _upload_and_report(self, result: Finished, log: bytes) -> None:
        """In the thread of uploads. A log that cannot be stored is not worth a result."""
        try:
            self._log_client.put_log(self._shared.token(), result.id, log)
        except MapReduceError as error:
            say(f"the log of {result.id} is not stored: {error}")
        self._report(result)

    def _report(self, result: Finished) -> None:
        with self._shared.changed:
            session, now_s = self._shared.session, time.monotonic()
            session.finished(result, now_s)
            due_s = session.due_s(now_s)
            if due_s is not None and due_s <= now_s:
                self._shared.changed.notify()

    # ------------------------------------------------------------------------------------------------------- leaving

    def _begin_to_leave(self) -> None:
        say("was told to end")
        self._leaving = Leaving(self._settings, time.monotonic())
        with self._shared.changed:
            self._post_actions(self._shared.session.leave())  # behind those to start what is given back
            self._shared.changed.notify()

    def _go_on_leaving(self) -> None:
        if self._leaving is None or self._exit_code is not None:
            return
        with self._shared.changed:
            held, unfinished = self._shared.session.held, self._shared.session.unfinished
        if self._posted:
            return  # of what is not held any more a run may be committed, and is copied first
        now_s, runs = time.monotonic(), self._handing_over
        step = self._leaving.step(now_s, held=len(held), pending=runs.pending_replicas, taken_s=runs.taken_s)
        if step == "release":
            self._release(unfinished)
        elif step == "end":
            self._end_now()

    def _release(self, attempts: tuple[AttemptId, ...]) -> None:
        """Give back what still runs; its executors end."""
        self._ready.clear()
        for slot in self._slots:
            slot.close()
        for attempt in attempts:
            self._report(Release(id=attempt, was_started=True))

    def _end_now(self) -> None:
        with self._shared.changed:
            actions = self._shared.session.terminated()
        self._carry_out(actions)
