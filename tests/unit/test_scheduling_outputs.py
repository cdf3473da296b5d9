"""Outputs that were committed and are gone, or came back different: made again, never mixed."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, records
from tests.support.machines import LEASE_S, Bench, make_spec, output_of


def lost(*runs: m.AttemptId) -> m.Failure:
    reported = tuple(m.LostRun(map=run, problem="it is gone") for run in runs)
    return m.Failure(failure_class="run-lost", message="a run is gone", lost_runs=reported)


@pytest.fixture
def bench() -> Bench:
    """Two maps are committed, two reduces wait, two workers are there."""
    made = Bench()
    made.register("a", slots=2)
    made.register("b", slots=2)
    made.begin_job(maps=2, partitions=2)
    made.work_off("a", limit=2)
    assert made.job.phase == "Reducing"
    return made


def run_of(bench: Bench, index: int) -> m.AttemptId:
    return bench.job.maps.output(index).id


def test_one_report_alone_makes_nothing_again_but_asks_for_a_look(bench: Bench) -> None:
    reader = bench.lease_one("a")
    bench.fail("a", reader, lost(run_of(bench, 0)))
    assert bench.job.phase == "Reducing"
    assert bench.job.maps.remade == 0
    assert bench.sessions.to_probe == {bench.job.id}


def test_a_look_that_finds_the_run_in_order_leaves_it(bench: Bench) -> None:
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (), ""))
    assert bench.job.maps.remade == 0
    assert not bench.sessions.to_probe


def test_a_look_that_finds_it_gone_has_it_made_again(bench: Bench) -> None:
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "run is gone"))
    assert bench.job.phase == "Mapping"
    assert bench.job.maps.remade == 1
    again = bench.lease_one("a")
    assert (again.task, again.attempt) == ("map-0", 2)
    bench.commit("a", again)
    assert bench.job.phase == "Reducing"


def test_a_second_witness_has_it_made_again_without_a_look(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.fail("a", one, lost(run_of(bench, 1)))
    bench.fail("b", two, lost(run_of(bench, 1)))
    assert bench.job.phase == "Mapping"
    assert bench.lease_one("a").task == "map-1"


def test_a_report_of_a_run_that_was_made_again_since_counts_for_nothing(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    old = run_of(bench, 0)
    bench.fail("a", one, lost(old))
    bench.turn(events.RunsProbed(bench.job.id, (old,), "gone"))
    bench.commit("a", bench.lease_one("a"))
    bench.fail("b", two, lost(old))
    assert bench.job.phase == "Reducing"
    assert bench.job.maps.remade == 1


def test_a_look_at_a_run_that_was_made_again_since_counts_for_nothing(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    old = run_of(bench, 0)
    bench.fail("a", one, lost(old))
    bench.fail("b", two, lost(old))
    bench.commit("a", bench.lease_one("a"))
    bench.turn(events.RunsProbed(bench.job.id, (old,), "gone"))  # begun before, ended after
    assert bench.job.phase == "Reducing"
    assert bench.job.maps.remade == 1


def test_readers_of_a_map_made_again_with_the_same_content_go_on(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.fail("a", one, lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
    bench.commit("a", bench.lease_one("a"))
    assert bench.commit("b", two).accepted


def test_running_readers_of_a_map_that_came_out_different_start_again(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.fail("a", one, lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
    again = bench.lease_one("a")
    bench.commit("a", again, output_of(again, digest=666))
    assert bench.job.phase == "Reducing"
    assert bench.heartbeat("b", running=[two]).cancel == (two,)
    assert bench.commit("b", two).reason == "lease lost"
    assert bench.job.reduces.charged[two.index] == bench.job.reduces.lost[two.index] == 0
    assert [attempt.kind for attempt in bench.work_off("a")] == ["reduce", "reduce"]
    assert bench.job.phase == "Committing"


def test_a_map_that_came_out_different_under_a_committed_reader_fails_the_job(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.commit("a", one)
    bench.fail("b", two, lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
    again = bench.lease_one("a")
    bench.commit("a", again, output_of(again, digest=666))
    assert bench.job.phase == "Failed"
    assert bench.job.reason == "NonDeterministicMap"
    assert "map-0" in bench.job.message


def test_a_map_that_is_made_again_while_its_last_reader_commits_is_no_longer_needed(bench: Bench) -> None:
    one, two = bench.lease_one("a"), bench.lease_one("b")
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
    again = bench.lease_one("a")
    bench.commit("a", one)
    bench.commit("b", two)
    assert bench.job.phase == "Committing"
    assert bench.heartbeat("a", running=[again]).cancel == (again,)
    assert not bench.commit("a", again, output_of(again, digest=666)).accepted
    bench.turn(events.Published(bench.job.id))
    assert bench.job.phase == "Complete"


def test_reduces_that_wait_for_a_map_are_taken_back_so_that_their_worker_can_make_it(bench: Bench) -> None:
    waiting = bench.lease_one("a")
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
    orders = bench.heartbeat("a", queued=[waiting]).take_back
    assert orders == (waiting,)
    bench.release("a", waiting)
    assert bench.lease_one("a").task == "map-0"


def test_an_output_that_is_gone_before_it_is_published_is_made_again(bench: Bench) -> None:
    bench.work_off("a")
    assert bench.job.phase == "Committing"
    bench.turn(events.OutputsMissing(bench.job.id, (1,), "part is gone"))
    assert [attempt.task for attempt in bench.work_off("a")] == ["reduce-1"]
    assert bench.job.phase == "Committing"


def test_an_output_that_keeps_getting_lost_fails_the_job(bench: Bench) -> None:
    bench.work_off("a")
    for _ in range(8):
        assert bench.job.phase == "Committing"
        bench.turn(events.OutputsMissing(bench.job.id, (0,), "gone again"))
        bench.work_off("a")
    assert bench.job.phase == "Failed"
    assert bench.job.reason == "OutputKeepsGettingLost"


def test_a_run_that_keeps_getting_lost_fails_the_job(bench: Bench) -> None:
    for _ in range(8):
        assert bench.job.phase == "Reducing"
        bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone"))
        bench.work_off("a", limit=1)
    assert bench.job.phase == "Failed"
    assert bench.job.reason == "OutputKeepsGettingLost"


def test_counters_of_a_map_made_again_are_not_counted_again() -> None:
    bench = Bench()
    bench.register("a")
    bench.begin_job(maps=1, partitions=1)
    first = bench.lease_one("a")
    bench.commit("a", first, output_of(first, counters={"lines": 2}))
    bench.turn(events.RunsProbed(bench.job.id, (first,), "gone"))
    again = bench.lease_one("a")
    bench.commit("a", again, output_of(again, counters={"lines": 2}))
    assert bench.job.counters == {"lines": 2}


# --------------------------------------------------------------------------------------------------------- Peer shuffle


@pytest.fixture
def peers() -> Bench:
    """Worker `maker` made both maps and serves them; two reduces wait."""
    made = Bench()
    made.register("maker", serve_url="http://maker")
    made.register("b", serve_url="http://b")
    made.begin_job(maps=2, partitions=2, spec=make_spec(shuffle="Peer"))
    made.work_off("maker", limit=2)
    return made


def fall_silent(bench: Bench, *alive: str) -> None:
    for _ in range(LEASE_S):
        bench.now_s += 1
        for name in alive:
            bench.heartbeat(name)
        bench.turn(events.Tick())


def test_the_runs_of_a_worker_that_is_gone_are_made_again(peers: Bench) -> None:
    fall_silent(peers, "b")
    assert peers.job.phase == "Mapping"
    assert peers.job.maps.remade == 2
    assert [attempt.task for attempt in peers.work_off("b")] == ["map-0", "map-1", "reduce-0", "reduce-1"]


def test_one_report_of_a_run_that_nobody_serves_any_more_is_enough(peers: Bench) -> None:
    peers.machine.sessions.workers.pop("maker")
    del peers.state.workers["maker"]
    peers.fail("b", peers.lease_one("b"), lost(run_of(peers, 0)))
    assert peers.job.phase == "Mapping"


def test_runs_are_not_made_again_when_no_reader_is_left(peers: Bench) -> None:
    peers.work_off("b")
    assert peers.job.phase == "Committing"
    fall_silent(peers, "b")
    assert peers.job.maps.remade == 0


def test_an_empty_run_is_never_lost_with_its_worker() -> None:
    bench = Bench()
    bench.register("maker", serve_url="http://maker")
    bench.register("b", serve_url="http://b")
    bench.begin_job(maps=1, partitions=1, spec=make_spec(shuffle="Peer"))
    bench.commit("maker", bench.lease_one("maker"), m.TaskOutput())
    fall_silent(bench, "b")
    assert bench.job.phase == "Reducing"


# ----------------------------------------------------------------------------------------------------------- rebuilding


def test_after_rot_only_what_verified_stays_and_numbers_go_on(bench: Bench) -> None:
    running = bench.lease_one("a")
    kept = bench.job.maps.output(1)
    trusted = records.Committed(kept.id, has_file=True, bytes=kept.bytes, records=kept.records, digest=kept.digest)
    bench.turn(records.JobRebuilt(bench.job.id, (trusted,), (), bench.now_s))
    assert bench.job.phase == "Mapping"
    assert bench.job.reason == "WALCorrupt"
    assert bench.job.maps.committed_count == 1
    assert not bench.commit("a", running).accepted
    again = bench.lease_one("a")
    assert (again.task, again.attempt) == ("map-0", 2)
    bench.commit("a", again)
    assert bench.lease_one("a").attempt == 2, "the number of a void attempt is not used again"
    bench.restart()
