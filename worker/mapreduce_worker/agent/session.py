"""The worker's side of the protocol as a state machine: no thread, no socket, no clock. Time is an argument.

It knows which attempts this worker holds and how far each is, which call is due, and what an answer means. Running
attempts, sending calls and waiting between tries is `agent`; the scenario tests drive this same class over a simulated
network.
Every method can be called at any time: what does not fit the state changes nothing.

An attempt held is WAITING, RUNNING or DONE (its result not yet acknowledged). It leaves when its result is answered,
when the coordinator ends it, or when a registration does not list it under `keep`: then it may have been committed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mapreduce.protocol import messages as m
from mapreduce_worker.agent.actions import (
    EXIT_DONE,
    EXIT_TERMINATED,
    EXIT_UNREACHABLE,
    Action,
    CancelAttempt,
    CommitAccepted,
    Exit,
    StartAttempt,
    WithdrawAttempt,
)
from mapreduce_worker.agent.held import HeldAttempts, Stage
from mapreduce_worker.agent.pace import SessionSettings, is_low
from mapreduce_worker.agent.reports import Reports

#: Codes of refusals after which the worker registers again with what it holds.
_REJOIN_CODES: Final = frozenset({"epoch-changed", "unknown-worker", "stale-call"})
#: Statuses that say that the call itself is unacceptable: repeating it is no use.
_UNACCEPTABLE: Final = frozenset({400, 413, 422})


@dataclass(slots=True)
class Session:
    """What one worker knows of its coordinator.

    Use: `register_request` while `is_joined` is False; `next_request` when `due_s` has come; `heartbeat_request` every
    `heartbeat_s`. Feed each answer to the method of its name, every `ErrorReply` to `refused`, silence to `call_lost`.
    """

    worker: str
    slots: int
    now_s: float
    """Time of creation; the coordinator counts as heard then."""
    serve_url: str = ""
    reconnect_s: float = 600.0
    """How long the coordinator may be away."""
    settings: SessionSettings = field(default_factory=SessionSettings)

    epoch: int = 0
    """Highest epoch heard of; whatever speaks for a lower one is not believed."""
    token: str = ""
    is_joined: bool = False
    is_draining: bool = False
    """The coordinator wants this worker to take nothing more."""
    is_leaving: bool = False
    """This worker was told to go."""
    is_paused: bool = False
    """Nothing can run here now."""
    fetches_ahead: bool = False
    """What attempts read takes time to fetch: while one runs in each slot, the next is to be made ready."""
    keeps_runs: bool = False
    """Somebody wants to know which commits were accepted."""
    exit: Exit | None = None
    lease_s: float = 30.0
    heartbeat_s: float = 1.0

    _call: int = 0
    _open: m.NextRequest | None = None
    """The call whose answer has not come; repeated as it is until one does."""
    _is_flying: bool = False
    """The open call was sent, and it is not known yet whether an answer comes."""
    _flown_s: float = 0.0
    _attempts: HeldAttempts = field(default_factory=HeldAttempts)
    _reports: Reports = field(init=False)
    _withdrawing: set[m.AttemptId] = field(default_factory=set)
    _heard_s: float = field(init=False)
    _pause_until_s: float = 0.0
    _is_dry: bool = False
    """The last call brought no task; asked again once something ends or a slot is idle."""
    _mean_run_s: float | None = None

    def __post_init__(self) -> None:
        self._heard_s = self.now_s
        self._reports = Reports(self.settings.max_report_weight)

    # ------------------------------------------------------------------------------------------------------- joining

    def register_request(self) -> m.RegisterRequest:
        """What to register with: everything held, results that are not acknowledged included."""
        return m.RegisterRequest(
            worker=self.worker,
            slots=self.slots,
            protocol=m.PROTOCOL_VERSION,
            held=self._attempts.all(),
            serve_url=self.serve_url,
        )

    def registered(self, reply: m.RegisterReply, now_s: float) -> list[Action]:
        """The coordinator took this worker on. What it does not list under `keep` is dropped; the rest goes on."""
        if self.exit is not None or reply.epoch < self.epoch:
            return []
        self._heard_s = now_s
        self.epoch, self.token = reply.epoch, reply.session
        self.lease_s, self.heartbeat_s = reply.lease_s, reply.heartbeat_s
        self._call = max(self._call, reply.call)
        self._open, self._is_flying, self._is_dry = None, False, False
        self.is_joined = True
        keep = set(reply.keep)
        committed = [CommitAccepted(held) for held in reply.committed if self.keeps_runs and held in self._attempts]
        return [*committed, *self._end([held for held in self._attempts.all() if held not in keep])]

    # --------------------------------------------------------------------------------------------------------- calls

    def due_s(self, now_s: float) -> float | None:
        """When `next_request` should be asked for: a time that has come, one that will, or None (nothing to say)."""
        if not self.is_joined or self.exit is not None or self._is_flying:
            return None
        if self._open is not None:
            return self._pause_until_s
        if self._reports:
            if self.is_leaving or self._is_low():
                return now_s
            return self._reports.oldest_s + self.settings.report_s
        if self.is_leaving or (self._is_dry and not self._has_idle_slot()):
            return None
        if (self._is_low() and not (self.is_draining or self.is_paused)) or not self._attempts:
            return self._pause_until_s
        return None

    def next_request(self, now_s: float) -> m.NextRequest | None:
        """The call to send now, counted as sent: the open one again, or a new one; None if there is nothing to say."""
        if not self.is_joined or self.exit is not None or self._is_flying:
            return None
        if self._open is None:
            finished, want = self._reports.choose(), self._want()
            if not finished and self.is_leaving:
                return None
            self._call += 1
            self._open = m.NextRequest(
                epoch=self.epoch,
                worker=self.worker,
                call=self._call,
                finished=finished,
                want=want,
                wait_s=0.0 if finished else self._wait_s(),
            )
        self._is_flying, self._flown_s = True, now_s
        return self._open

    def next_answered(self, call: int, reply: m.NextReply, now_s: float) -> list[Action]:
        """The answer to call number `call`: verdicts end what was reported, tasks are to be run."""
        asked = self._open
        if asked is None or call != asked.call or self.exit is not None:
            return []
        if reply.epoch != self.epoch:
            return self._other_epoch(reply.epoch, now_s)
        self._heard_s = now_s
        self._open, self._is_flying = None, False
        for result in asked.finished:
            self._drop(result.id)
        self._reports.answered(now_s)
        actions: list[Action] = []
        if self.keeps_runs:
            commits = {result.id for result in asked.finished if isinstance(result, m.Commit)}
            actions += (CommitAccepted(said.id) for said in reply.verdicts if said.accepted and said.id in commits)
        actions += self._take(reply.tasks, now_s)
        self._is_dry = asked.want > 0 and not reply.tasks
        if not reply.tasks and not asked.finished and now_s - self._flown_s < self.settings.empty_pause_s:
            self._pause_until_s = now_s + (self.settings.empty_pause_s if asked.want else self.heartbeat_s)
        if reply.is_done:
            return [*self._end(list(self._attempts.all())), self._leave(Exit(EXIT_DONE, "no job is left"))]
        return actions

    def call_lost(self, now_s: float, retry_at_s: float, problem: str = "") -> list[Action]:
        """The open call or a registration got no answer; the same is sent again from `retry_at_s` on."""
        self._is_flying = False
        self._pause_until_s = max(self._pause_until_s, retry_at_s)
        return self.check_silence(now_s, problem)

    def heartbeat_request(self) -> m.HeartbeatRequest | None:
        """The heartbeat to send now; None while not joined. Results that wait to be acknowledged keep their leases."""
        if not self.is_joined or self.exit is not None:
            return None
        return m.HeartbeatRequest(
            epoch=self.epoch,
            worker=self.worker,
            running=self._attempts.begun()[:10_000],
            queued=self._attempts.waiting()[:100_000],
        )

    def heartbeat_answered(self, reply: m.HeartbeatReply, now_s: float) -> list[Action]:
        """Orders: end attempts, give back unstarted ones, take nothing more."""
        if not self.is_joined or self.exit is not None:
            return []
        if reply.epoch != self.epoch:
            return self._other_epoch(reply.epoch, now_s)
        self._heard_s = now_s
        self.heartbeat_s = reply.heartbeat_s
        self.is_draining = reply.is_drain
        reported = {result.id for result in self._open.finished} if self._open is not None else set()
        actions = self._end([held for held in reply.cancel if held not in reported])
        for held in reply.take_back:
            if self._attempts.stage(held) is Stage.WAITING and held not in self._withdrawing:
                self._withdrawing.add(held)
                actions.append(WithdrawAttempt(held))
        return actions

    def refused(
        self, status: int, error: m.ErrorReply, now_s: float, *, call: int | None = None, epoch: int | None = None
    ) -> list[Action]:
        """An answer of 400 and above to the `next` number `call`, or to a heartbeat that was sent to `epoch`."""
        if epoch is not None and epoch != self.epoch:
            return []
        is_open = call is not None and self._open is not None and call == self._open.call
        if self.exit is not None or (call is not None and not is_open):
            return []
        if 0 < error.epoch < self.epoch:
            return self._other_epoch(error.epoch, now_s)
        self._heard_s = now_s
        if is_open:
            self._is_flying = False
        if status == 401 or (status == 409 and error.code in _REJOIN_CODES):
            self._rejoin(now_s)
        elif is_open and status in _UNACCEPTABLE:
            self._split_report(error, now_s)
        else:
            self._pause_until_s = now_s + 1.0
        return []

    def register_refused(self, status: int, error: m.ErrorReply, now_s: float) -> list[Action]:
        """The coordinator does not take this worker on: for good (another protocol version), or not now."""
        if self.exit is None and status in _UNACCEPTABLE:
            return [self._leave(Exit(EXIT_UNREACHABLE, error.message))]
        return self.call_lost(now_s, now_s)

    def check_silence(self, now_s: float, problem: str = "") -> list[Action]:
        """Ends the worker when its coordinator has been away for longer than it may be."""
        if self.exit is None and now_s - self._heard_s >= self.reconnect_s:
            away_s = now_s - self._heard_s
            reason = f"no coordinator has answered for {away_s:.0f} s. {problem}".rstrip()
            return [self._leave(Exit(EXIT_UNREACHABLE, reason))]
        return []

    # ------------------------------------------------------------------------------------------------ what happens here

    def begun(self, attempt: m.AttemptId) -> None:
        """A waiting attempt runs now."""
        if self._attempts.stage(attempt) is Stage.WAITING:
            self._attempts.set(attempt, Stage.RUNNING)
            self._withdrawing.discard(attempt)

    def finished(self, result: m.Finished, now_s: float) -> None:
        """An attempt ended; its result is reported with the next call. Of an attempt not held it is forgotten."""
        stage = self._attempts.stage(result.id)
        if stage is None or stage is Stage.DONE:
            return
        self._attempts.set(result.id, Stage.DONE)
        self._reports.add(result, now_s)
        self._withdrawing.discard(result.id)
        if isinstance(result, m.Commit):
            mean_s = self._mean_run_s
            self._mean_run_s = result.run_s if mean_s is None else mean_s + 0.2 * (result.run_s - mean_s)
        if not isinstance(result, m.Release):
            self._is_dry = False

    def withdrawn(self, attempt: m.AttemptId, now_s: float) -> None:
        """A waiting attempt was taken out of the queue, as `WithdrawAttempt` asked: given back unstarted."""
        if self._attempts.stage(attempt) is Stage.WAITING:
            self.finished(m.Release(id=attempt, was_started=False), now_s)

    def leave(self) -> list[Action]:
        """Take nothing more, give back what has not begun; the worker goes once the rest is over and reported."""
        self.is_leaving = True
        return self.give_back()

    def set_paused(self, is_paused: bool) -> None:
        """Nothing can run here for the time being: take nothing more. Or attempts can run here again."""
        self.is_paused, self._is_dry = is_paused, False

    def give_back(self) -> list[Action]:
        """Give back what has not begun."""
        return [WithdrawAttempt(held) for held in self._attempts.waiting()]

    def terminated(self) -> list[Action]:
        """The time for leaving is over, or everything is reported."""
        return [] if self.exit is not None else [self._leave(Exit(EXIT_TERMINATED, "told to end"))]

    # ---------------------------------------------------------------------------------------------------------- looks

    @property
    def held(self) -> tuple[m.AttemptId, ...]:
        """Every attempt held, in order of its grant."""
        return self._attempts.all()

    @property
    def unfinished(self) -> tuple[m.AttemptId, ...]:
        """Attempts held that have no result yet."""
        return self._attempts.unfinished()

    def holds(self, attempt: m.AttemptId) -> bool:
        """Whether the attempt is this worker's and has no result yet."""
        return self._attempts.stage(attempt) in {Stage.WAITING, Stage.RUNNING}

    # -------------------------------------------------------------------------------------------------------- details

    def _other_epoch(self, epoch: int, now_s: float) -> list[Action]:
        """Another incarnation speaks: an older one is not believed, a newer one is joined."""
        if epoch > self.epoch:
            self._rejoin(now_s)
            return []
        return self.call_lost(now_s, now_s + 1.0)

    def _is_low(self) -> bool:
        """Whether the attempts that wait will soon be used up."""
        spare = self._attempts.busy_count - self.slots
        if self.fetches_ahead and spare < self.slots:
            return True
        return is_low(self.settings, spare, self.slots, self._mean_run_s)

    def _has_idle_slot(self) -> bool:
        return self._attempts.busy_count < self.slots

    def _want(self) -> int:
        """Slots that are free, or will be soon."""
        if self.is_leaving or self.is_draining or self.is_paused or not self._is_low():
            return 0
        free = self.slots - self._attempts.busy_count
        return free if free > 0 else self.slots

    def _wait_s(self) -> float:
        if not self._attempts:
            return self.settings.idle_wait_s
        return self.settings.busy_wait_s if self._has_idle_slot() else 0.0

    def _take(self, tasks: Iterable[m.Assignment], now_s: float) -> list[Action]:
        actions: list[Action] = []
        for task in tasks:
            if task.id in self._attempts:
                continue
            self._attempts.set(task.id, Stage.WAITING)
            if self.is_leaving:
                self.withdrawn(task.id, now_s)
            else:
                actions.append(StartAttempt(task))
        return actions

    def _end(self, attempts: list[m.AttemptId]) -> list[Action]:
        actions: list[Action] = []
        for attempt in attempts:
            if self.holds(attempt):
                actions.append(CancelAttempt(attempt))
            self._drop(attempt)
        return actions

    def _drop(self, attempt: m.AttemptId) -> None:
        self._attempts.drop(attempt)
        self._reports.drop(attempt)
        self._withdrawing.discard(attempt)

    def _rejoin(self, now_s: float) -> None:
        self.is_joined, self.token = False, ""
        self._open, self._is_flying = None, False
        self._pause_until_s = now_s

    def _split_report(self, error: m.ErrorReply, now_s: float) -> None:
        """The coordinator will not read this call: the next one says something else."""
        asked, self._open = self._open, None
        if asked is None or not asked.finished:
            self._pause_until_s = now_s + 1.0
            return
        given_up = self._reports.refused(asked.finished, error.message)
        if given_up is not None:
            self._drop(given_up)

    def _leave(self, action: Exit) -> Exit:
        self.exit, self.is_joined = action, False
        return action
