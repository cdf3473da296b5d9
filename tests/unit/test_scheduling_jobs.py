"""Jobs: the queue, the phases, cancelling, outcomes that come too late."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, records, views
from mapreduce.scheduling.turn import Refusal
from tests.support.machines import Bench, failure, make_spec, output_of


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.register("a")
    return made


def test_a_job_maps_then_reduces_then_publishes(bench: Bench) -> None:
    bench.begin_job(maps=2, partitions=2)
    assert [attempt.task for attempt in bench.work_off("a")] == ["map-0", "map-1", "reduce-0", "reduce-1"]
    assert bench.job.phase == "Committing"
    bench.turn(events.Published(bench.job.id))
    assert bench.job.phase == "Complete"


def test_no_reduce_is_granted_before_the_last_map_is_committed(bench: Bench) -> None:
    bench.begin_job(maps=2, partitions=1)
    bench.register("b")
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.commit("a", one)
    assert not bench.lease("a")
    bench.commit("b", two)
    assert bench.lease_one("a").kind == "reduce"


def test_the_last_commit_and_the_first_reduce_travel_in_one_call(bench: Bench) -> None:
    bench.begin_job(maps=1, partitions=1)
    last = bench.lease_one("a")
    reply = bench.next("a", finished=[m.Commit(id=last, output=output_of(last))])
    assert [task.id.task for task in reply.tasks] == ["reduce-0"]


def test_a_map_only_job_publishes_its_maps(bench: Bench) -> None:
    bench.begin_job(maps=2, partitions=0, spec=make_spec(reducers=0))
    bench.work_off("a")
    assert bench.job.phase == "Committing"


def test_a_job_without_input_still_reduces_every_partition(bench: Bench) -> None:
    bench.begin_job(maps=0, partitions=2)
    assert bench.job.phase == "Reducing"
    assert len(bench.work_off("a")) == 2
    assert bench.job.phase == "Committing"


def test_a_map_only_job_without_input_is_published_at_once(bench: Bench) -> None:
    bench.begin_job(maps=0, partitions=0, spec=make_spec(reducers=0))
    assert bench.job.phase == "Committing"


def test_jobs_run_one_at_a_time_in_order_of_submission(bench: Bench) -> None:
    first = bench.begin_job(maps=1, partitions=1)
    second, third = bench.submit(), bench.submit()
    phases = [bench.state.jobs[job].phase.value for job in (first, second, third)]
    assert phases == ["Mapping", "Queued", "Queued"]
    bench.work_off("a")
    bench.turn(events.Published(first))
    assert bench.state.jobs[second].phase == "Planning"
    bench.turn(events.CancelRequested(second))
    assert bench.state.jobs[third].phase == "Planning"


def test_the_next_job_starts_in_the_turn_in_which_one_fails(bench: Bench) -> None:
    bench.begin_job(maps=1, spec=make_spec(max_attempts=1))
    second = bench.submit()
    bench.fail("a", bench.lease_one("a"), failure())
    assert bench.state.jobs[second].phase == "Planning"


@pytest.mark.parametrize("stage", ["Queued", "Planning", "Mapping", "Reducing"])
def test_a_job_can_be_cancelled_until_it_is_published(bench: Bench, stage: str) -> None:
    if stage == "Queued":
        bench.begin_job()
        job = bench.submit()
    else:
        job = bench.submit()
        if stage != "Planning":
            bench.plan(2, 1, job)
        if stage == "Reducing":
            bench.work_off("a", limit=2)
            bench.lease_one("a")
    assert bench.state.jobs[job].phase == stage
    assert bench.turn(events.CancelRequested(job)) is None
    assert bench.state.jobs[job].phase == "Cancelled"
    assert not bench.state.workers["a"].leases


def test_a_job_that_is_being_published_or_over_cannot_be_cancelled(bench: Bench) -> None:
    job = bench.begin_job(maps=1, partitions=1)
    bench.work_off("a")
    for _ in range(2):
        refused = bench.turn(events.CancelRequested(job))
        assert isinstance(refused, Refusal)
        assert refused.code == "conflict"
        bench.turn(events.Published(job))
    assert bench.job.phase == "Complete"


def test_cancelling_an_unknown_job_is_refused(bench: Bench) -> None:
    refused = bench.turn(events.CancelRequested(9))
    assert isinstance(refused, Refusal)
    assert refused.code == "not-found"


def test_outcomes_that_come_too_late_change_nothing(bench: Bench) -> None:
    job = bench.submit()
    bench.turn(events.CancelRequested(job))
    before = len(bench.log)
    late: list[events.Event] = [
        events.PlanMade(job, "plan", 1, 1, 1),
        events.Published(job),
        events.JobBroken(job, "BadInput", "gone"),
        events.OutputsMissing(job, (0,), "gone"),
        events.RunsProbed(job, (), ""),
    ]
    for event in late:
        bench.turn(event)
    assert len(bench.log) == before


def test_a_job_that_cannot_be_planned_fails_with_the_reason_given(bench: Bench) -> None:
    job = bench.submit()
    bench.turn(events.JobBroken(job, "InvalidInput", "no such file"))
    assert (bench.job.phase.value, bench.job.reason, bench.job.message) == ("Failed", "InvalidInput", "no such file")


def test_a_commit_repeated_after_the_end_of_its_job_is_still_accepted(bench: Bench) -> None:
    bench.begin_job(maps=1, partitions=0, spec=make_spec(reducers=0))
    attempt = bench.lease_one("a")
    bench.commit("a", attempt)
    bench.turn(events.Published(bench.job.id))
    assert bench.commit("a", attempt).accepted
    other = m.AttemptId(job=attempt.job, kind="map", index=0, attempt=2, epoch=1)
    assert bench.commit("a", other).reason == f"job {attempt.job} is Complete"


def test_counters_are_added_once_for_each_task(bench: Bench) -> None:
    bench.begin_job(maps=2, partitions=1)
    for _ in range(2):
        attempt = bench.lease_one("a")
        bench.commit("a", attempt, output_of(attempt, counters={"words": 3}))
    assert bench.job.counters == {"words": 6}


def test_commits_of_one_call_share_a_record(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("b", slots=3)
    attempts = bench.lease("b", want=3)
    before = len(bench.log)
    bench.next("b", finished=[m.Commit(id=one, output=output_of(one)) for one in attempts], want=0)
    shared = [record for record in bench.log[before:] if isinstance(record, records.TasksCommitted)]
    assert [len(record.commits) for record in shared] == [3]


def test_a_status_shows_how_far_a_job_is(bench: Bench) -> None:
    bench.begin_job(maps=3, partitions=1)
    bench.commit("a", bench.lease_one("a"))
    bench.fail("a", bench.lease_one("a"))
    bench.lease_one("a")
    shown = views.job_status(bench.state, bench.job)
    assert shown.maps == m.TaskCounts(total=3, running=1, committed=1, attempts_failed=1)
    assert shown.failures[0].failure.message == "it broke"
    assert shown.workers == 1
    assert shown.output_records == 0


def test_a_list_of_statuses_is_in_order_of_submission(bench: Bench) -> None:
    ids = [bench.submit() for _ in range(3)]
    shown = views.status_list(bench.state, 7, lambda _job: (0, 0))
    assert [status.job for status in shown.jobs] == ids
    assert shown.sequence == 7


def test_bytes_by_partition_are_logged_when_the_maps_are_complete(bench: Bench) -> None:
    bench.begin_job(maps=2, partitions=2)
    for _ in range(2):
        attempt = bench.lease_one("a")
        sizes = (m.PartitionSize(partition=1, bytes=40, records=4),)
        done = m.TaskOutput(bytes=50, records=4, digest=attempt.index, has_file=True, partitions=sizes)
        bench.commit("a", attempt, done)
    assert bench.job.partition_bytes == (0, 80)
