"""Which namespaces an operator looks after: one that may not be looked at is no reason to stop for the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from mapreduce_operator import facts, health, reach, watches
from mapreduce_operator.api import ApiError
from mapreduce_operator.health import Health
from mapreduce_operator.memory import Memories
from mapreduce_operator.naming import KIND
from mapreduce_operator.observing import Watches
from mapreduce_operator.queueing import Key
from mapreduce_operator.reach import Reach
from mapreduce_operator.watches import Children
from tests.support.memorycluster import MemoryCluster
from tests.support.operatorjobs import UID, Raw, worker


class Guarded(MemoryCluster):
    """A cluster some namespaces of which are closed to the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: dict[tuple[str, str], ApiError] = {}
        """By kind and namespace."""
        self.lists = 0

    def close(self, namespace: str, status: int = 403) -> None:
        """Nothing may be looked at there."""
        for kind in (KIND, "Pod", "StatefulSet", "Job"):
            self.closed[kind, namespace] = ApiError(status, "Forbidden", "no Role here")

    async def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[tuple[list[Raw], str]]:
        self.lists += 1
        if (error := self.closed.get((kind, namespace))) is not None:
            raise error
        async for page in super().pages(kind, namespace, selector):
            yield page

    async def watch(self, kind: str, namespace: str, selector: str, version: str, seconds: float) -> AsyncIterator[Raw]:
        while (error := self.closed.get((kind, namespace))) is None:
            yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
            await asyncio.sleep(0.001)
        raise error


@asynccontextmanager
async def _watching(cluster: Guarded, namespaces: tuple[str, ...]) -> AsyncIterator[Watches]:
    seen = Watches(
        tuple(Children("Pod", one, facts.pod, lambda _key: None) for one in namespaces),
        tuple(Children("StatefulSet", one, facts.stateful_set, lambda _key: None) for one in namespaces),
        tuple(Children("Job", one, facts.batch, lambda _key: None) for one in namespaces),
    )
    tasks = [asyncio.create_task(watch.run(cluster, watch_s=60)) for watch in seen.all]
    try:
        async with asyncio.timeout(20):
            yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _nothing() -> None:
    """Nobody wants to know."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_LOOK_S", 0.001)
    monkeypatch.setattr(watches, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(watches, "_LONGEST_PAUSE_S", 0.004)


@pytest.mark.parametrize("closed", ["team-a", "team-b"])
def test_a_namespace_that_may_not_be_looked_at_does_not_keep_the_others_waiting(
    closed: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        cluster = Guarded()
        cluster.close(closed)
        wanted = ("team-a", "team-b", "team-c")
        async with _watching(cluster, wanted) as seen:
            found = Reach(cluster, wanted)
            await found.wait_for_definition(_nothing)
            assert await found.find(seen, _nothing) == tuple(one for one in wanted if one != closed)

    asyncio.run(story())
    told = [record.getMessage() for record in caplog.records if record.name == reach.logger.name]
    assert len(told) == 1
    assert f"Namespace {closed} is not looked after" in told[0]
    assert "take it out of watchNamespaces" in told[0]


def test_a_namespace_whose_jobs_alone_may_not_be_listed_is_left_out_for_kopf_would_end() -> None:
    async def story() -> None:
        cluster = Guarded()
        cluster.closed[KIND, "team-b"] = ApiError(403, "Forbidden", "no jobs")
        async with _watching(cluster, ("team-a", "team-b")) as seen:
            assert await Reach(cluster, ("team-a", "team-b")).find(seen, _nothing) == ("team-a",)

    asyncio.run(story())


@pytest.mark.parametrize("is_opened", [True, False])
def test_when_a_namespace_can_be_looked_at_again_or_no_longer_the_operator_starts_anew(is_opened: bool) -> None:
    async def story() -> None:
        cluster = Guarded()
        wanted = ("team-a", "team-b")
        if is_opened:
            cluster.close("team-b")
        async with _watching(cluster, wanted) as seen:
            found = Reach(cluster, wanted)
            assert await found.find(seen, _nothing) == (("team-a",) if is_opened else wanted)
            waits = asyncio.create_task(found.until_changed(seen, look_s=0.001))
            await asyncio.sleep(0.02)
            assert not waits.done()
            if is_opened:
                cluster.closed.clear()
            else:
                cluster.close("team-b")
            await waits

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "words"), [(404, "Is the definition"), (403, "Give the operator's account its ClusterRole")]
)
def test_while_nothing_can_be_looked_at_the_start_waits_says_why_and_is_no_hang(
    status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[int] = []

    async def until(is_so: Callable[[], bool]) -> None:
        while not is_so():  # noqa: ASYNC110 - what is waited for is told by nothing else
            await asyncio.sleep(0.001)

    async def story() -> None:
        cluster = Guarded()
        cluster.close("", status)
        waits = asyncio.create_task(Reach(cluster, ()).wait_for_definition(lambda: steps.append(1)))
        async with asyncio.timeout(20):
            await until(lambda: len(steps) > 3)
            assert not waits.done()
            cluster.closed.clear()
            await waits

    asyncio.run(story())
    assert len(caplog.records) == 1
    assert words in caplog.records[0].getMessage()


# -------------------------------------------------------------------------------------------------------------- health


class Clock:
    """A monotonic clock that a test moves."""

    at_s = 1_000.0

    def monotonic(self) -> float:
        return self.at_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(health, "time", moved)
    return moved


def test_an_operator_that_starts_is_alive_and_not_ready(clock: Clock) -> None:
    probe = Health()
    assert probe.problem() == ""
    assert probe.unready() != ""
    probe.is_acting = True
    assert probe.unready() == ""


def test_a_start_that_stands_still_is_ended_and_one_that_is_answered_is_not(clock: Clock) -> None:
    probe = Health()
    clock.at_s += health._START_S
    probe.came_on()
    clock.at_s += health._START_S
    assert probe.problem() == ""
    clock.at_s += 1
    assert "stood still" in probe.problem()


def test_who_waits_for_another_ones_lease_is_alive_and_ready_for_any_time(clock: Clock) -> None:
    probe = Health()
    probe.is_standby = lambda: True
    clock.at_s += 10 * health._START_S
    assert probe.unready() == ""


def test_watches_that_never_hear_anything_are_noticed_before_the_start_is_over(clock: Clock) -> None:
    probe = Health()
    began_s = clock.at_s
    probe.watches_s = lambda: [began_s]
    clock.at_s += health._SILENT_S + 1
    probe.came_on()
    assert "heard nothing" in probe.problem()


# -------------------------------------------------------------------------------------------------------------- memory


def test_a_worker_that_was_told_of_while_its_pod_was_there_is_not_remembered_when_the_pod_goes() -> None:
    memories = Memories()
    memory = memories.of(UID, Key("team", "count"))
    gone = worker(0)
    memories.settle(UID, (gone.name,))
    assert memory.told == {gone.name}
    memories.depart("team", UID, gone)
    assert memories.departed(UID) == ()
    assert memory.told == set()


def test_a_worker_that_goes_while_it_is_told_of_is_settled() -> None:
    memories = Memories()
    memory = memories.of(UID, Key("team", "count"))
    memories.depart("team", UID, worker(0))
    assert [pod.name for pod in memories.departed(UID)] == [worker(0).name]
    memories.settle(UID, (worker(0).name,))
    assert memories.departed(UID) == ()
    assert memory.told == set()


def test_a_pod_of_another_namespace_is_no_worker_that_is_gone() -> None:
    memories = Memories()
    memories.of(UID, Key("team", "count"))
    memories.depart("theirs", UID, worker(0))
    assert memories.departed(UID) == ()
