"""One slot: the executor that fills it, the orders it was given, and what becomes of both.

Runs in the main thread of the agent and never blocks it for long. Decides nothing about leases: what happened to an
attempt is told to the `SlotOwner`.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from mapreduce.protocol.messages import AttemptId, Failure, TaskOutput
from mapreduce_worker.agent.capture import Capture
from mapreduce_worker.agent.channel import Channel, ChannelClosed
from mapreduce_worker.agent.deaths import crash, memory_exceeded, start_failed, timed_out
from mapreduce_worker.agent.executors import Ending, Executor, Executors, Watcher
from mapreduce_worker.agent.settings import (
    AgentSettings,
    container_share_bytes,
    data_limit_bytes,
    memory_limit_bytes,
)
from mapreduce_worker.executor.failures import in_users_names
from mapreduce_worker.executor.messages import VERSION, Hello, Job, Order, Orders, Result, ToAgent, Withdraw, Withdrawn

if TYPE_CHECKING:
    from mapreduce_worker.agent.jobs import Prepared

#: After so many executors that ended before they began anything, an attempt fails for it.
_MAX_FAILED_STARTS: Final = 3
_MAX_START_PAUSE_S: Final = 5.0
#: Orders are sent ahead while they are worth less than this; more would only have to be taken back.
_AHEAD_S: Final = 0.05
_MAX_AHEAD: Final = 256

#: From an attempt whose executor was ended, and what it printed, to what is told of it; None: it was not meant.
Reason = Callable[["Prepared", bytes], Failure | None]


class SlotOwner(Watcher, Protocol):
    """Who uses a slot."""

    def attempt_begun(self, attempt: AttemptId) -> None:
        """The attempt runs now. Not told for attempts that ended before anyone looked."""

    def attempt_ended(self, work: Prepared, outcome: TaskOutput | Failure, run_s: float, log: bytes) -> None:
        """The attempt is over."""

    def attempts_returned(self, work: list[Prepared]) -> None:
        """These were given to an executor that was ended for another's sake; they go first in the queue again."""

    def attempt_withdrawn(self, attempt: AttemptId) -> None:
        """The attempt has not begun and never will, as asked."""

    def executors_fail(self, failure: Failure) -> None:
        """Several executors in a row ended before they began anything: whoever waits should not wait for ever."""


