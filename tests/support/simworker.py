"""A simulated worker: the agent's real session and the executor's real task code; between them, simulated time.

It does real work at one moment and pretends that it took a while; before that it leaves the unfinished files that a
real attempt would have on the disk, so a worker killed at any step leaves what a real one leaves.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mapreduce.protocol import messages as m
from mapreduce.protocol import wire
from mapreduce_worker.agent.actions import Action, CancelAttempt, CommitAccepted, Exit, StartAttempt, WithdrawAttempt
from mapreduce_worker.agent.pace import SessionSettings
from mapreduce_worker.agent.session import Session
from mapreduce_worker.executor.failures import failure_of
from mapreduce_worker.executor.messages import Job, Order
from mapreduce_worker.executor.tasks import JobTasks
from tests.support.simattempts import STEPS, HeldAttempt, Preparing, Step
from tests.support.simnetwork import Answer
from tests.support.virtualtime import Program

if TYPE_CHECKING:
    from tests.support.simulation import Simulation

_RETRY_S = 0.3
#: Of a run that is handed in; small, so that each takes several calls.
_PIECE_BYTES = 150


class SimWorker:
    """One worker process with its executors."""

    def __init__(
        self, sim: Simulation, name: str, *, slots: int = 1, reconnect_s: float = 3_600.0, task_s: float | None = None
    ) -> None:
        self.sim, self.name, self.task_s = sim, name, task_s
        self.replicates = True
        """Whether it hands in its runs where the coordinator keeps copies."""
        self.program: Program = sim.loop.program(name)
        self.scratch = sim.root / "scratch" / name
        self.session = Session(
            worker=name,
            slots=slots,
            now_s=sim.loop.time(),
            serve_url=f"sim://{name}",
            reconnect_s=reconnect_s,
            settings=SessionSettings(),
        )
        self.session.keeps_runs = True
        self.jobs: dict[int, m.JobDefinition] = {}
        self.held: dict[m.AttemptId, HeldAttempt] = {}
        self.began: list[m.AttemptId] = []
        self._preparing = Preparing(self)
        self._replicating: set[m.AttemptId] = set()
        self._is_registering = False
        self._is_beating = False
        self._next_register_s = sim.loop.time()
        self._poked_s: float | None = None
        self._later(0.0, self._pump)
        self._later(0.0, self._beat)

    # ------------------------------------------------------------------------------------------------- from outside

    @property
    def is_gone(self) -> bool:
        """It has ended, by itself or not."""
        return self.program.is_dead

    def kill(self) -> None:
        """As by SIGKILL, executors included; its files stay."""
        self.sim.loop.kill(self.program)

    def pause(self) -> None:
        """As by SIGSTOP."""
        self.sim.loop.stop_program(self.program)

    def resume(self) -> None:
        """As by SIGCONT."""
        self.sim.loop.resume(self.program)

    def leave(self) -> None:
        """As by SIGTERM: hand back what has not begun, finish the rest, go."""
        self._later(0.0, lambda: self._carry_out(self.session.leave()))

    # --------------------------------------------------------------------------------------------------------- calls

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.sim.loop.call_as(self.program, delay_s, call)

    def _now_s(self) -> float:
        return self.sim.loop.time()

    def _poke(self, at_s: float | None = None) -> None:
        at_s = max(self._now_s(), at_s or 0.0)
        if self._poked_s is None or at_s < self._poked_s:
            self._poked_s = at_s
            self._later(at_s - self._now_s(), self._pump)

    def _pump(self) -> None:
        """Does whatever is due."""
        self._poked_s = None
        now_s, session = self._now_s(), self.session
        self._carry_out(session.check_silence(now_s))
        if session.exit is not None:
            return
        if not session.is_joined:
            self._register()
        elif session.is_leaving and not (session.held or self._replicating):
            self._carry_out(session.terminated())
            return
        else:
            due_s = session.due_s(now_s)
            if due_s is not None and due_s <= now_s:
                self._next()
            elif due_s is not None:
                self._poke(due_s)
        self._work()

    def _register(self) -> None:
        if self._is_registering:
            return
        if self._now_s() < self._next_register_s:
            self._poke(self._next_register_s)
            return
        self._is_registering = True
        self._call("register", self.session.register_request(), self._registered)

    def _registered(self, answer: Answer | None) -> None:
        self._is_registering = False
        self._next_register_s = self._now_s() + _RETRY_S
        if answer is None:
            self._carry_out(self.session.call_lost(self._now_s(), self._next_register_s))
        elif answer.status == 200:
            reply = msgspec.json.decode(answer.body, type=m.RegisterReply)
            self._carry_out(self.session.registered(reply, self._now_s()))
        else:
            self._carry_out(self.session.register_refused(answer.status, _error(answer), self._now_s()))
        self._poke()

    def _next(self) -> None:
        request = self.session.next_request(self._now_s())
        if request is None:
            return
        for done in request.finished:
            if isinstance(done, m.Commit):
                self.sim.at_step(self, "reporting", done.id)
        if self.program.is_dead:
            return
        self._call("next", request, lambda answer: self._answered(request, answer), wait_s=request.wait_s + 5.0)

    def _answered(self, request: m.NextRequest, answer: Answer | None) -> None:
        now_s = self._now_s()
        if answer is None:
            self._carry_out(self.session.call_lost(now_s, now_s + _RETRY_S))
        elif answer.status != 200:
            self._carry_out(self.session.refused(answer.status, _error(answer), now_s, call=request.call))
        else:
            reply = msgspec.json.decode(answer.body, type=m.NextReply)
            self.sim.heard(self, request, reply)
            for verdict in reply.verdicts:
                self._end(verdict.id)
            self._carry_out(self.session.next_answered(request.call, reply, now_s))
            for done in request.finished:
                if isinstance(done, m.Commit):
                    self.sim.at_step(self, "after", done.id)
        self._poke()

    def _beat(self) -> None:
        self._later(self.session.heartbeat_s, self._beat)
        request = self.session.heartbeat_request()
        if request is None or self._is_beating:
            return
        self._is_beating = True
        lease_s = min((job.spec.lease_seconds for job in self.jobs.values()), default=self.session.lease_s)
        wait_s = min(10.0, lease_s / 3)  # a lost answer must not cost the lease
        self._call("heartbeat", request, lambda answer: self._beaten(request.epoch, answer), wait_s=wait_s)

    def _beaten(self, epoch: int, answer: Answer | None) -> None:
        self._is_beating = False
        now_s = self._now_s()
        if answer is None:
            self._carry_out(self.session.check_silence(now_s))
        elif answer.status != 200:
            self._carry_out(self.session.refused(answer.status, _error(answer), now_s, epoch=epoch))
        else:
            self._carry_out(
                self.session.heartbeat_answered(msgspec.json.decode(answer.body, type=m.HeartbeatReply), now_s)
            )
        self._poke()

    def _call(
        self, name: str, message: object, on_answer: Callable[[Answer | None], None], *, wait_s: float = 5.0
    ) -> None:
        self.sim.network.call(self.program, name, wire.encode(message), on_answer, wait_s=wait_s)

    def ask(self, name: str, on_body: Callable[[bytes], None], again: Callable[[], None], **arguments: object) -> None:
        """A call that is made with the session's token, and again until it is answered."""

        def on_answer(answer: Answer | None) -> None:
            if answer is not None and answer.status == 200:
                on_body(answer.body)
            else:
                self._later(_RETRY_S, again)

        self._call(name, {"session": self.session.token, **arguments}, on_answer)

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartAttempt():
                    self.held[action.assignment.id] = HeldAttempt(action.assignment, self._now_s())
                case CancelAttempt():
                    self._end(action.id)
                case WithdrawAttempt():
                    attempt = self.held.get(action.id)
                    if attempt is not None and not attempt.is_running:
                        self._end(action.id)
                        self.session.withdrawn(action.id, self._now_s())
                case CommitAccepted():
                    self._replicate(action.id)
                case Exit():
                    self.sim.exits[self.name] = action
                    self.sim.loop.kill(self.program)
        if actions:
            self._poke()

    def _end(self, attempt: m.AttemptId) -> None:
        held = self.held.pop(attempt, None)
        if held is not None:
            held.is_over = True

    def _replicate(self, attempt: m.AttemptId, offset: int = 0) -> None:
        """Hand a committed run to the coordinator, piece by piece, where the workers share no volume with it."""
        definition = self.jobs[attempt.job]
        path = self.scratch / "runs" / str(attempt.job) / f"{attempt.stem}.run"
        if definition.data == "path" or attempt.kind == "reduce" or not self.replicates or not path.exists():
            return
        self._replicating.add(attempt)
        content = path.read_bytes()
        piece = content[offset : offset + _PIECE_BYTES]
        where = {"worker": self.name, "job": attempt.job, "stem": attempt.stem, "offset": offset, "size": len(content)}

        def on_answer(answer: Answer | None) -> None:
            if answer is not None and answer.status == 200:
                reply = msgspec.json.decode(answer.body, type=m.UploadReply)
                if not reply.is_complete:
                    self._replicate(attempt, reply.received)
                    return
            elif answer is None or _error(answer).code != "conflict":
                self._later(_RETRY_S, lambda: self._replicate(attempt, offset))
                return
            self._replicating.discard(attempt)
            self._poke()

        self._call("put-run", {"session": self.session.token, "piece": piece, **where}, on_answer)

    # ---------------------------------------------------------------------------------------------------------- work

    def _work(self) -> None:
        """Prepares the first attempt that is not ready, and starts those that are while slots are free."""
        free = self.session.slots - sum(attempt.is_running for attempt in self.held.values())
        waiting = [attempt for attempt in self.held.values() if not attempt.is_running]
        for attempt in waiting:
            if not attempt.is_prepared:
                self._preparing.prepare(attempt)
                break
            if free <= 0:
                break
            free -= 1
            self._begin(attempt)

    def prepared(self, attempt: HeldAttempt) -> None:
        """The attempt can begin."""
        attempt.is_prepared = True
        self._poke()

    def _begin(self, attempt: HeldAttempt) -> None:
        attempt.is_running = True
        self.began.append(attempt.id)
        self.session.begun(attempt.id)
        self.sim.began(self, attempt.id)
        self._take_steps(attempt, list(STEPS[1:5]), self.sim.duration_s(self, attempt.id))

    def _take_steps(self, attempt: HeldAttempt, steps: list[Step], run_s: float) -> None:
        if attempt.is_over:
            return
        if not steps:
            self._complete(attempt, run_s)
            return
        step = steps[0]
        target = self._target(attempt)
        if step == "mapping":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(target.name + ".spill0").write_bytes(b"unfinished")
        elif step == "spilling":
            target.with_name(target.name + ".spill0").unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"unfinished")
        elif step == "closing":
            target.unlink(missing_ok=True)
            self._do(attempt)
        self.sim.at_step(self, step, attempt.id)
        self._later(run_s / 4, lambda: self._take_steps(attempt, steps[1:], run_s))

    def _do(self, attempt: HeldAttempt) -> None:
        """The real work; what it comes to is kept until the attempt has taken its time."""
        planned = self.sim.planned_failure(self, attempt.assignment)
        if planned is not None:
            attempt.outcome = planned
            return
        order = self._order(attempt)
        runs = {source.map.stem: source.map for source in order.sources}
        try:
            attempt.outcome = self.sim.tasks_of(self.jobs[attempt.id.job]).run(order)
        except Exception as error:
            attempt.outcome = failure_of(error, runs)

    def _complete(self, attempt: HeldAttempt, run_s: float) -> None:
        match attempt.outcome:
            case m.TaskOutput() as output:
                self.finish(attempt, m.Commit(id=attempt.id, output=output, run_s=run_s))
            case m.Failure() as failure:
                self.finish(attempt, m.Fail(id=attempt.id, failure=failure, run_s=run_s))
            case None:
                raise AssertionError(f"{attempt.id} has done nothing")

    def finish(self, attempt: HeldAttempt, done: m.Finished) -> None:
        """The attempt has ended so."""
        self._end(attempt.id)
        self.session.finished(done, self._now_s())
        self._poke()

    def _target(self, attempt: HeldAttempt) -> Path:
        definition = self.jobs[attempt.id.job]
        if attempt.id.kind == "reduce" or not definition.partitions:
            return Path(definition.attempts_dir) / f"{attempt.id.stem}.out"
        if definition.spec.storage.shuffle == "Peer":
            return self.scratch / "runs" / str(definition.job) / f"{attempt.id.stem}.run"
        return Path(definition.runs_dir) / f"{attempt.id.stem}.run"

    def _order(self, attempt: HeldAttempt) -> Order:
        assignment = attempt.assignment
        definition = self.jobs[attempt.id.job]
        return Order(
            number=1,
            id=assignment.id,
            target=str(self._target(attempt)),
            budget_bytes=assignment.budget_bytes,
            split=assignment.split,
            sources=attempt.sources,
            scratch=str(self.scratch / "tmp"),
            trace=str(Path(definition.trace_dir) / f"{assignment.id.stem}.trace") if assignment.is_traced else "",
        )


def remove_scratch(worker: SimWorker) -> None:
    """The machine of a worker is gone, and its disk with it."""
    shutil.rmtree(worker.scratch, ignore_errors=True)


def load_tasks(definition: m.JobDefinition, code_folder: Path) -> JobTasks:
    """The executor's own code for all tasks of a job."""
    return JobTasks(Job(definition=definition, code_folder=str(code_folder / definition.code)))


def _error(answer: Answer) -> m.ErrorReply:
    return msgspec.json.decode(answer.body, type=m.ErrorReply)
