"""What is known of children: kept up to date by watches, and right again after any gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from mapreduce_operator import facts, ownership, watches
from mapreduce_operator.api import ApiError
from mapreduce_operator.facts import Pod
from mapreduce_operator.naming import Names
from mapreduce_operator.queueing import Key
from mapreduce_operator.watches import Children
from tests.support.memorycluster import Call, MemoryCluster
from tests.support.operatorjobs import UID, Raw

NAMES = Names("count", UID)


def _pod(name: str, **status: str) -> Raw:
    labels = NAMES.labels("worker")
    owner = {"kind": "Job", "name": NAMES.workers, "uid": "uid-of-workers", "controller": True}
    metadata = {"name": name, "uid": name, "namespace": "team", "labels": labels, "ownerReferences": [owner]}
    return {"kind": "Pod", "metadata": metadata, "status": status}


class Seen:
    """A watch, and what it tells."""

    def __init__(self, cluster: MemoryCluster, namespace: str = "team") -> None:
        self.cluster = cluster
        self.changed: list[Key] = []
        self.departed: list[str] = []
        self.children: Children[Pod] = Children(
            "Pod",
            namespace,
            facts.pod,
            self.changed.append,
            lambda _place, _uid, pod: self.departed.append(pod.name),
        )

    def names(self) -> list[str]:
        return sorted(pod.name for pod in self.children.of("team", UID))

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110 - what is waited for is told by nothing else
                await asyncio.sleep(0.001)


@asynccontextmanager
async def _watching(cluster: MemoryCluster) -> AsyncIterator[Seen]:
    seen = Seen(cluster)
    async with _running(seen):
        yield seen


@asynccontextmanager
async def _running(seen: Seen) -> AsyncIterator[None]:
    task = asyncio.create_task(seen.children.run(seen.cluster, watch_s=60))
    try:
        await seen.until(seen.children.is_complete.is_set)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "_FIRST_PAUSE_S", 0.001)


def test_what_is_there_and_what_comes_and_goes_is_known_and_told() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(_pod("a"))
        async with _watching(cluster) as seen:
            assert seen.names() == ["a"]
            cluster.put(_pod("b"))
            await seen.until(lambda: seen.names() == ["a", "b"])
            cluster.remove("Pod", "team", "a", is_forced=True)
            await seen.until(lambda: seen.names() == ["b"])
            assert seen.departed == ["a"]
            assert set(seen.changed) == {Key("team", "count")}

    asyncio.run(story())


def test_a_change_that_says_nothing_new_causes_nothing() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(_pod("a", phase="Running"))
        async with _watching(cluster) as seen:
            before = len(seen.changed)
            cluster.put(_pod("a", phase="Running"))
            cluster.put(_pod("b"))
            await seen.until(lambda: "b" in seen.names())
            assert len(seen.changed) == before + 1

    asyncio.run(story())


def test_what_was_deleted_in_a_gap_is_known_after_the_next_list() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(_pod("a"))
        async with _watching(cluster) as seen:
            del cluster.objects["Pod", "team", "a"]  # nobody tells
            cluster.changes.put_nowait({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
            await seen.until(lambda: seen.names() == [])
            assert seen.departed == ["a"]

    asyncio.run(story())


def test_a_server_that_says_410_again_and_again_is_not_flooded() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        lists = 0

        def expired(call: Call) -> bool:
            nonlocal lists
            lists += call.verb == "list"
            if call.verb == "watch":
                raise ApiError(410, "Expired", "too old")
            return False

        async with _watching(cluster) as seen:
            cluster.fault = expired
            cluster.changes.put_nowait({"type": "ERROR", "object": {"code": 410}})
            await seen.until(lambda: lists >= 2)
            await asyncio.sleep(0.02)
            assert lists < 12

    asyncio.run(story())


@pytest.mark.parametrize("error", [ApiError(0, "Unreachable", "reset"), ApiError(500, "", ""), ApiError(403, "", "")])
def test_a_watch_that_breaks_is_begun_again(error: ApiError) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        failures = 0

        def fault(call: Call) -> bool:
            nonlocal failures
            if call.verb == "watch" and failures < 3:
                failures += 1
                raise error
            return False

        cluster.fault = fault
        async with _watching(cluster) as seen:
            await seen.until(lambda: failures == 3)
            cluster.put(_pod("a"))
            await seen.until(lambda: seen.names() == ["a"])

    asyncio.run(story())


def test_a_watch_that_worked_before_it_broke_is_begun_again_as_soon_as_the_first_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proxy that ends every watch after a while must not make the operator deaf for longer and longer."""
    caplog.set_level(logging.INFO, logger=watches.logger.name)

    def pauses() -> list[float]:
        return [record.args[2] for record in caplog.records if isinstance(record.args, tuple)]  # type: ignore[misc]

    async def story() -> None:
        cluster = MemoryCluster()
        async with _watching(cluster) as seen:
            for number in range(6):
                cluster.put(_pod(f"pod-{number}"))
                await seen.until(lambda count=number + 1: len(seen.names()) == count)  # type: ignore[misc]
                cluster.changes.put_nowait({"type": "ERROR", "object": {"code": 500}})
                await seen.until(lambda count=number + 1: len(pauses()) == count)  # type: ignore[misc]

    asyncio.run(story())
    assert pauses() == [watches._FIRST_PAUSE_S] * 6


