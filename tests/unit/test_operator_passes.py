"""Passes from the first to the last, over a cluster in memory: cut off anywhere, with faults, with stale sight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce.protocol.messages import TaskCounts
from mapreduce_operator.api import ApiError
from mapreduce_operator.naming import FINALIZER, KIND, Names
from mapreduce_operator.progress import Address, NoAnswer
from tests.support.memorycluster import Call, component
from tests.support.operatorjobs import UID, Raw, raw_job
from tests.support.operatorworld import KEY, World

NAMES = Names("count", UID)
CHILDREN = [
    f"ConfigMap {NAMES.config_map}",
    f"Job {NAMES.workers}",
    f"PersistentVolumeClaim {NAMES.log_claim}",
    f"Secret {NAMES.admin_secret}",
    f"Secret {NAMES.worker_secret}",
    f"Service {NAMES.coordinator}",
    f"StatefulSet {NAMES.coordinator}",
]
PODS = [f"Pod {NAMES.coordinator_pod}", f"Pod {NAMES.workers}-0", f"Pod {NAMES.workers}-1"]


class Killed(BaseException):
    """The operator's process ends here."""


def _run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def _own(world: World) -> list[str]:
    """All objects but those that were there before the operator came."""
    return [name for name in world.cluster.names() if name.split()[1].startswith("mr-")]


def _cuts() -> int:
    """How many calls an operator makes from a job's creation until it rests."""
    world = World()
    asyncio.run(world.settle())
    return len(world.cluster.calls)


def test_a_job_goes_from_its_creation_to_its_end_and_leaves_only_its_claims_behind() -> None:
    async def story() -> None:
        world = World(ttlSecondsAfterFinished=60)
        await world.settle()
        assert _own(world) == sorted([*CHILDREN, *PODS])
        assert world.job.status.state == "Mapping"
        world.said.state = "Complete"
        world.said.fields = {"maps": TaskCounts(total=8, committed=8), "output_records": 5}
        await world.settle()
        assert world.job.is_true("Finished")
        assert world.job.status.output.records == 5
        world.time.at_s += 60
        await world.look()
        world.cluster.settle()
        assert await world.look() is None
        left = [f"PersistentVolumeClaim {name}" for name in ("logs", "results", "texts")]
        assert world.cluster.names() == ["Node node-a", *left]

    _run(story)


def test_a_pass_over_a_job_at_rest_changes_nothing() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        before = len(world.changes)
        for _ in range(3):
            await world.look()
        assert world.changes[before:] == []

    _run(story)


@pytest.mark.parametrize("kind", ["killed", "refused", "lost"])
def test_whatever_happens_at_any_call_the_same_children_come_of_it(kind: str) -> None:
    """At the N-th call, for every N: the process ends, the server fails, the reply to what was done gets lost."""

    async def story(position: int) -> None:
        world = World(storage={"log": {"claimName": "logs"}})
        count = 0

        def fault(_call: Call) -> bool:
            nonlocal count
            count += 1
            if count != position:
                return False
            if kind == "killed":
                raise Killed
            if kind == "refused":
                raise ApiError(500, "InternalError", "etcd is away")
            return True

        world.cluster.fault = fault
        try:
            for _ in range(4):
                world.cluster.settle()
                await world.look()
        except Killed:
            world.restart()
        except ApiError:
            pass
        await world.settle()
        expected = [*CHILDREN, *PODS]
        expected.remove(f"PersistentVolumeClaim {NAMES.log_claim}")
        assert _own(world) == sorted(expected), f"call {position}"
        assert world.job.finalizers == (FINALIZER,)
        assert world.job.status.start_time is not None

    for position in range(1, _cuts() + 1):
        _run(lambda position=position: story(position))  # type: ignore[misc]


def test_what_an_earlier_operator_snapshotted_counts_not_what_the_object_says_now() -> None:
    async def story() -> None:
        world = World()

        def die_after_the_snapshot(call: Call) -> bool:
            if call.kind == "Secret":
                raise Killed
            return False

        world.cluster.fault = die_after_the_snapshot
        with pytest.raises(Killed):
            await world.look()
        world.cluster.fault = lambda _call: False
        world.restart()
        world.edit(lambda fields: fields.update(image="other:1"))
        await world.settle()
        (workers,) = world.cluster.of("Job")
        assert workers["spec"]["template"]["spec"]["initContainers"][0]["image"] == "worker:1"
        drift = world.job.condition("SpecDrift")
        assert drift is not None
        assert drift.status == "True"

    _run(story)