class Slot:
    """Keeps one executor running and gives it orders."""

    def __init__(
        self,
        owner: SlotOwner,
        settings: AgentSettings,
        executors: Executors,
        index: int,
        process: Executor | None = None,
    ) -> None:
        self._owner, self._settings, self._executors, self._index = owner, settings, executors, index
        self._process = process
        self._channel: Channel | None = None
        self._capture: Capture | None = None
        self._job: int | None = None
        self._fed: dict[int, Prepared] = {}
        self._unwanted: set[AttemptId] = set()
        self._number = 0
        self._running: int | None = None
        self._running_since_s = 0.0
        self._started_s = 0.0
        self._next_start_s = 0.0
        self._memory_checked_s = 0.0
        self.memory_bytes = 0
        """Private memory of its executor when it was last measured."""
        self._failed_starts = 0
        self._mean_s: float | None = None
        self._is_closing = False
        if process is not None:
            self._expect(process)

    # ---------------------------------------------------------------------------------------------------- being used

    def start(self) -> None:
        """Start an executor, if there is none and it is time."""
        if self._process is not None or self._is_closing or time.monotonic() < self._next_start_s:
            return
        if not self._executors.is_ready:
            return
        self._started_s = time.monotonic()
        try:
            limit = data_limit_bytes(self._executors.memory_bytes)
            self._process = self._executors.start(self._index, data_limit_bytes=limit)
        except OSError as error:
            self._note_failed_start(f"No executor can be started: {error}.", b"")
            return
        self._expect(self._process)

    def room(self, job: int) -> int:
        """How many more orders of this job it takes now. An idle executor of another job is replaced first."""
        if self._channel is None or self._capture is None or self._is_closing:
            return 0
        if self._job is not None and self._job != job:
            if not self._fed:
                self.end_running(None)
            return 0
        depth = 1
        if self._mean_s is not None and self._mean_s < _AHEAD_S:
            depth += min(_MAX_AHEAD, int(_AHEAD_S / max(self._mean_s, 1e-6)))
        # half empty before it is filled again: orders travel in batches
        return depth - len(self._fed) if len(self._fed) <= depth // 2 else 0

    def feed(self, work: Iterable[Prepared]) -> None:
        """Send attempts to run after those sent before; as many as there is `room` for, all of one job."""
        orders: list[Order] = []
        for prepared in work:
            if self._job is None:
                self._job = prepared.job.definition.job
                self._send(Job(definition=prepared.job.definition, code_folder=str(prepared.job.code_folder)))
            self._number += 1
            self._fed[self._number] = prepared
            orders.append(self._order(self._number, prepared))
        if orders:
            self._send(Orders(orders=tuple(orders)))

    def withdraw(self, attempts: set[AttemptId]) -> None:
        """Ask for those that have not begun; `attempt_withdrawn` tells which."""
        numbers = tuple(number for number, work in self._fed.items() if work.assignment.id in attempts)
        if numbers:
            self._send(Withdraw(numbers=numbers))

    def cancel(self, attempt: AttemptId) -> None:
        """See that the attempt does not run, or no longer; nothing is told about it."""
        for number, work in self._fed.items():
            if work.assignment.id == attempt:
                self._unwanted.add(attempt)
                self._look()
                if self._capture is not None and self._capture.current == number:
                    self.end_running(None)
                else:
                    self._send(Withdraw(numbers=(number,)))
                return

    def end_running(self, why: Reason | None) -> None:
        """End the attempt that runs, and the executor with it. None: nobody is told of it.

        One that is wanted goes back then: it began in the very moment in which the one before it was to be ended.
        """
        if self._process is not None:
            self._bury(self._process.end(), why=why or _silence)

    def close(self) -> None:
        """End the executor for good; nothing is told about its attempts."""
        self._is_closing = True
        self._fed.clear()
        self.end_running(None)

    @property
    def is_idle(self) -> bool:
        """Nothing was given to it that has not ended."""
        return not self._fed

    # --------------------------------------------------------------------------------------------------- time passes

    def tick(self) -> None:
        """Look at output, run time and memory of what runs, and at an executor that does not come up."""
        self.start()
        now_s = time.monotonic()
        if self._process is None:
            return
        if self._channel is None or self._capture is None:
            if self._process.has_ended() or now_s - self._started_s > self._settings.hello_s:
                self._bury(self._process.end())
            return
        self._look()
        self._note_running(now_s)
        if self._running is None:
            return
        work = self._fed[self._running]
        spec = work.job.definition.spec
        if now_s - self._running_since_s >= spec.task_timeout_seconds:
            self._bury(self._process.abort(), why=timed_out)
        elif now_s - self._memory_checked_s >= self._settings.memory_check_s:
            self._memory_checked_s = now_s
            used, limit = self._process.private_bytes(), memory_limit_bytes(spec)
            self.memory_bytes = used
            share = container_share_bytes(self._executors.memory_bytes, self._settings.slots) or limit
            if used > min(limit, share):
                is_containers = share < limit
                self.end_running(
                    lambda work, _: memory_exceeded(work, used, min(limit, share), is_containers=is_containers)
                )

    @property
    def needs_ticks(self) -> bool:
        """Whether something may happen that no message tells of."""
        return bool(self._fed) or self._capture is None

    # ------------------------------------------------------------------------------------------------ what comes in

    def _on_call(self, _ready: int) -> None:
        process = self._process
        if process is None:
            return
        try:
            connected, _ = process.listener.accept()
        except OSError:
            return
        self._owner.unwatch(process.listener)
        process.stop_listening()
        self._channel = Channel(connected)
        self._owner.watch(connected, selectors.EVENT_READ, self._on_ready)

    def _on_ready(self, ready: int) -> None:
        channel = self._channel
        if channel is None:
            return
        if ready & selectors.EVENT_WRITE:
            channel.flush()
            self._watch_channel(channel)
        if ready & selectors.EVENT_READ:
            try:
                for message in channel.receive():
                    self._accept(message)
            except ChannelClosed:
                if self._process is not None:
                    self._bury(self._process.end_after(2.0))

    def _accept(self, message: ToAgent) -> None:
        match message:
            case Hello():
                channel = self._channel
                if channel is None or channel.descriptor is None or message.version != VERSION:
                    raise ChannelClosed
                self._capture = Capture(channel.descriptor, message.nonce)
                channel.descriptor = None
            case Result():
                self._finish(message)
            case Withdrawn():
                for number in message.numbers:
                    work = self._fed.pop(number, None)
                    if work is not None and work.assignment.id not in self._unwanted:
                        self._owner.attempt_withdrawn(work.assignment.id)

    def _finish(self, result: Result) -> None:
        work = self._fed.pop(result.number, None)
        if work is None or self._capture is None:
            return
        self._failed_starts = 0
        self._capture.look(until_after=result.number)
        log = self._capture.take(result.number)
        if self._running == result.number:
            self._running = None
        outcome = result.output or result.failure
        if outcome is None:
            raise ChannelClosed
        if isinstance(outcome, Failure):
            outcome = in_users_names(outcome, work.job.code_folder, work.job.definition.spec.code)
        self._mean_s = result.run_s if self._mean_s is None else self._mean_s + 0.2 * (result.run_s - self._mean_s)
        if work.assignment.id not in self._unwanted:
            self._owner.attempt_ended(work, outcome, result.run_s, log)

    # --------------------------------------------------------------------------------------------------- its details

    def _expect(self, process: Executor) -> None:
        self._started_s = time.monotonic()
        self._owner.watch(process.listener, selectors.EVENT_READ, self._on_call)

    def _order(self, number: int, work: Prepared) -> Order:
        assignment = work.assignment
        return Order(
            number=number,
            id=assignment.id,
            target=work.job.target(assignment),
            budget_bytes=assignment.budget_bytes,
            split=assignment.split,
            sources=work.sources,
            inputs=work.inputs,
            scratch=self._scratch_of(work),
            trace=work.job.places.trace(assignment.id) if assignment.is_traced else "",
        )

    def _scratch_of(self, work: Prepared) -> str:
        """Merge passes may need much room: where outputs are made, if that is the executor's own folder."""
        if work.job.places.is_separate:
            return f"{work.job.places.output_work.executor}/slot-{self._index}"
        return self._process.temporary if self._process is not None else ""

    def _send(self, message: Job | Orders | Withdraw) -> None:
        if self._channel is not None:
            self._channel.send(message)
            if self._channel.backlog:
                self._watch_channel(self._channel)

    def _watch_channel(self, channel: Channel) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.backlog else 0)
        self._owner.watch(channel.socket, events, self._on_ready)

    def _look(self) -> None:
        if self._capture is not None:
            self._capture.look()

    def _note_running(self, now_s: float) -> None:
        current = self._capture.current if self._capture is not None else 0
        if current != self._running and current in self._fed:
            self._running, self._running_since_s = current, now_s
            attempt = self._fed[current].assignment.id
            if attempt in self._unwanted:
                self.end_running(None)
            else:
                self._owner.attempt_begun(attempt)

    def _bury(self, ending: Ending, why: Reason | None = None) -> None:
        """The executor has ended: take its last words, tell what became of its attempts, make way for the next one."""
        process, channel, capture = self._process, self._channel, self._capture
        if process is None:
            return
        self._process, self.memory_bytes = None, 0
        self._drain(channel)
        if channel is None:
            self._owner.unwatch(process.listener)
        else:
            self._owner.unwatch(channel.socket)
            channel.close()
        victim: Prepared | None = None
        log = b""
        if capture is not None:
            capture.look()
            victim = self._fed.pop(capture.current, None)
            log = capture.take(capture.current)
            capture.close()
        began_nothing = why is None and (capture is None or capture.current == 0)
        if victim is not None and victim.assignment.id in self._unwanted:
            victim = None
        rest = [work for work in self._fed.values() if work.assignment.id not in self._unwanted]
        run_s = time.monotonic() - self._running_since_s if self._running is not None else 0.0
        self._forget_executor()
        if self._is_closing:
            return
        if victim is not None:
            told = crash(victim, ending, log) if why is None else why(victim, log)
            if told is None:
                rest.insert(0, victim)
            else:
                self._owner.attempt_ended(victim, told, run_s, log)
        if rest:
            self._owner.attempts_returned(rest)
        if began_nothing and not ending.is_vanished:
            self._note_failed_start(f"An executor {ending} before it began anything.", log)
        else:
            self._next_start_s = 0.0
            self.start()

    def _drain(self, channel: Channel | None) -> None:
        """Results that were sent before the end count."""
        if channel is None:
            return
        try:
            for message in channel.receive():
                self._accept(message)
        except ChannelClosed:
            return

    def _forget_executor(self) -> None:
        self._channel = self._capture = self._job = self._running = None
        self._fed.clear()
        self._unwanted.clear()
        self._number = 0

    def _note_failed_start(self, problem: str, said: bytes) -> None:
        self._failed_starts += 1
        self._next_start_s = self._started_s + min(0.1 * 2**self._failed_starts, _MAX_START_PAUSE_S)
        if self._failed_starts >= _MAX_FAILED_STARTS:
            self._owner.executors_fail(start_failed(problem, said))


def _silence(_work: Prepared, _log: bytes) -> None:
    """Nobody is told."""
