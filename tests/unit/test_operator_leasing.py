"""At most one operator acts: the Lease, with clocks that do not agree and a server that fails."""

from __future__ import annotations

import asyncio

import pytest

from mapreduce_operator.api import ApiError
from mapreduce_operator.leasing import Election
from tests.support.memorycluster import Call, MemoryCluster
from tests.support.operatorworld import Time

LASTS_S = 15.0


def _candidate(cluster: MemoryCluster, name: str, clock: Time) -> Election:
    return Election(cluster, "own", "lease", name, LASTS_S, now_s=clock.monotonic_s)


def test_the_first_gets_it_and_the_second_waits_as_long_as_it_is_renewed() -> None:
    async def story() -> None:
        cluster, clock = MemoryCluster(), Time()
        first, second = _candidate(cluster, "a", clock), _candidate(cluster, "b", clock)
        assert await first.attempt()
        for _ in range(10):
            clock.at_s += LASTS_S / 2
            assert not await second.attempt()
            assert await first.attempt()

    asyncio.run(story())


def test_a_holder_that_falls_silent_is_replaced_after_the_lease_by_the_other_ones_clock() -> None:
    async def story() -> None:
        cluster, here, there = MemoryCluster(), Time(), Time(at_s=5.0)
        first, second = _candidate(cluster, "a", here), _candidate(cluster, "b", there)
        assert await first.attempt()
        there.at_s += 1_000
        assert not await second.attempt(), "it sees the record for the first time"
        there.at_s += LASTS_S - 1
        assert not await second.attempt()
        there.at_s += 1
        assert await second.attempt()
        assert not await first.attempt(), "the earlier holder notices"
        assert not first.is_leader

    asyncio.run(story())


def test_of_two_that_take_it_at_once_one_gets_it() -> None:
    async def story() -> None:
        cluster, clock = MemoryCluster(), Time()
        candidates = [_candidate(cluster, name, clock) for name in "abc"]
        assert sum(await asyncio.gather(*(one.attempt() for one in candidates))) == 1

    asyncio.run(story())


def test_a_write_over_somebody_elses_is_refused() -> None:
    async def story() -> None:
        cluster, clock = MemoryCluster(), Time()
        first, second = _candidate(cluster, "a", clock), _candidate(cluster, "b", clock)
        assert await first.attempt()
        await second.attempt()
        clock.at_s += LASTS_S

        def renewed_meanwhile(call: Call) -> bool:
            if call.verb == "replace":
                cluster.fault = lambda _call: False
                cluster.objects["Lease", "own", "lease"]["metadata"]["resourceVersion"] = "later"
            return False

        cluster.fault = renewed_meanwhile
        assert not await second.attempt()

    asyncio.run(story())


def test_a_lease_that_is_released_is_free_at_once() -> None:
    async def story() -> None:
        cluster, clock = MemoryCluster(), Time()
        first, second = _candidate(cluster, "a", clock), _candidate(cluster, "b", clock)
        assert await first.attempt()
        assert not await second.attempt()
        await first.release()
        assert await second.attempt()

    asyncio.run(story())


def test_releasing_what_another_holds_changes_nothing() -> None:
    async def story() -> None:
        cluster, clock = MemoryCluster(), Time()
        first, second = _candidate(cluster, "a", clock), _candidate(cluster, "b", clock)
        await first.attempt()
        await second.attempt()
        clock.at_s += LASTS_S
        assert await second.attempt()
        await first.release()
        assert cluster.objects["Lease", "own", "lease"]["spec"]["holderIdentity"] == "b"

    asyncio.run(story())


def test_a_holder_that_cannot_renew_stops_before_another_may_begin() -> None:
    async def story() -> float:
        cluster = MemoryCluster()
        loop = asyncio.get_running_loop()
        holder = Election(cluster, "own", "lease", "a", 0.3, now_s=loop.time)
        assert await holder.attempt()
        renewed_s = loop.time()

        def down(_call: Call) -> bool:
            raise ApiError(0, "Unreachable", "no answer")

        cluster.fault = down
        await holder.hold()
        assert not holder.is_leader
        return loop.time() - renewed_s

    assert 0.2 <= asyncio.run(story()) < 2


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None}, {"holderIdentity": ""}])
def test_a_lease_without_a_holder_is_taken(spec: dict[str, object]) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put({"kind": "Lease", "metadata": {"name": "lease", "namespace": "own"}, "spec": spec})
        assert await _candidate(cluster, "a", Time()).attempt()

    asyncio.run(story())
