"""Workers whose processes their host has seen end: nobody waits for their leases."""

from __future__ import annotations

import pytest

from mapreduce.scheduling import events
from tests.support.machines import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_a_gone_worker_held_is_free_at_once_and_its_commit_is_refused(bench: Bench) -> None:
    bench.begin_job(maps=1)
    bench.register("gone")
    bench.register("other")
    old = bench.lease_one("gone")
    bench.turn(events.WorkersGone(("gone",)))
    new = bench.lease_one("other")
    assert (new.index, new.attempt) == (old.index, old.attempt + 1)
    bench.register("gone", held=[old])
    assert bench.commit("gone", old).reason == "lease lost"


@pytest.mark.parametrize(("is_charged", "lost"), [(True, 1), (False, 0)])
def test_a_task_is_charged_for_its_worker_only_if_it_may_have_ended_it(
    bench: Bench, is_charged: bool, lost: int
) -> None:
    bench.begin_job(maps=1)
    bench.register("gone")
    bench.lease_one("gone")
    bench.turn(events.WorkersGone(("gone",), is_charged))
    assert bench.job.maps.lost[0] == lost


def test_names_that_nobody_knows_say_nothing(bench: Bench) -> None:
    bench.begin_job(maps=1)
    before = list(bench.log)
    bench.turn(events.WorkersGone(("never", "seen")))
    assert bench.log == before
