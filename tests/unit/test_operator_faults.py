"""Passes with faults: cut off or failing at any call, with stale sight, beside what belongs to others."""

from __future__ import annotations

import asyncio

import pytest

from mapreduce_operator.api import ApiError
from mapreduce_operator.naming import FINALIZER, KIND, Names
from tests.support.memorycluster import Call
from tests.support.operatorjobs import UID, Raw, raw_job
from tests.support.operatorworld import CHILDREN, NAMES, PODS, World, own_objects, run_story


class Killed(BaseException):
    """The operator's process ends here."""


def _cuts() -> int:
    """How many calls an operator makes from a job's creation until it rests."""
    world = World()
    asyncio.run(world.settle())
    return len(world.cluster.calls)


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
        assert own_objects(world) == sorted(expected), f"call {position}"
        assert world.job.finalizers == (FINALIZER,)
        assert world.job.status.start_time is not None

    for position in range(1, _cuts() + 1):
        run_story(lambda position=position: story(position))  # type: ignore[misc]


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

    run_story(story)


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
        assert own_objects(world) == sorted([*CHILDREN, *PODS])

    run_story(story)


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
        assert {name for name in own_objects(world) if UID[:8] in name} == set()
        assert f"StatefulSet {Names('count', other).coordinator}" in own_objects(world)

    run_story(story)


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

    run_story(story)


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
        world.refuse("create", "Secret", error)
        assert await world.look() is not None
        stalled = world.job.condition("Stalled")
        assert stalled is not None
        assert (stalled.status, stalled.reason) == ("True", reason)
        assert error.message in stalled.message
        world.cluster.fault = lambda _call: False
        await world.settle()
        assert not world.job.is_true("Stalled")

    run_story(story)


def test_a_pod_template_that_is_refused_ends_the_job_with_the_servers_words() -> None:
    async def story() -> None:
        world = World()
        world.refuse("create", "Job", ApiError(422, "Invalid", "spec.template.spec.priorityClassName: no such class"))
        await world.look()
        failed = world.job.condition("Failed")
        assert failed is not None
        assert failed.reason == "InvalidPodTemplate"
        assert "priorityClassName" in failed.message

    run_story(story)


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

    run_story(story)


def test_pods_that_a_deleted_job_left_on_a_dead_node_are_given_up() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.said.state = "Complete"
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

    run_story(story)
