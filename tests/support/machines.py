"""The scheduling machine with nothing around it: calls in the words of the protocol, a clock that is a number, checked
after every turn. No service, no files: that is `simulation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mapreduce.model import Code, Input, JobSpec, Output, Shuffle, Speculation, Storage
from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, invariants, records, snapshot
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.machine import Machine, Reply, Request
from mapreduce.scheduling.policy import Settings
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.turn import Refusal

SPLIT = m.Split(input=0, files=())
LEASE_S = 30


def make_spec(
    *,
    reducers: int | None = 1,
    lease_s: int = LEASE_S,
    max_attempts: int = 4,
    max_lost_attempts: int = 8,
    shuffle: Shuffle = "Shared",
    speculation: Speculation = "Never",
) -> JobSpec:
    """A job's specification; the machine never looks at its files."""
    return JobSpec(
        code=Code(inline="-"),
        inputs=(Input(uri="in"),),
        output=Output(uri="out"),
        reducers=reducers,
        lease_seconds=lease_s,
        max_attempts=max_attempts,
        max_lost_attempts=max_lost_attempts,
        storage=Storage(shuffle=shuffle),
        speculation=speculation,
    )


def output_of(
    attempt: m.AttemptId, *, digest: int | None = None, counters: dict[str, int] | None = None
) -> m.TaskOutput:
    """What a deterministic task makes: the same for every attempt."""
    return m.TaskOutput(
        bytes=100 + attempt.index,
        records=1,
        digest=1_000 + attempt.index if digest is None else digest,
        has_file=True,
        input_records=1 if attempt.kind == "map" else 0,
        counters=counters or {},
    )


def failure(failure_class: m.FailureClass = "user", message: str = "it broke") -> m.Failure:
    return m.Failure(failure_class=failure_class, message=message)


