"""The tables, from both sides: what has no row raises and changes nothing; snapshots keep everything."""

from __future__ import annotations

import itertools

import pytest

from mapreduce.errors import IllegalTransition, WALForeign
from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, snapshot
from mapreduce.scheduling import records as r
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.transitions import (
    JOB_TRANSITIONS,
    TASK_TRANSITIONS,
    JobPhase,
    TaskState,
    next_phase,
    next_task_state,
)
from tests.support.machines import Bench, failure, make_spec, output_of

JOB_RECORDS: dict[type[r.Record], r.AnyRecord] = {
    r.JobStarted: r.JobStarted(1, 5.0),
    r.JobPlanned: r.JobPlanned(1, "plan", 2, 1, 9, 5.0),
    r.MapsCompleted: r.MapsCompleted(1, (), 5.0),
    r.JobCommitting: r.JobCommitting(1, 5.0),
    r.OutputLost: r.OutputLost(1, "map", (0,), "gone", 5.0),
    r.JobRebuilt: r.JobRebuilt(1, (), (), 5.0),
    r.JobFinished: r.JobFinished(1, "Failed", "Why", "because", 5.0),
}


def bench_in(phase: JobPhase) -> Bench:
    """A job in the given phase; map-0 is committed where there are maps."""
    bench = Bench()
    bench.register("a")
    if phase is JobPhase.QUEUED:
        bench.state.jobs.clear()
        evolve(bench.state, r.JobSubmitted(1, "job", make_spec(), "0" * 64, 1.0))
        return bench
    job = bench.submit()
    if phase is JobPhase.PLANNING:
        return bench
    bench.plan(2, 1)
    bench.work_off("a", limit=1)
    if phase in {JobPhase.REDUCING, JobPhase.COMMITTING, JobPhase.COMPLETE}:
        bench.work_off("a", limit=1)
    if phase in {JobPhase.COMMITTING, JobPhase.COMPLETE}:
        bench.work_off("a")
    if phase is JobPhase.COMPLETE:
        bench.turn(events.Published(job))
    if phase is JobPhase.FAILED:
        bench.turn(events.JobBroken(job, "Why", "because"))
    if phase is JobPhase.CANCELLED:
        bench.turn(events.CancelRequested(job))
    return bench


@pytest.mark.parametrize("phase", list(JobPhase))
@pytest.mark.parametrize("kind", list(JOB_RECORDS), ids=lambda kind: kind.__name__)
def test_a_job_changes_exactly_as_its_table_says(phase: JobPhase, kind: type[r.Record]) -> None:
    bench = bench_in(phase)
    assert bench.job.phase is phase
    before = snapshot.dump(bench.state)
    allowed = JOB_TRANSITIONS.get((phase, kind))
    if allowed is None:
        with pytest.raises(IllegalTransition, match="job 1"):
            evolve(bench.state, JOB_RECORDS[kind])
        assert snapshot.dump(bench.state) == before
    else:
        evolve(bench.state, JOB_RECORDS[kind])
        assert bench.job.phase in allowed


@pytest.mark.parametrize("phase", [phase for phase in JobPhase if not phase.is_final])
@pytest.mark.parametrize("wanted", list(JobPhase))
def test_a_job_ends_only_as_its_phase_allows(phase: JobPhase, wanted: JobPhase) -> None:
    bench = bench_in(phase)
    before = snapshot.dump(bench.state)
    record = r.JobFinished(1, wanted.value, "Why", "because", 5.0)
    if wanted in JOB_TRANSITIONS[phase, r.JobFinished]:
        evolve(bench.state, record)
        assert bench.job.phase is wanted
    else:
        with pytest.raises(IllegalTransition):
            evolve(bench.state, record)
        assert snapshot.dump(bench.state) == before


def task_records(attempt: m.AttemptId) -> dict[type[r.Record], r.AnyRecord]:
    return {
        r.LeasesGranted: r.LeasesGranted("a", 99, attempt.job, "map", (r.Grant(0, attempt.attempt + 1),), 5.0),
        r.TasksCommitted: r.TasksCommitted(
            "a", (r.Committed(attempt, has_file=True, bytes=1, records=1, digest=1),), 5.0
        ),
        r.AttemptFailed: r.AttemptFailed("a", attempt, failure(), 5.0),
        r.LeasesReleased: r.LeasesReleased("a", (attempt,), r.Release.LOST, 5.0),
        r.OutputLost: r.OutputLost(attempt.job, "map", (0,), "gone", 5.0),
    }


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("kind", [r.LeasesGranted, r.TasksCommitted, r.AttemptFailed, r.LeasesReleased, r.OutputLost])
def test_a_task_changes_exactly_as_its_table_says(state: TaskState, kind: type[r.Record]) -> None:
    bench = Bench()
    bench.register("a")
    bench.begin_job(maps=2)
    attempt = bench.lease_one("a")
    if state is TaskState.PENDING:
        bench.release("a", attempt)
    elif state is TaskState.COMMITTED:
        bench.commit("a", attempt)
    before = snapshot.dump(bench.state)
    after = TASK_TRANSITIONS.get((state, kind))
    record = task_records(attempt)[kind]
    if after is None:
        with pytest.raises(IllegalTransition, match="map-0"):
            evolve(bench.state, record)
        assert snapshot.dump(bench.state) == before
    else:
        evolve(bench.state, record)
        assert bench.job.maps.state[0] == after


