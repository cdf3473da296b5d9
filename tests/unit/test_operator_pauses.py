"""Jobs that cannot go on: they are looked at less and less often, and soon again when anything about them changes."""

from __future__ import annotations

import pytest

from mapreduce_operator import pauses
from mapreduce_operator.api import ApiError
from tests.support.operatorjobs import NOW_S, UID, Raw
from tests.support.operatorworld import KEY, NAMES, World, run_story


def test_pauses_grow_from_five_seconds_to_the_longest_one_and_differ_from_job_to_job() -> None:
    spans = [pauses.pause_s(looks, UID, longest_s=60.0) for looks in range(20)]
    assert all(0.75 * whole <= one <= whole for one, whole in zip(spans, (5, 10, 20, 40, 60, 60), strict=False))
    assert all(45 <= one <= 60 for one in spans[4:])
    assert spans == [pauses.pause_s(looks, UID, longest_s=60.0) for looks in range(20)]
    assert len({pauses.pause_s(3, f"uid-{number}", longest_s=60.0) for number in range(50)}) > 40


async def _pauses(world: World, count: int) -> list[float]:
    """The pauses of an operator to which nothing is told, one after the other."""
    found: list[float] = []
    for _ in range(count):
        pause_s = await world.look()
        assert pause_s is not None
        found.append(pause_s)
        world.time.at_s += pause_s
    return found


def _without_texts(**options: object) -> World:
    """A world in which the input's claim is not there."""
    world = World(**options)
    world.cluster.remove("PersistentVolumeClaim", "team", "texts")
    return world


def test_a_job_that_waits_for_a_claim_is_looked_at_less_and_less_often_but_once_a_minute() -> None:
    async def story() -> None:
        world = _without_texts()
        found = await _pauses(world, 8)
        assert found[0] <= 5
        assert sorted(found[:4]) == found[:4]
        assert 45 <= found[-1] <= 60

    run_story(story)


def test_an_edit_of_a_job_that_waits_has_it_looked_at_soon_again() -> None:
    async def story() -> None:
        world = _without_texts()
        assert (await _pauses(world, 8))[-1] > 40
        world.edit(lambda fields: fields.update(reducers=3))
        (soon,) = await _pauses(world, 1)
        assert soon <= 5

    run_story(story)


def test_a_pending_deadline_is_not_slept_through() -> None:
    async def story() -> None:
        world = _without_texts(pendingDeadlineSeconds=100)
        for _ in range(12):
            if (pause_s := await world.passes.look(KEY)) is None or world.job.is_true("Failed"):
                break
            world.time.at_s += pause_s
        assert world.job.is_true("Failed")
        assert world.time.at_s <= NOW_S + 102

    run_story(story)


@pytest.mark.parametrize(
    ("error", "longest_s"),
    [
        (ApiError(403, "Forbidden", "may not create secrets"), 300),
        (ApiError(403, "Forbidden", "exceeded quota: small"), 60),
        (ApiError(503, "Unavailable", "try later"), 60),
    ],
)
def test_what_the_api_server_refuses_again_and_again_is_tried_less_and_less_often(
    error: ApiError, longest_s: float
) -> None:
    async def story() -> None:
        world = World()
        world.refuse("create", "Secret", error)
        found = await _pauses(world, 14)
        assert 0.75 * longest_s <= found[-1] <= longest_s
        world.cluster.fault = lambda _call: False
        await world.settle()
        assert not world.job.is_true("Stalled")

    run_story(story)


def test_a_child_that_does_not_go_is_not_waited_for_five_times_a_second() -> None:
    async def story() -> None:
        world = World()
        owner = {"kind": "MapReduceJob", "uid": UID, "controller": True}
        metadata: Raw = {"name": NAMES.coordinator, "namespace": "team", "ownerReferences": [owner]}
        going = {**metadata, "deletionTimestamp": "2027-01-15T08:00:30Z", "finalizers": ["somebody/else"]}
        world.cluster.put({"kind": "Service", "metadata": going, "spec": {}})
        assert (await _pauses(world, 14))[-1] > 40

    run_story(story)


def test_words_about_pods_that_are_missing_are_asked_for_twice_a_minute_at_most_four_times() -> None:
    async def story() -> None:
        world = World()
        world.cluster.unready = {f"{NAMES.workers}-0"}
        for _ in range(5):
            world.cluster.settle()
            await world.look()
        world.time.at_s += 30
        asked = [call.verb for call in world.cluster.calls].count("events")
        for _ in range(60):  # two minutes, for a look takes two seconds
            await world.look()
        asked = [call.verb for call in world.cluster.calls].count("events") - asked
        assert 4 <= asked <= 8

    run_story(story)
