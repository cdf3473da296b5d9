"""What the coordinator knows of its workers and does not log: deadlines, what they run, orders for them. Pure.

All of it is lost with the process and made again from scratch: deadlines are re-armed, workers say anew what they hold.
Times are monotonic seconds; a wall clock that jumps changes nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mapreduce.protocol.messages import AttemptId, TaskKind
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import TaskState

#: Weight of the newest task in the running mean of task durations.
_MEAN_WEIGHT = 0.2


@dataclass(slots=True)
class Session:
    """One worker, as heard from in this incarnation."""

    deadline_s: float
    heard_s: float
    """When it called last."""
    last_call: int = 0
    is_answered: bool = False
    """The call `last_call` got its final answer: whoever waited for a task with it waits no more."""
    queued: frozenset[AttemptId] = frozenset()
    """Leased attempts that it has not begun, by its last heartbeat."""
    begun_s: dict[AttemptId, float] = field(default_factory=dict)
    """Since when it runs its attempts, as seen in its heartbeats."""
    memory_bytes: int = 0
    """Of its executors, by its last heartbeat."""
    cancel: set[AttemptId] = field(default_factory=set)
    take_back: set[AttemptId] = field(default_factory=set)


@dataclass(slots=True)
class Sessions:
    """All workers, all lease deadlines, and what was learned in passing."""

    workers: dict[str, Session] = field(default_factory=dict)
    deadlines_s: dict[AttemptId, float] = field(default_factory=dict)
    """When each live lease ends, unless its worker lists the attempt in a heartbeat before."""
    reports: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    """(job, map index) -> numbers of the workers that could not read its run, until somebody has looked at it."""
    refuted: set[AttemptId] = field(default_factory=set)
    """Runs that the coordinator looked at after a report and did not find lost."""
    to_probe: set[int] = field(default_factory=set)
    """Jobs whose runs someone should look at."""
    replicas: dict[AttemptId, int] = field(default_factory=dict)
    """Runs of which the coordinator has a copy, with the digest of the copy (Peer shuffle)."""
    mean_s: dict[tuple[int, TaskKind], float] = field(default_factory=dict)
    """Running mean of task durations."""
    partition_bytes: dict[int, list[int]] = field(default_factory=dict)
    """Bytes by partition of the current job's runs, as far as this incarnation saw their commits."""
    kept_back_s: dict[tuple[int, TaskKind, int], float] = field(default_factory=dict)
    """(job, kind, index) -> until when a pending task is not granted, because its last worker could not run it."""
    is_paused: bool = False
    """Nothing is granted: the disk is nearly full."""
    is_closing: bool = False
    """The host wants its workers to end."""
    last_turn_s: float | None = None

    @classmethod
    def rearmed(cls, state: State, now_s: float, *, lease_s: float, rejoin_s: float) -> Sessions:
        """Sessions for a state that was just replayed: every lease gets its full time again, and time to be found."""
        made = cls()
        until_s = now_s + max(lease_s, rejoin_s)
        for worker in state.workers.values():
            made.workers[worker.name] = Session(until_s, now_s)
            for attempt in worker.leases:
                made.deadlines_s[attempt] = until_s
        job = state.current_job
        if job is not None:
            for kind in (job.maps.kind, job.reduces.kind):
                for run_s in job.attempts.newest_durations_s(kind):
                    made.learn_duration(job.id, kind, run_s)
        return made

    def pass_time(self, now_s: float, pause_s: float) -> None:
        """Notes the time of a turn; after a silence of our own longer than `pause_s` every deadline moves by it.

        A coordinator that was stopped for a while (a whole node paused) heard nobody, so it may hold nobody's silence
        against him.
        """
        if self.last_turn_s is not None and now_s - self.last_turn_s > pause_s:
            gap_s = now_s - self.last_turn_s
            for session in self.workers.values():
                session.deadline_s += gap_s
                session.begun_s = {attempt: begun_s + gap_s for attempt, begun_s in session.begun_s.items()}
            for attempt in self.deadlines_s:
                self.deadlines_s[attempt] += gap_s
        self.last_turn_s = now_s

    def forget_ended(self, state: State) -> None:
        """Drops the deadlines of leases that are over."""
        live = {attempt for worker in state.workers.values() for attempt in worker.leases}
        self.deadlines_s = {attempt: at_s for attempt, at_s in self.deadlines_s.items() if attempt in live}

    def has_replica(self, job: Job, index: int) -> bool:
        """The run that map `index` committed exists at the coordinator too."""
        if not self.replicas or job.maps.state[index] != TaskState.COMMITTED:
            return False
        output = job.maps.output(index)
        return self.replicas.get(output.id) == output.digest

    def learn_duration(self, job: int, kind: TaskKind, run_s: float) -> None:
        """Folds the duration of one finished task into the running mean."""
        known = self.mean_s.get((job, kind))
        self.mean_s[job, kind] = run_s if known is None else known + _MEAN_WEIGHT * (run_s - known)

    def kept_back(self, job: int, kind: TaskKind) -> set[int]:
        """Indexes of the pending tasks that are not to be granted yet."""
        return {key[2] for key in self.kept_back_s if key[:2] == (job, kind)} if self.kept_back_s else set()

    def has_grantable(self, table: TaskTable) -> bool:
        """Some pending task is not kept back."""
        return table.pending_count > len(self.kept_back(table.job, table.kind))

    def let_go(self, now_s: float) -> None:
        """Tasks that were kept back long enough may be granted again."""
        for key in [key for key, until_s in self.kept_back_s.items() if until_s <= now_s]:
            del self.kept_back_s[key]

    def forget_job(self, job: int) -> None:
        """The job is over."""
        self.reports = {key: seen for key, seen in self.reports.items() if key[0] != job}
        self.refuted = {run for run in self.refuted if run.job != job}
        self.to_probe.discard(job)
        self.replicas = {run: digest for run, digest in self.replicas.items() if run.job != job}
        self.partition_bytes.pop(job, None)
        self.kept_back_s = {key: until_s for key, until_s in self.kept_back_s.items() if key[0] != job}
        for key in [key for key in self.mean_s if key[0] == job]:
            del self.mean_s[key]
