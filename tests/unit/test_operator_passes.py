"""Passes from the first to the last, over a cluster in memory: cut off anywhere, with faults, with stale sight."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce.protocol.messages import TaskCounts
from mapreduce_operator.api import ApiError
from mapreduce_operator.naming import FINALIZER, KIND
from mapreduce_operator.progress import Address, NoAnswer
from tests.support.memorycluster import Call, Fault, component
from tests.support.operatorjobs import SETTINGS, Raw
from tests.support.operatorworld import CHILDREN, KEY, NAMES, PODS, World, own_objects, run_story


def test_a_job_goes_from_its_creation_to_its_end_and_leaves_only_its_claims_behind() -> None:
    async def story() -> None:
        world = World(ttlSecondsAfterFinished=60)
        await world.settle()
        assert own_objects(world) == sorted([*CHILDREN, *PODS])
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

    run_story(story)


def test_a_pass_over_a_job_at_rest_changes_nothing() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        before = len(world.changes)
        for _ in range(3):
            await world.look()
        assert world.changes[before:] == []

    run_story(story)


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

    run_story(story)


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

    run_story(story)


def test_a_coordinator_that_does_not_answer_is_asked_less_and_less_often_until_its_pod_changes() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        asked = 0

        async def silent(_address: Address) -> Progress:
            nonlocal asked
            asked += 1
            raise NoAnswer("timeout")

        world.said.progress = silent  # type: ignore[method-assign,assignment]
        for _ in range(60):
            await world.look()  # every 2 s
        assert 5 <= asked <= 10
        world.cluster.remove("Pod", "team", NAMES.coordinator_pod, is_forced=True)
        world.cluster.settle()
        before = asked
        await world.look()
        assert asked == before + 1

    run_story(story)


def test_the_coordinator_is_told_of_a_pod_that_failed_once() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.cluster.set_status("Pod", f"{NAMES.workers}-0", phase="Failed", reason="Evicted")
        await world.look()
        await world.look()
        assert world.said.told == [((f"{NAMES.workers}-0",), True)]

    run_story(story)


async def _delete(world: World) -> None:
    """Have it deleted, until all its pods are gone: these workers do not leave at the coordinator's word."""
    world.cluster.remove(KIND, "team", "count")
    for _ in range(30):
        world.cluster.settle()
        await world.look()


async def _finish_cleaning(world: World) -> None:
    world.cluster.set_status("Job", NAMES.cleanup, conditions=[{"type": "Complete", "status": "True"}])
    await world.look()
    world.cluster.settle()


def _refusing_to_clean_up(error: ApiError) -> Fault:
    def refuse(call: Call) -> bool:
        if (call.verb, call.kind, call.name) == ("create", "Job", NAMES.cleanup):
            raise error
        return False

    return refuse


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_deleted_job_leaves_nothing_on_the_claim_that_was_given_to_it(is_finished: bool) -> None:
    async def story() -> None:
        world = World(storage={"log": {"claimName": "logs"}})
        await world.settle()
        if is_finished:
            world.said.state = "Complete"
            await world.settle()
            assert world.job.is_true("Finished")
        await _delete(world)
        assert [component(pod) for pod in world.cluster.of("Pod")] == ["cleanup"]
        assert world.said.cancelled == (0 if is_finished else 1)
        await _finish_cleaning(world)
        assert own_objects(world) == []
        assert world.cluster.of(KIND) == []

    run_story(story)


def test_a_reason_that_could_not_be_reported_at_first_is_not_lost_for_the_coordinators_own() -> None:
    """A coordinator that is cancelled before the reason is on the object says `Cancelled`, and that would be it."""

    async def story() -> None:
        world = World(activeDeadlineSeconds=60)
        await world.settle()
        world.time.at_s += 120
        world.refuse("status", KIND, ApiError(500, "InternalError", "etcd is away"))
        with suppress(ApiError):
            await world.look()
        world.cluster.fault = lambda _call: False
        world.restart()
        await world.settle()
        assert _reason(world) == "DeadlineExceeded"
        assert world.said.cancelled == 1

    run_story(story)


def _reason(world: World) -> str:
    failed = world.job.condition("Failed")
    assert failed is not None
    assert failed.status == "True"
    return failed.reason


def test_a_job_deleted_before_its_end_has_its_output_folder_given_up() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        assert world.job.finalizers == (FINALIZER,)
        await _delete(world)
        assert world.said.cancelled == 1
        (cleanup,) = world.cluster.of("Job")
        assert "/mr/claims/results/count" in cleanup["spec"]["template"]["spec"]["containers"][0]["args"]
        await _finish_cleaning(world)
        assert own_objects(world) == []
        assert world.cluster.of(KIND) == []

    run_story(story)


def test_a_published_job_is_held_by_nobody() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.said.state = "Complete"
        await world.settle()
        assert world.job.is_true("Finished")
        assert world.job.finalizers == ()

    run_story(story)


def test_a_quota_that_refuses_the_clean_up_is_waited_for_and_said_at_the_deadline() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        quota = ApiError(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: one')
        world.cluster.fault = _refusing_to_clean_up(quota)
        await _delete(world)
        assert world.cluster.of(KIND) != [], "it is tried again"
        world.time.at_s += SETTINGS.cleanup_deadline_s
        await world.look()
        assert world.cluster.of(KIND) == []
        assert [event["reason"] for event in world.cluster.of("Event")][-1] == "CleanUpFailed"

    run_story(story)


def test_a_namespace_that_goes_is_not_held_up() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.cluster.fault = _refusing_to_clean_up(
            ApiError(403, "Forbidden", "namespace team is being terminated", causes=("NamespaceTerminating",))
        )
        await _delete(world)
        assert world.cluster.of(KIND) == []

    run_story(story)


def test_a_job_past_its_deadline_is_cancelled_at_its_coordinator() -> None:
    async def story() -> None:
        world = World(activeDeadlineSeconds=60)
        await world.settle()
        world.time.at_s += 120
        await world.settle()
        assert world.said.cancelled == 1
        assert _reason(world) == "DeadlineExceeded"
        (workers,) = world.cluster.of("Job")
        assert workers["spec"]["suspend"]

    run_story(story)


def test_a_suspended_job_tells_what_was_committed_while_its_workers_went() -> None:
    async def story() -> None:
        world = World()
        await world.settle()
        world.edit(_suspend)
        await world.look()
        world.cluster.settle()  # the workers' pods end, not without a last commit
        world.said.fields = {"maps": TaskCounts(total=8, committed=7)}
        world.time.at_s -= 2  # so soon after the last report that none may be written yet
        await world.look()
        await world.settle()
        assert (world.job.status.state, world.job.status.maps.progress) == ("Suspended", "7/8")

    run_story(story)


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

    run_story(story)
