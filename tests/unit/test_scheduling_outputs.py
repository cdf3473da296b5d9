"""Outputs that were committed and are gone, or came back different: made again, never mixed."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, records
from mapreduce.scheduling.tasks import Output, TaskTable
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


def find_whole(bench: Bench, index: int) -> None:
    """The coordinator looks at a run after a report."""
    bench.turn(events.RunsProbed(bench.job.id, (), "", (run_of(bench, index),)))


def test_one_report_alone_makes_nothing_again_but_asks_for_a_look(bench: Bench) -> None:
    reader = bench.lease_one("a")
    bench.fail("a", reader, lost(run_of(bench, 0)))
    assert bench.job.phase == "Reducing"
    assert bench.job.maps.remade == 0
    assert bench.sessions.to_probe == {bench.job.id}


def test_a_look_that_finds_the_run_in_order_leaves_it(bench: Bench) -> None:
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0)))
    find_whole(bench, 0)
    assert bench.job.maps.remade == 0
    assert not bench.sessions.to_probe


def test_a_task_whose_reader_reports_a_run_is_not_granted_before_somebody_could_look(bench: Bench) -> None:
    reader = bench.lease_one("a")
    bench.fail("a", reader, lost(run_of(bench, 0)))
    assert bench.lease_one("a").task != reader.task
    assert bench.lease("a") == []
    bench.pass_time(1)
    assert bench.lease_one("a").task == reader.task


def test_readers_make_no_run_again_that_the_coordinator_can_look_at_itself(bench: Bench) -> None:
    for worker in ("a", "b"):
        for _ in range(2):
            bench.fail(worker, bench.lease_one(worker), lost(run_of(bench, 0)))
            find_whole(bench, 0)
            bench.pass_time(5)
    assert bench.job.phase == "Reducing"
    assert bench.job.maps.remade == 0


def test_a_report_of_a_run_that_was_found_whole_is_looked_at_and_counts_against_its_reader(bench: Bench) -> None:
    first = bench.lease_one("a")
    bench.fail("a", first, lost(run_of(bench, 0)))
    assert bench.job.reduces.lost[first.index] == 0
    find_whole(bench, 0)
    second = bench.lease_one("a")
    bench.fail("a", second, lost(run_of(bench, 0)))
    assert bench.job.reduces.lost[second.index] == 1
    assert bench.sessions.to_probe == {bench.job.id}
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "gone since"))
    assert bench.job.maps.remade == 1


def test_a_report_of_another_run_than_was_found_whole_counts_against_nobody(bench: Bench) -> None:
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0)))
    find_whole(bench, 0)
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0), run_of(bench, 1)))
    assert list(bench.job.reduces.lost) == [0, 0]


def test_a_reader_that_never_sees_what_is_there_fails_its_job_and_not_for_ever(bench: Bench) -> None:
    for _ in range(20):
        for reader in bench.lease("a", want=2):
            bench.fail("a", reader, lost(run_of(bench, 0)))
            find_whole(bench, 0)
        for _ in range(60):
            bench.heartbeat("a")
            bench.pass_time(1)
    assert (bench.job.phase, bench.job.reason) == ("Failed", "WorkersFailed")
    assert bench.job.maps.remade == 0
    assert max(bench.job.reduces.lost) == bench.job.spec.max_lost_attempts


def test_a_look_that_finds_it_gone_has_it_made_again(bench: Bench) -> None:
    bench.fail("a", bench.lease_one("a"), lost(run_of(bench, 0)))
    bench.turn(events.RunsProbed(bench.job.id, (run_of(bench, 0),), "run is gone"))
    assert bench.job.phase == "Mapping"
    assert bench.job.maps.remade == 1
    again = bench.lease_one("a")
    assert (again.task, again.attempt) == ("map-0", 2)
    bench.commit("a", again)
    assert bench.job.phase == "Reducing"


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
    bench.turn(events.RunsProbed(bench.job.id, (old,), "gone"))
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
    bench.pass_time(1)
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


def test_a_second_worker_that_cannot_read_a_run_has_it_made_again(peers: Bench) -> None:
    peers.register("c", serve_url="http://c")
    one, two = peers.lease_one("b"), peers.lease_one("c")
    peers.fail("b", one, lost(run_of(peers, 1)))
    assert peers.job.phase == "Reducing"
    peers.fail("c", two, lost(run_of(peers, 1)))
    assert peers.job.phase == "Mapping"
    assert peers.lease_one("b").task == "map-1"


def test_a_worker_is_not_its_own_second_witness_and_its_next_reports_count_against_it(peers: Bench) -> None:
    for _ in range(3):
        peers.fail("b", peers.lease_one("b"), lost(run_of(peers, 0)))
        peers.pass_time(10)
        peers.heartbeat("maker")
    assert peers.job.phase == "Reducing"
    assert list(peers.job.reduces.lost) == [2, 0]


def test_a_worker_that_has_read_all_runs_since_is_no_witness_any_more(peers: Bench) -> None:
    peers.register("c", serve_url="http://c")
    one, two = peers.lease_one("b"), peers.lease_one("c")
    peers.fail("b", one, lost(run_of(peers, 0)))
    peers.pass_time(1)
    peers.commit("b", peers.lease_one("b"))
    peers.fail("c", two, lost(run_of(peers, 0)))
    assert peers.job.phase == "Reducing"


def test_a_run_that_is_named_twice_in_a_report_is_one(peers: Bench) -> None:
    run = run_of(peers, 0)
    peers.fail("maker", peers.lease_one("maker"), lost(run, run))
    assert peers.job.maps.remade == 1


def test_a_worker_that_cannot_read_what_it_serves_is_believed_at_once(peers: Bench) -> None:
    peers.fail("maker", peers.lease_one("maker"), lost(run_of(peers, 0)))
    assert peers.job.phase == "Mapping"


def test_a_worker_that_nobody_contradicts_is_believed_before_its_job_would_fail(peers: Bench) -> None:
    limit = peers.job.spec.max_lost_attempts
    for _ in range(limit):
        assert peers.job.phase == "Reducing"
        peers.fail("b", peers.lease_one("b"), lost(run_of(peers, 0)))
        for _ in range(61):
            peers.pass_time(1)
            peers.heartbeat("maker")
            peers.heartbeat("b")
    assert peers.job.phase == "Reducing"
    peers.fail("b", peers.lease_one("b"), lost(run_of(peers, 0)))
    assert peers.job.phase == "Mapping"
    assert peers.job.reduces.lost[0] == limit - 1


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


@pytest.mark.parametrize(("told", "kept"), [("none", "none"), ("None", "none"), ("str", "str"), ("Money", "mixed")])
def test_the_type_of_an_outputs_keys_is_kept_also_by_the_name_that_older_logs_have(told: str, kept: str) -> None:
    attempt = m.AttemptId(job=1, kind="reduce", index=0, attempt=1, epoch=1)
    table = TaskTable(1, "reduce", 1)
    table.store_output(0, Output(attempt, True, 1, 1, 1, told, True), 0)
    assert table.output(0).key_type == kept
