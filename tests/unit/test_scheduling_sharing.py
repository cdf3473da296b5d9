"""Sharing out the tail of a phase: what is taken back from one worker for another that has nothing to do."""

from __future__ import annotations

import pytest

from mapreduce.protocol import messages as m
from tests.support.machines import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_unstarted_attempts_are_taken_back_for_an_idle_worker_once_acknowledged(bench: Bench) -> None:
    bench.begin_job(maps=4)
    bench.register("busy")
    bench.register("idle")
    running, *queued = bench.lease("busy", want=4)
    assert not bench.next("idle", wait_s=20).tasks
    orders = bench.heartbeat("busy", running=[running], queued=queued).take_back
    assert set(orders) <= set(queued)
    assert len(orders) == 2
    assert not bench.lease("idle"), "an order alone moves nothing"
    assert all(bench.release("busy", order).accepted for order in orders)
    retaken = bench.lease_one("idle")
    assert retaken.index in {order.index for order in orders}
    assert bench.job.maps.charged[retaken.index] == bench.job.maps.lost[retaken.index] == 0


def test_what_was_taken_back_goes_to_the_worker_that_waits_not_to_the_one_that_gave_it(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("busy")
    bench.register("idle")
    running, queued = bench.lease("busy", want=2)
    waiting = bench.next("idle", wait_s=20)
    assert not waiting.tasks
    assert bench.heartbeat("busy", running=[running], queued=[queued]).take_back == (queued,)
    assert not bench.next("busy", finished=[m.Release(id=queued)], want=1).tasks
    [task] = bench.next("idle", wait_s=20, call=bench.calls["idle"]).tasks
    assert task.id.index == queued.index


def test_nothing_is_taken_back_while_nobody_waits(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("busy")
    bench.register("other")
    running, queued = bench.lease("busy", want=2)
    assert bench.heartbeat("busy", running=[running], queued=[queued]).take_back == ()


def test_an_attempt_that_began_meanwhile_is_not_taken_back(bench: Bench) -> None:
    bench.begin_job(maps=2)
    bench.register("busy")
    bench.register("idle")
    one, two = bench.lease("busy", want=2)
    bench.next("idle", wait_s=20)
    assert bench.heartbeat("busy", running=[one], queued=[two]).take_back == (two,)
    assert bench.heartbeat("busy", running=[one, two]).take_back == ()
    assert bench.commit("busy", two).accepted


def test_what_a_free_slot_is_about_to_begin_is_not_taken_back(bench: Bench) -> None:
    bench.begin_job(maps=3)
    bench.register("fetching", slots=2)
    bench.register("idle")
    held = bench.lease("fetching", want=3)
    assert not bench.next("idle", wait_s=20).tasks
    assert bench.heartbeat("fetching", queued=held).take_back == (held[2],)