@dataclass
class Bench:
    """A machine, its log, and how to talk to it. Every turn is followed by a check of the invariants."""

    settings: Settings = field(default_factory=lambda: Settings(lease_s=LEASE_S))
    now_s: float = 1_000.0
    log: list[records.AnyRecord] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = Machine(State(), self.settings, split_of=lambda _job, _index: SPLIT)
        self.turn(records.EpochStarted(1, self.now_s))

    # ----------------------------------------------------------------------------------------------- looking at it

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def sessions(self) -> Sessions:
        return self.machine.sessions

    @property
    def job(self) -> Job:
        """The newest job."""
        return self.state.jobs[max(self.state.jobs)]

    def replayed(self) -> State:
        """The state that the log tells, through the encoding of the log."""
        state = State()
        for record in self.log:
            evolve(state, records.decode(records.encode(record)))
        return state

    # ------------------------------------------------------------------------------------------------------- events

    def turn(self, event: Request | events.Event | records.AnyRecord) -> Reply:
        decision = self.machine.turn(event, self.now_s, self.now_s)
        self.log += decision.records
        invariants.check(self.state, self.sessions)
        return decision.reply

    def pass_time(self, seconds: float) -> None:
        """Time passes in steps of a tick, as in a coordinator that is not paused."""
        while seconds > 0:
            step_s = min(seconds, 1.0)
            self.now_s += step_s
            seconds -= step_s
            self.turn(events.Tick())

    def restart(self, *, from_snapshot: bool = False) -> None:
        """The process dies; its successor has the log and nothing else."""
        state = snapshot.load(snapshot.dump(self.state)) if from_snapshot else self.replayed()
        invariants.check_replay(self.state, state)
        epoch = self.state.epoch + 1
        self.machine = Machine(state, self.settings, split_of=lambda _job, _index: SPLIT)
        lease_s = LEASE_S if state.current_job is None else state.current_job.spec.lease_seconds
        self.machine.sessions = Sessions.rearmed(state, self.now_s, lease_s=lease_s, rejoin_s=self.settings.rejoin_s)
        self.turn(records.EpochStarted(epoch, self.now_s))

    # --------------------------------------------------------------------------------------------------------- jobs

    def submit(self, spec: JobSpec | None = None) -> int:
        reply = self.turn(m.SubmitRequest(name="job", spec=spec or make_spec(), code="0" * 64))
        assert isinstance(reply, m.SubmitReply)
        return reply.job

    def plan(self, maps: int, partitions: int, job: int = 0) -> None:
        self.turn(events.PlanMade(job or self.job.id, "plan", maps, partitions, 100 * maps))

    def begin_job(self, maps: int = 2, partitions: int = 1, spec: JobSpec | None = None) -> int:
        """Submits and plans a job."""
        job = self.submit(spec)
        self.plan(maps, partitions, job)
        return job

    # ------------------------------------------------------------------------------------------------------ workers

    def register(
        self, worker: str, *, slots: int = 1, held: Sequence[m.AttemptId] = (), serve_url: str = ""
    ) -> m.RegisterReply:
        reply = self.turn(
            m.RegisterRequest(
                worker=worker, slots=slots, protocol=m.PROTOCOL_VERSION, held=tuple(held), serve_url=serve_url
            )
        )
        assert isinstance(reply, m.RegisterReply)
        self.calls[worker] = max(self.calls.get(worker, 0), reply.call)
        return reply

    def try_next(
        self,
        worker: str,
        *,
        finished: Sequence[m.Finished] = (),
        want: int = 1,
        call: int | None = None,
        epoch: int | None = None,
        wait_s: float = 0.0,
    ) -> m.NextReply | Refusal:
        if call is None:
            call = self.calls[worker] = self.calls.get(worker, 0) + 1
        reply = self.turn(
            m.NextRequest(
                epoch=self.state.epoch if epoch is None else epoch,
                worker=worker,
                call=call,
                finished=tuple(finished),
                want=want,
                wait_s=wait_s,
            )
        )
        assert isinstance(reply, m.NextReply | Refusal)
        return reply

    def next(
        self,
        worker: str,
        *,
        finished: Sequence[m.Finished] = (),
        want: int = 1,
        call: int | None = None,
        wait_s: float = 0.0,
    ) -> m.NextReply:
        reply = self.try_next(worker, finished=finished, want=want, call=call, wait_s=wait_s)
        assert isinstance(reply, m.NextReply), reply
        return reply

    def lease(self, worker: str, want: int = 1) -> list[m.AttemptId]:
        return [task.id for task in self.next(worker, want=want).tasks]

    def lease_one(self, worker: str) -> m.AttemptId:
        [attempt] = self.lease(worker)
        return attempt

    def commit(self, worker: str, attempt: m.AttemptId, output: m.TaskOutput | None = None) -> m.Verdict:
        done = m.Commit(id=attempt, output=output or output_of(attempt), run_s=1.0)
        [verdict] = self.next(worker, finished=[done], want=0).verdicts
        return verdict

    def fail(self, worker: str, attempt: m.AttemptId, what: m.Failure | None = None) -> m.Verdict:
        [verdict] = self.next(worker, finished=[m.Fail(id=attempt, failure=what or failure())], want=0).verdicts
        return verdict

    def release(self, worker: str, attempt: m.AttemptId) -> m.Verdict:
        [verdict] = self.next(worker, finished=[m.Release(id=attempt)], want=0).verdicts
        return verdict

    def heartbeat(
        self, worker: str, *, running: Sequence[m.AttemptId] = (), queued: Sequence[m.AttemptId] = ()
    ) -> m.HeartbeatReply:
        reply = self.turn(
            m.HeartbeatRequest(epoch=self.state.epoch, worker=worker, running=tuple(running), queued=tuple(queued))
        )
        assert isinstance(reply, m.HeartbeatReply), reply
        return reply

    def work_off(self, worker: str, limit: int = 1_000) -> list[m.AttemptId]:
        """Leases and commits until there is nothing to lease; what was done, in order."""
        done: list[m.AttemptId] = []
        while len(done) < limit and (attempts := self.lease(worker)):
            for attempt in attempts:
                assert self.commit(worker, attempt).accepted
                done.append(attempt)
        return done
