"""Copies of runs at the coordinator: what they protect, and what becomes of a run whose copy is gone."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, views
from tests.support.machines import Bench, failure, make_spec, output_of


@pytest.fixture
def bench() -> Bench:
    """Two maps are committed by `a`, of which only map-0 has a copy; `b` and `c` run the reduces."""
    made = Bench()
    made.register("a", serve_url="http://a")
    made.begin_job(maps=2, partitions=2, spec=make_spec(reducers=2, shuffle="Peer"))
    runs = made.work_off("a", limit=2)
    made.turn(events.ReplicaKept(runs[0], output_of(runs[0]).digest))
    made.register("b", serve_url="http://b")
    made.register("c", serve_url="http://c")
    return made


def run_of(bench: Bench, index: int) -> m.AttemptId:
    return bench.job.maps.output(index).id


def report(bench: Bench, worker: str, attempt: m.AttemptId, run: m.AttemptId) -> None:
    lost = (m.LostRun(map=run, problem="no answer"),)
    bench.fail(worker, attempt, m.Failure(failure_class="run-lost", message="runs are gone", lost_runs=lost))


def lose(bench: Bench, worker: str) -> None:
    bench.turn(events.WorkersGone((worker,), is_charged=False))


def test_a_worker_that_leaves_costs_only_runs_without_a_copy(bench: Bench) -> None:
    lose(bench, "a")
    assert bench.job.maps.remade == bench.job.maps.pending_count == 1
    assert bench.lease_one("b").task == "map-1"


def test_reports_of_many_readers_make_a_run_with_a_copy_never_again(bench: Bench) -> None:
    for _ in range(3):
        one, two = bench.lease_one("b"), bench.lease_one("c")
        report(bench, "b", one, run_of(bench, 0))
        report(bench, "c", two, run_of(bench, 0))
        bench.pass_time(1)
    assert bench.job.phase == "Reducing"
    assert bench.sessions.to_probe == {bench.job.id}


def test_a_report_after_the_worker_left_makes_a_run_with_a_copy_never_again(bench: Bench) -> None:
    bench.turn(events.ReplicaKept(run_of(bench, 1), output_of(run_of(bench, 1)).digest))
    one = bench.lease_one("b")
    lose(bench, "a")
    report(bench, "b", one, run_of(bench, 0))
    assert bench.job.phase == "Reducing"


def test_a_copy_that_is_bad_leaves_the_run_to_its_worker(bench: Bench) -> None:
    bench.turn(events.ReplicasBad(bench.job.id, (run_of(bench, 0),), "cut short"))
    assert bench.job.phase == "Reducing"
    assert not bench.sessions.has_replica(bench.job, 0)


def test_a_copy_that_is_bad_with_its_worker_gone_has_the_map_made_again(bench: Bench) -> None:
    bench.turn(events.ReplicaKept(run_of(bench, 1), output_of(run_of(bench, 1)).digest))
    lose(bench, "a")
    bench.turn(events.ReplicasBad(bench.job.id, (run_of(bench, 0),), "cut short"))
    assert bench.job.phase == "Mapping"
    assert bench.lease_one("b").task == "map-0"


def test_a_copy_of_other_content_is_none() -> None:
    bench = Bench()
    bench.register("a", serve_url="http://a")
    bench.begin_job(maps=1, spec=make_spec(shuffle="Peer"))
    [run] = bench.work_off("a", limit=1)
    bench.turn(events.ReplicaKept(run, output_of(run).digest + 1))
    assert not bench.sessions.has_replica(bench.job, 0)


def test_a_copy_that_came_before_the_commit_counts_from_the_commit_on() -> None:
    bench = Bench()
    bench.register("a", serve_url="http://a")
    bench.begin_job(maps=2, spec=make_spec(shuffle="Peer"))
    run = bench.lease_one("a")
    bench.turn(events.ReplicaKept(run, output_of(run).digest))
    assert not bench.sessions.has_replica(bench.job, run.index)
    bench.commit("a", run)
    assert bench.sessions.has_replica(bench.job, run.index)


def test_readers_are_told_which_runs_have_a_copy(bench: Bench) -> None:
    page = views.runs_page(bench.job, 0, 10, lambda _worker, _run: "url", bench.sessions.has_replica)
    assert [run.has_replica for run in page.runs] == [True, False]


def test_copies_of_a_job_that_is_over_are_forgotten(bench: Bench) -> None:
    bench.turn(events.CancelRequested(bench.job.id))
    assert bench.sessions.replicas == {}


def test_an_ordinary_failure_asks_for_no_look_at_copies(bench: Bench) -> None:
    bench.fail("b", bench.lease_one("b"), failure("user"))
    assert bench.sessions.to_probe == set()