@pytest.mark.parametrize("kind", [r.TasksCommitted, r.AttemptFailed, r.LeasesReleased])
def test_an_attempt_that_is_not_the_live_one_changes_nothing(kind: type[r.Record]) -> None:
    bench = Bench()
    bench.register("a")
    bench.begin_job(maps=2)
    old = bench.lease_one("a")
    bench.release("a", old)
    bench.lease_one("a")
    before = snapshot.dump(bench.state)
    with pytest.raises(IllegalTransition, match="no live attempt"):
        evolve(bench.state, task_records(old)[kind])
    assert snapshot.dump(bench.state) == before


def test_a_batch_of_which_one_entry_is_illegal_changes_nothing() -> None:
    bench = Bench()
    bench.register("a", slots=2)
    bench.begin_job(maps=2)
    one, two = bench.lease("a", want=2)
    bench.release("a", two)
    before = snapshot.dump(bench.state)
    commits = tuple(r.Committed(it, has_file=True, bytes=1, records=1, digest=1) for it in (one, two))
    illegal: list[r.AnyRecord] = [
        r.TasksCommitted("a", commits, 5.0),
        r.LeasesReleased("a", (one, two), r.Release.LOST, 5.0),
        r.LeasesReleased("a", (one, one), r.Release.LOST, 5.0),
        r.TasksCommitted("a", (commits[0], commits[0]), 5.0),
        r.LeasesGranted("a", 7, 1, "map", (r.Grant(1, 9), r.Grant(0, 9)), 5.0),
        r.LeasesGranted("a", 7, 1, "map", (r.Grant(1, 9), r.Grant(1, 10)), 5.0),
        r.OutputLost(1, "map", (0,), "gone", 5.0),
    ]
    for record in illegal:
        with pytest.raises(IllegalTransition):
            evolve(bench.state, record)
        assert snapshot.dump(bench.state) == before, record


def test_what_is_named_twice_or_does_not_exist_is_refused() -> None:
    bench = Bench()
    bench.register("a")
    bench.begin_job(maps=1)
    bench.lease_one("a")
    before = snapshot.dump(bench.state)
    illegal: list[r.AnyRecord] = [
        r.JobSubmitted(1, "again", make_spec(), "0" * 64, 1.0),
        r.JobStarted(9, 1.0),
        r.WorkerLeft("a", 1.0),
        r.WorkerLeft("nobody", 1.0),
        r.LeasesGranted("nobody", 1, 1, "map", (r.Grant(0, 2),), 1.0),
        r.LeasesGranted("a", 1, 9, "map", (r.Grant(0, 2),), 1.0),
        r.EpochStarted(1, 1.0),
        r.EpochStarted(0, 1.0),
    ]
    for record in illegal:
        with pytest.raises(IllegalTransition):
            evolve(bench.state, record)
        assert snapshot.dump(bench.state) == before, record


def test_the_error_of_an_illegal_event_tells_the_objects_story() -> None:
    with pytest.raises(IllegalTransition, match=r"job 7 is Complete: JobStarted .*JobStarted\(job=7"):
        next_phase(7, JobPhase.COMPLETE, r.JobStarted(7, 0.0))
    with pytest.raises(IllegalTransition, match=r"map-3 is PENDING: OutputLost is not allowed there"):
        next_task_state("map-3", TaskState.PENDING, r.OutputLost(1, "map", (3,), "gone", 0.0))


def test_no_row_leaves_a_final_phase() -> None:
    assert not [phase for phase, _ in JOB_TRANSITIONS if phase.is_final]


def test_every_record_survives_its_encoding() -> None:
    attempt = m.AttemptId(job=1, kind="map", index=0, attempt=1, epoch=1)
    some: list[r.AnyRecord] = [
        r.EpochStarted(3, 1.5),
        r.JobSubmitted(1, "job", make_spec(), "0" * 64, 1.0),
        r.WorkerRegistered("a", 2, "http://a", 1.0),
        r.WorkerLeft("a", 1.0),
        *JOB_RECORDS.values(),
        *task_records(attempt).values(),
        r.TasksCommitted(
            "a",
            (
                r.Committed(
                    attempt,
                    has_file=True,
                    bytes=1,
                    records=2,
                    digest=(1 << 64) - 1,
                    counters={"a": -1},
                    warnings={"b": 2},
                    step_s={"map": 0.5},
                    key_type="str",
                    is_sorted=True,
                ),
            ),
            1.0,
        ),
    ]
    for record in some:
        assert r.decode(r.encode(record)) == record


def test_a_snapshot_keeps_the_whole_state() -> None:
    for phase, extra in itertools.product(JobPhase, (False, True)):
        bench = bench_in(phase)
        bench.register("b", slots=3, serve_url="http://b")
        if extra:
            bench.lease("b", want=3)
        image = snapshot.dump(bench.state)
        loaded = snapshot.load(image)
        assert snapshot.dump(loaded) == image
        assert loaded.epoch == bench.state.epoch
        assert loaded.workers["b"] == bench.state.workers["b"]
        assert loaded.jobs[1].maps.peek_pending(9) == bench.job.maps.peek_pending(9)
        assert loaded.jobs[1].maps.most_lost == bench.job.maps.most_lost


def test_a_snapshot_of_a_newer_release_is_refused_in_words() -> None:
    image = snapshot.dump(Bench().state)
    newer = image.replace(b"format\x01", b"format\x02")
    assert newer != image
    with pytest.raises(WALForeign, match="format 2"):
        snapshot.load(newer)


def test_equal_states_give_equal_snapshots_whatever_the_order_of_workers() -> None:
    one, other = Bench(), Bench()
    for bench, names in ((one, ("a", "b")), (other, ("a", "b"))):
        for name in names:
            bench.register(name)
        bench.begin_job(maps=4)
        for attempt in bench.lease("a", want=2):
            bench.commit("a", attempt, output_of(attempt, counters={"x": 1, "y": 2}))
    assert snapshot.dump(one.state) == snapshot.dump(other.state)
