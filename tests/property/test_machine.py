"""The machine under any order of events: the invariants hold after every turn, and the log tells the same state.

Workers here are worse than real ones: they forget, repeat, report for others, come back after their lease. What they
were once told stays true: an accepted commit is the task's output until its bytes are declared gone.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, invariants, records
from mapreduce.scheduling.transitions import TaskState
from mapreduce.scheduling.turn import Refusal
from tests.support.machines import Bench, make_spec, output_of

WORKERS = st.sampled_from(["a", "b", "c"])
CLASSES = st.sampled_from(["user", "memory", "timeout", "crash", "lost", "disruption", "system", "input", "unstorable"])


class MachineUnderStress(RuleBasedStateMachine):
    attempts: Bundle[Any] = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.accepted: dict[m.AttemptId, int] = {}
        self.undone: set[m.AttemptId] = set()
        self.copies: dict[m.AttemptId, int] = {}
        """Whole copies of runs, with the digest of each."""
        self.seen_records = 0

    # -------------------------------------------------------------------------------------------------------- events

    @rule(
        maps=st.integers(0, 5),
        partitions=st.integers(0, 3),
        max_attempts=st.integers(1, 4),
        max_lost=st.integers(1, 4),
        shuffle=st.sampled_from(["Shared", "Peer"]),
        speculation=st.sampled_from(["Never", "Stragglers"]),
    )
    def a_job_is_submitted(
        self, maps: int, partitions: int, max_attempts: int, max_lost: int, shuffle: Any, speculation: Any
    ) -> None:
        if len(self.bench.state.jobs) > 6:
            return
        spec = make_spec(
            reducers=partitions,
            lease_s=10,
            max_attempts=max_attempts,
            max_lost_attempts=max_lost,
            shuffle=shuffle,
            speculation=speculation,
        )
        self.bench.begin_job(maps, partitions, spec)

    @rule(kind=st.sampled_from(["plan", "broken"]))
    def planning_ends(self, kind: str) -> None:
        job = self.bench.state.current_job
        if job is not None and kind == "plan":
            self.bench.plan(3, 2, job.id)
        elif job is not None and job.phase == "Planning":
            self.bench.turn(events.JobBroken(job.id, "InvalidInput", "it is gone"))

    @rule(worker=WORKERS, slots=st.integers(1, 3), remembers=st.booleans())
    def a_worker_registers(self, worker: str, slots: int, remembers: bool) -> None:
        known = self.bench.state.workers.get(worker)
        held = tuple(known.leases) if known is not None and remembers else ()
        reply = self.bench.register(worker, slots=slots, held=held, serve_url=f"http://{worker}")
        assert set(reply.keep) == set(held)

    @rule(target=attempts, worker=WORKERS, want=st.integers(1, 4))
    def a_worker_takes_work(self, worker: str, want: int) -> Any:
        reply = self.bench.try_next(worker, want=want)
        if isinstance(reply, Refusal):
            return multiple()
        again = self.bench.next(worker, want=want, call=self.bench.calls[worker])
        assert again.tasks == reply.tasks, "the same call gets the same answer"
        return multiple(*(task.id for task in reply.tasks))

    @rule(worker=WORKERS, count=st.integers(1, 5))
    def a_worker_works_well(self, worker: str, count: int) -> None:
        for _ in range(count):
            reply = self.bench.try_next(worker)
            if isinstance(reply, Refusal) or not reply.tasks:
                return
            for task in reply.tasks:
                output = output_of(task.id, counters={"n": 1})
                self._report(worker, m.Commit(id=task.id, output=output, run_s=0.2), is_repeated=False)

    @rule(target=attempts, slow=WORKERS, fast=WORKERS, seconds=st.integers(1, 5))
    def one_worker_is_slow(self, slow: str, fast: str, seconds: int) -> Any:
        """The other works off what else there is and takes what it then gets: where asked for, a backup attempt."""
        if slow == fast:
            return multiple()
        if self.bench.state.current_job is None and len(self.bench.state.jobs) <= 6:
            self.bench.begin_job(4, 2, make_spec(reducers=2, lease_s=10, speculation="Stragglers"))
        for worker in (slow, fast):
            if worker not in self.bench.state.workers:
                self.bench.register(worker, serve_url=f"http://{worker}")
        self.bench.try_next(slow)
        self.a_worker_works_well(fast, 6)
        for _ in range(seconds):
            for known in list(self.bench.state.workers.values()):
                self.bench.heartbeat(known.name, running=sorted(known.leases, key=str))
            self.bench.pass_time(1)
        self.bench.try_next(fast)
        return multiple(*(held for it in self.bench.state.workers.values() for held in sorted(it.leases, key=str)))

    @rule(worker=WORKERS, attempt=attempts, is_other=st.booleans(), is_repeated=st.booleans())
    def a_worker_commits(self, worker: str, attempt: m.AttemptId, is_other: bool, is_repeated: bool) -> None:
        digest = attempt.attempt if is_other else None
        done = m.Commit(id=attempt, output=output_of(attempt, digest=digest, counters={"n": 1}), run_s=0.2)
        self._report(worker, done, is_repeated=is_repeated)

    @rule(worker=WORKERS, attempt=attempts, kind=CLASSES, is_repeated=st.booleans())
    def a_worker_fails(self, worker: str, attempt: m.AttemptId, kind: Any, is_repeated: bool) -> None:
        self._report(worker, m.Fail(id=attempt, failure=m.Failure(failure_class=kind, message="x")), is_repeated)

    @rule(worker=WORKERS, attempt=attempts, index=st.integers(0, 5))
    def a_reader_reports_a_run(self, worker: str, attempt: m.AttemptId, index: int) -> None:
        job = self.bench.state.jobs[attempt.job]
        if attempt.kind == "reduce" and index < job.maps.count and job.maps.was_committed(index):
            lost = m.LostRun(map=job.maps.output(index).id, problem="gone")
            what = m.Failure(failure_class="run-lost", message="gone", lost_runs=(lost,))
            self._report(worker, m.Fail(id=attempt, failure=what), is_repeated=False)

    @rule(worker=WORKERS, attempt=attempts, is_repeated=st.booleans())
    def a_worker_releases(self, worker: str, attempt: m.AttemptId, is_repeated: bool) -> None:
        self._report(worker, m.Release(id=attempt), is_repeated)

    @rule(worker=WORKERS, split=st.integers(0, 4))
    def a_worker_beats(self, worker: str, split: int) -> None:
        known = self.bench.state.workers.get(worker)
        if known is None:
            return
        held = sorted(known.leases, key=str)
        reply = self.bench.heartbeat(worker, running=held[:split], queued=held[split:])
        assert not set(reply.cancel) & known.leases
        assert set(reply.take_back) <= set(held[split:])

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.9, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule(seconds=st.sampled_from([60.0, 86_400.0]))
    def the_node_is_paused(self, seconds: float) -> None:
        before = {worker.name: set(worker.leases) for worker in self.bench.state.workers.values()}
        self.bench.now_s += seconds
        self.bench.turn(events.Tick())
        assert before == {worker.name: worker.leases for worker in self.bench.state.workers.values()}

    @precondition(lambda self: self.bench.state.current_job is not None)
    @rule(index=st.integers(0, 5))
    def a_run_is_found_gone(self, index: int) -> None:
        job = self.bench.state.current_job
        assert job is not None
        is_shared = job.spec.storage.shuffle == "Shared"  # of a worker's own runs nobody else can tell
        if is_shared and index < job.maps.count and job.maps.was_committed(index) and not job.is_map_only:
            self.bench.turn(events.RunsProbed(job.id, (job.maps.output(index).id,), "gone"))

    @precondition(lambda self: self.bench.state.current_job is not None)
    @rule(first=st.integers(0, 5), count=st.integers(1, 6), is_other=st.booleans())
    def copies_of_runs_are_kept(self, first: int, count: int, is_other: bool) -> None:
        job = self.bench.state.current_job
        assert job is not None
        for index in range(first, min(first + count, job.maps.count)):
            if job.spec.storage.shuffle == "Peer" and job.maps.was_committed(index):
                run = job.maps.output(index)
                self.copies[run.id] = run.digest + is_other
                self.bench.turn(events.ReplicaKept(run.id, self.copies[run.id]))

    @precondition(lambda self: self.copies)
    @rule(number=st.integers(0, 20))
    def a_copy_is_found_bad(self, number: int) -> None:
        attempt = sorted(self.copies, key=str)[number % len(self.copies)]
        del self.copies[attempt]
        self.bench.turn(events.ReplicasBad(attempt.job, (attempt,), "cut short"))

    @rule(worker=WORKERS, is_charged=st.booleans())
    def a_workers_end_is_seen(self, worker: str, is_charged: bool) -> None:
        self.bench.turn(events.WorkersGone((worker,), is_charged))

    @precondition(lambda self: self.bench.state.current_job is not None)
    @rule(is_whole=st.booleans(), index=st.integers(0, 5))
    def publishing_ends(self, is_whole: bool, index: int) -> None:
        job = self.bench.state.current_job
        assert job is not None
        if job.phase == "Committing" and is_whole:
            self.bench.turn(events.Published(job.id))
        elif job.phase == "Committing" and index < job.outputs.count:
            self.bench.turn(events.OutputsMissing(job.id, (index,), "gone"))

    @rule(job=st.integers(1, 7))
    def a_user_cancels(self, job: int) -> None:
        if job % 3 == 0:
            self.bench.turn(events.CancelRequested(job))

    @rule(from_snapshot=st.booleans())
    def the_coordinator_restarts(self, from_snapshot: bool) -> None:
        self.bench.restart(from_snapshot=from_snapshot)
        self.bench.sessions.replicas = dict(self.copies)  # it finds them in its folder
        if from_snapshot:
            invariants.check_replay(self.bench.state, self.bench.replayed())

    @precondition(lambda self: self.bench.state.current_job is not None)
    @rule(trusted=st.integers(0, 63))
    def the_log_is_rebuilt(self, trusted: int) -> None:
        job = self.bench.state.current_job
        assert job is not None
        if job.phase not in {"Mapping", "Reducing", "Committing"}:
            return
        kept = []
        for table in (job.maps, job.reduces):
            committed = [i for i in range(table.count) if table.state[i] == TaskState.COMMITTED and trusted >> i & 1]
            outputs = [table.output(index) for index in committed]
            kept.append(tuple(records.Committed(o.id, o.has_file, o.bytes, o.records, o.digest) for o in outputs))
        self.bench.turn(records.JobRebuilt(job.id, kept[0], kept[1], self.bench.now_s))

    # -------------------------------------------------------------------------------------------------------- checks

    def _report(self, worker: str, done: m.Finished, is_repeated: bool) -> None:
        reply = self.bench.try_next(worker, finished=[done], want=0)
        if isinstance(reply, Refusal):
            return
        [verdict] = reply.verdicts
        if is_repeated and verdict.accepted and worker in self.bench.state.workers:
            again = self.bench.next(worker, finished=[done], want=0, call=self.bench.calls[worker])
            assert again.verdicts == reply.verdicts, "the same call gets the same answer"
        if verdict.accepted and isinstance(done, m.Commit):
            self.accepted[done.id] = 1

    @invariant()
    def no_accepted_commit_is_lost(self) -> None:
        for record in self.bench.log:
            if isinstance(record, records.OutputLost):
                job = self.bench.state.jobs[record.job]
                self.undone |= {
                    a for a in self.accepted if (a.job, a.kind) == (job.id, record.kind) and a.index in record.indexes
                }
            elif isinstance(record, records.JobRebuilt):
                self.undone |= {a for a in self.accepted if a.job == record.job}
        for attempt in self.accepted.keys() - self.undone:
            table = self.bench.state.jobs[attempt.job].table(attempt.kind)
            assert table.state[attempt.index] == TaskState.COMMITTED
            assert table.output(attempt.index).id == attempt

    @invariant()
    def no_run_with_a_copy_is_made_again(self) -> None:
        fresh, self.seen_records = self.bench.log[self.seen_records :], len(self.bench.log)
        for record in fresh:
            if isinstance(record, records.OutputLost) and record.kind == "map":
                table = self.bench.state.jobs[record.job].maps
                for index in record.indexes:
                    lost = table.output(index)
                    assert self.copies.get(lost.id) != lost.digest, f"{lost.id} has a copy"

    @invariant()
    def counters_count_each_task_once(self) -> None:
        for job in self.bench.state.jobs.values():
            done = sum(table.was_committed(i) for table in (job.maps, job.reduces) for i in range(table.count))
            assert job.counters.get("n", 0) == done

    @invariant()
    def attempts_are_bounded(self) -> None:
        for job in self.bench.state.jobs.values():
            for table in (job.maps, job.reduces):
                assert all(charged <= job.spec.max_attempts for charged in table.charged)
                assert all(lost <= job.spec.max_lost_attempts for lost in table.lost)
            if job.phase == "Failed":
                assert job.reason.isalpha()
                assert job.message

    def teardown(self) -> None:
        invariants.check_replay(self.bench.state, self.bench.replayed())


TestMachineUnderStress = MachineUnderStress.TestCase
TestMachineUnderStress.settings = settings(
    max_examples=400 if os.environ.get("EXHAUSTIVE") else 60,
    stateful_step_count=60,
    deadline=None,
    derandomize=not os.environ.get("EXHAUSTIVE"),
    suppress_health_check=list(HealthCheck),
)