def test_an_operator_that_sees_old_things_makes_nothing_twice() -> None:
    async def story() -> None:
        world = World()
        await world.look()
        world.sight.hold()
        world.sight.held = [{"kind": "Pod", "metadata": {"name": "x", "namespace": "team"}}]  # it sees no child at all
        for _ in range(3):
            await world.look()
        world.sight.held = None
        await world.settle()
        assert _own(world) == sorted([*CHILDREN, *PODS])

    _run(story)


def test_a_job_made_anew_under_its_name_never_gets_what_belonged_to_the_earlier_one() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.said.state = "Complete"
        await world.settle()
        world.cluster.remove(KIND, "team", "count")
        other = "ffffffff" + UID[8:]
        world.cluster.put(raw_job(uid=other))
        world.said.state = "Mapping"
        await world.settle()
        assert not world.job.is_true("Finished")
        assert {name for name in _own(world) if UID[:8] in name} == set()
        assert f"StatefulSet {Names('count', other).coordinator}" in _own(world)

    _run(story)


def test_a_child_of_that_name_that_belongs_to_somebody_else_is_not_touched() -> None:
    async def story() -> None:
        world = World()
        foreign = {"kind": "Service", "metadata": {"name": NAMES.coordinator, "namespace": "team"}, "spec": {}}
        world.cluster.put(foreign)
        await world.look()
        assert world.job.is_true("Stalled")
        stalled = world.job.condition("Stalled")
        assert stalled is not None
        assert stalled.reason == "NameTaken"
        assert f"StatefulSet {NAMES.coordinator}" not in world.cluster.names()

    _run(story)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError(403, "Forbidden", "may not create secrets"), "Forbidden"),
        (ApiError(403, "Forbidden", "exceeded quota: small"), "QuotaExceeded"),
        (ApiError(503, "Unavailable", "try later"), "ApiError"),
    ],
)
def test_what_the_api_server_refuses_is_said_in_the_status_and_tried_again(error: ApiError, reason: str) -> None:
    async def story() -> None:
        world = World()

        def fault(call: Call) -> bool:
            if (call.verb, call.kind) == ("create", "Secret"):
                raise error
            return False

        world.cluster.fault = fault
        assert await world.look() is not None
        stalled = world.job.condition("Stalled")
        assert stalled is not None
        assert (stalled.status, stalled.reason) == ("True", reason)
        assert error.message in stalled.message
        world.cluster.fault = lambda _call: False
        await world.settle()
        assert not world.job.is_true("Stalled")

    _run(story)


def test_a_pod_template_that_is_refused_ends_the_job_with_the_servers_words() -> None:
    async def story() -> None:
        world = World()

        def fault(call: Call) -> bool:
            if (call.verb, call.kind) == ("create", "Job"):
                raise ApiError(422, "Invalid", "spec.template.spec.priorityClassName: no such class")
            return False

        world.cluster.fault = fault
        await world.look()
        failed = world.job.condition("Failed")
        assert failed is not None
        assert failed.reason == "InvalidPodTemplate"
        assert "priorityClassName" in failed.message

    _run(story)


def test_statuses_are_written_once_a_second_but_the_end_is_told_at_once() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        written = world.changes.count(f"status {KIND}")
        world.said.fields = {"maps": TaskCounts(total=8, committed=4)}
        await world.look()
        world.said.fields = {"maps": TaskCounts(total=8, committed=5)}
        wait_s = await world.passes.look(KEY)  # no time has passed
        assert world.changes.count(f"status {KIND}") == written + 1
        assert wait_s is not None
        assert wait_s <= 1
        world.said.state = "Complete"
        await world.passes.look(KEY)
        assert world.changes.count(f"status {KIND}") == written + 2

    _run(story)


def test_an_older_definition_that_drops_fields_does_not_make_the_operator_write_for_ever() -> None:
    async def story() -> None:
        world = World()
        store = world.cluster._store

        def forgetful(place: tuple[str, str, str], raw: Raw) -> Raw:
            if isinstance(raw.get("status"), dict) and place[0] == KIND:
                raw["status"].pop("shuffle", None)
            return store(place, raw)

        world.cluster._store = forgetful  # type: ignore[method-assign]
        await world.settle()
        before = len(world.changes)
        for _ in range(3):
            await world.look()
        assert world.changes[before:] == []

    _run(story)


def test_a_job_goes_on_after_its_coordinator_did_not_answer() -> None:
    async def story() -> None:
        world = World()
        world.said.state = None
        await world.settle()
        assert not world.job.is_true("CoordinatorReady")
        world.said.state = "Reducing"
        world.time.at_s += 30
        await world.settle()
        assert world.job.status.state == "Reducing"

    _run(story)