def test_a_watch_that_was_silent_for_long_before_it_broke_is_begun_again_soon(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "_LONGEST_PAUSE_S", 0.0)  # any time is long
    caplog.set_level(logging.INFO, logger=watches.logger.name)

    async def story() -> None:
        cluster = MemoryCluster()
        async with _watching(cluster) as seen:
            for number in range(4):
                cluster.changes.put_nowait({"type": "ERROR", "object": {"code": 500}})
                await seen.until(lambda count=number + 1: len(caplog.records) == count)  # type: ignore[misc]

    asyncio.run(story())
    assert [record.args[2] for record in caplog.records if isinstance(record.args, tuple)] == [0.001] * 4


def test_a_bookmark_is_a_sign_of_life() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        async with _watching(cluster) as seen:
            before = seen.children.alive_s
            metadata = {"resourceVersion": "99"}
            cluster.changes.put_nowait({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}})
            await seen.until(lambda: seen.children.alive_s > before)

    asyncio.run(story())


def test_what_has_no_label_of_ours_is_not_kept() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        stranger = _pod("x")
        stranger["metadata"]["labels"] = {}
        async with _watching(cluster) as seen:
            cluster.put(stranger)
            cluster.put(_pod("a"))
            await seen.until(lambda: seen.names() == ["a"])
            assert len(seen.children) == 1

    asyncio.run(story())


# ------------------------------------------------------------------------------------------------------------ refusals


def test_a_namespace_that_may_not_be_looked_at_is_an_answer_and_a_sign_of_life() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        seen = Seen(cluster)
        before = seen.children.alive_s

        def fault(call: Call) -> bool:
            raise ApiError(403, "Forbidden", "no Role here")

        cluster.fault = fault
        task = asyncio.create_task(seen.children.run(cluster, watch_s=60))
        await seen.until(seen.children.is_answered.is_set)
        assert not seen.children.is_complete.is_set()
        assert seen.children.alive_s > before
        assert "no Role here" in seen.children.refusal
        cluster.fault = lambda _call: False
        await seen.until(seen.children.is_complete.is_set)
        assert seen.children.refusal == ""
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())


# ----------------------------------------------------------------------------------------------------------- ownership


def _forged(**metadata: object) -> Raw:
    """A coordinator's pod as somebody else makes it who knows the job's UID."""
    raw = _pod("forged")
    raw["metadata"].update({"labels": NAMES.labels("coordinator"), **metadata})
    return raw


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": []},
        {"ownerReferences": [{"kind": "ReplicaSet", "name": "x", "uid": "x", "controller": True}]},
        {"ownerReferences": [{"kind": "StatefulSet", "name": NAMES.coordinator, "uid": "x", "controller": True}]},
        {"ownerReferences": [], "name": NAMES.coordinator_pod},
    ],
    ids=["no owner", "another owner", "another name", "the name alone"],
)
def test_a_pod_is_no_child_by_its_labels_alone(metadata: Raw) -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(_forged(**metadata))
        cluster.put(_pod("a"))
        async with _watching(cluster) as seen:
            assert seen.names() == ["a"]

    asyncio.run(story())


def test_a_child_is_looked_for_in_its_jobs_namespace_only() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        owner = {"kind": "StatefulSet", "name": NAMES.coordinator, "uid": "x", "controller": True}
        cluster.put(_forged(name=NAMES.coordinator_pod, namespace="theirs", ownerReferences=[owner]))
        seen = Seen(cluster, namespace="")
        async with _running(seen):
            assert seen.names() == []
            assert [pod.component for pod in seen.children.of("theirs", UID)] == ["coordinator"]

    asyncio.run(story())


def test_a_pod_whose_owner_was_deleted_and_which_was_left_is_still_a_child() -> None:
    async def story() -> None:
        cluster = MemoryCluster()
        cluster.put(_pod("a"))
        async with _watching(cluster) as seen:
            left = _pod("a", phase="Running")
            left["metadata"]["ownerReferences"] = []
            cluster.put(left)
            await seen.until(lambda: [pod.phase for pod in seen.children.of("team", UID)] == ["Running"])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "name", "owners", "is_child"),
    [
        ("StatefulSet", NAMES.coordinator, [{"kind": "MapReduceJob", "uid": UID, "controller": True}], True),
        ("StatefulSet", NAMES.coordinator, [{"kind": "MapReduceJob", "uid": "other", "controller": True}], False),
        ("StatefulSet", NAMES.coordinator, [], False),
        ("Job", NAMES.workers, [{"kind": "MapReduceJob", "uid": UID, "controller": True}], True),
        ("Job", NAMES.workers, [], False),
        ("Job", NAMES.cleanup, [], True),
    ],
)
def test_what_a_job_controls_is_its_child_and_so_is_the_clean_up_that_outlives_it(
    kind: str, name: str, owners: list[Raw], is_child: bool
) -> None:
    metadata = {"name": name, "namespace": "team", "labels": NAMES.labels(), "ownerReferences": owners}
    assert ownership.is_child(kind, {"metadata": metadata}) is is_child
