"""The numbers behind the decisions."""

from __future__ import annotations

import pytest

from mapreduce.model import MIB
from mapreduce.scheduling import policy
from tests.support.machines import Bench


def test_the_first_tasks_are_one_for_each_slot() -> None:
    assert policy.batch_size(mean_s=None, pending=100, slots=8, want=2) == 2


def test_short_tasks_come_in_batches_of_half_a_second_for_each_slot() -> None:
    assert policy.batch_size(mean_s=0.1, pending=10_000, slots=2, want=1) == 5
    assert policy.batch_size(mean_s=0.1, pending=10_000, slots=2, want=2) == 10


def test_long_tasks_come_one_by_one() -> None:
    assert policy.batch_size(mean_s=60.0, pending=10_000, slots=2, want=1) == 1


def test_a_batch_is_never_more_than_a_fair_share_of_what_is_left() -> None:
    assert policy.batch_size(mean_s=0.001, pending=10, slots=4, want=1) == 2
    assert policy.batch_size(mean_s=0.001, pending=1, slots=4, want=4) == 1


def test_a_batch_has_a_limit_even_for_tasks_that_take_no_time() -> None:
    assert policy.batch_size(mean_s=0.0, pending=1_000_000, slots=1, want=1) == policy.MAX_BATCH


@pytest.mark.parametrize("mean_s", [None, 0.0, 1e-9, 0.4, 0.6, 1e9])
@pytest.mark.parametrize("pending", [1, 2, 1_000_000])
@pytest.mark.parametrize("slots", [0, 1, 5_000])
@pytest.mark.parametrize("want", [1, 7])
def test_a_batch_holds_at_least_one_task_and_no_more_than_wait(
    mean_s: float | None, pending: int, slots: int, want: int
) -> None:
    assert 1 <= policy.batch_size(mean_s=mean_s, pending=pending, slots=slots, want=want) <= pending


def test_a_budget_is_halved_down_to_a_floor() -> None:
    assert policy.budget_bytes(256 * MIB, 0) == 256 * MIB
    assert policy.budget_bytes(256 * MIB, 1) == 128 * MIB
    assert policy.budget_bytes(256 * MIB, 8) == policy.MIN_BUDGET_BYTES


def test_heartbeats_are_at_least_thrice_a_lease_and_bounded_for_all_workers_together() -> None:
    settings = policy.Settings()
    assert policy.heartbeat_s(settings, 30.0, 3) == settings.max_heartbeat_s
    assert policy.heartbeat_s(settings, 30.0, 2_000) == 4.0
    assert policy.heartbeat_s(settings, 30.0, 1_000_000) == 10.0
    assert policy.heartbeat_s(settings, 1.0, 3) == pytest.approx(1 / 3)


def test_the_size_of_batches_follows_the_duration_of_tasks() -> None:
    bench = Bench()
    bench.register("a")
    bench.begin_job(maps=1_000)
    assert len(bench.lease("a")) == 1
    bench.sessions.learn_duration(bench.job.id, "map", 0.05)
    assert len(bench.lease("a")) == 10