def test_a_coordinator_that_does_not_answer_is_asked_less_and_less_often_until_its_pod_changes() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        asked = 0

        async def silent(_address: Address) -> Progress:
            nonlocal asked
            asked += 1
            raise NoAnswer("timeout")

        world.said.progress = silent  # type: ignore[method-assign]
        for _ in range(60):
            await world.look()  # every 2 s
        assert 5 <= asked <= 10
        world.cluster.remove("Pod", "team", NAMES.coordinator_pod, is_forced=True)
        world.cluster.settle()
        before = asked
        await world.look()
        assert asked == before + 1

    _run(story)


def test_pods_that_a_deleted_job_left_on_a_dead_node_are_given_up() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.cluster.remove(KIND, "team", "count")
        world.cluster.objects.pop(("Node", "", "node-a"))
        for kind in ("StatefulSet", "Job"):
            for raw in world.cluster.of(kind):
                world.cluster.remove(kind, "team", raw["metadata"]["name"])
        for raw in world.cluster.of("Pod"):
            world.cluster.remove("Pod", "team", raw["metadata"]["name"])
        world.time.at_s += 10
        assert await world.look() is not None
        assert world.cluster.of("Pod") == []
        assert await world.look() is None

    _run(story)


def test_the_coordinator_is_told_of_a_pod_that_failed_once() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.cluster.set_status("Pod", f"{NAMES.workers}-0", phase="Failed", reason="Evicted")
        await world.look()
        await world.look()
        assert world.said.told == [((f"{NAMES.workers}-0",), True)]

    _run(story)


def test_a_deleted_job_leaves_nothing_on_the_claim_that_was_given_to_it() -> None:
    async def story() -> None:
        world = World(storage={"log": {"claimName": "logs"}})
        await world.settle()
        world.cluster.remove(KIND, "team", "count")
        for _ in range(4):
            world.cluster.settle()
            await world.look()
        cleanup = next(raw for raw in world.cluster.of("Job") if raw["metadata"]["name"] == NAMES.cleanup)
        assert [component(pod) for pod in world.cluster.of("Pod")] == ["cleanup"]
        world.cluster.set_status(
            "Job", cleanup["metadata"]["name"], conditions=[{"type": "Complete", "status": "True"}]
        )
        await world.look()
        world.cluster.settle()
        assert _own(world) == []
        assert world.cluster.of(KIND) == []

    _run(story)


def test_a_namespace_that_goes_is_not_held_up() -> None:
    async def story() -> None:
        world = World(storage={"log": {"claimName": "logs"}})
        await world.settle()
        world.cluster.remove(KIND, "team", "count")

        def fault(call: Call) -> bool:
            if call.verb == "create":
                raise ApiError(403, "Forbidden", "namespace team is being terminated")
            return False

        world.cluster.fault = fault
        for _ in range(6):
            world.cluster.settle()
            await world.look()
        assert world.cluster.of(KIND) == []

    _run(story)


def test_a_cancelled_job_is_cancelled_at_its_coordinator() -> None:
    async def story() -> None:
        world = World(activeDeadlineSeconds=60)
        await world.settle()
        world.time.at_s += 120
        await world.settle()
        assert world.said.cancelled == 1
        assert world.job.is_true("Failed")
        (workers,) = world.cluster.of("Job")
        assert workers["spec"]["suspend"]

    _run(story)


# --------------------------------------------------------------------------------------------------------------- random


def _suspend(fields: Raw) -> None:
    fields["suspend"] = True


def _resume(fields: Raw) -> None:
    fields["suspend"] = False


EVENTS = st.lists(
    st.sampled_from(
        ["suspend", "resume", "bigger", "smaller", "restart", "play", "look", "silent", "speak", "lose", "unready"]
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
def test_after_any_story_the_operator_comes_to_rest_and_plans_nothing_more(events: list[str]) -> None:
    async def story() -> None:
        world = World()
        for event in events:
            match event:
                case "suspend":
                    world.edit(_suspend)
                case "resume":
                    world.edit(_resume)
                case "bigger":
                    world.edit(lambda fields: fields.update(workers={"replicas": 4}))
                case "smaller":
                    world.edit(lambda fields: fields.update(workers={"replicas": 1}))
                case "restart":
                    world.restart()
                case "play":
                    world.cluster.play()
                case "look":
                    await world.look()
                case "silent":
                    world.said.state = None
                case "speak":
                    world.said.state = "Reducing"
                case "lose":
                    for pod in world.cluster.of("Pod")[:1]:
                        world.cluster.remove("Pod", "team", pod["metadata"]["name"])
                case _:
                    world.cluster.unready = {f"{NAMES.workers}-0"} - world.cluster.unready
        await world.settle()
        before = len(world.changes)
        for _ in range(2):
            await world.look()
        assert [one for one in world.changes[before:] if not one.startswith("status")] == []
        assert len(list(world.cluster.of("Job"))) <= 1
        if world.job.raw_spec.get("suspend"):
            assert world.cluster.of("Pod") == []

    _run(story)
