"""Whether the API server takes what pods are made from is asked before anything of a job is there."""

from __future__ import annotations

import pytest

from mapreduce_operator.api import ApiError
from mapreduce_operator.planning import actions
from mapreduce_operator.planning.plan import plan
from tests.support.memorycluster import Call
from tests.support.operatorjobs import UID, new, started
from tests.support.operatorworld import CHILDREN, World, run_story

REFUSAL = "spec.template.spec.priorityClassName: no such class"


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_a_template_that_the_api_server_refuses_fails_the_job_and_nothing_is_made(kind: str) -> None:
    async def story() -> None:
        world = World()
        world.refuse("check", kind, ApiError(422, "Invalid", REFUSAL))
        await world.look()
        failed = world.job.condition("Failed")
        assert failed is not None
        assert failed.reason == "InvalidPodTemplate"
        assert REFUSAL in failed.message
        assert world.job.status.start_time is None
        assert world.job.finalizers == ()
        assert not [name for name in world.cluster.names() if name in CHILDREN]

    run_story(story)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_cluster_that_cannot_answer_the_question_does_not_keep_a_job_from_its_start(status: int) -> None:
    async def story() -> None:
        world = World()

        def fault(call: Call) -> bool:
            if call.verb == "check":
                raise ApiError(status, "BadRequest", "admission webhook x does not support dry run")
            return False

        world.cluster.fault = fault
        await world.settle()
        assert set(CHILDREN) <= set(world.cluster.names())
        assert not world.job.is_true("Failed")

    run_story(story)


def test_a_job_that_has_started_is_not_asked_about_again() -> None:
    assert [type(one) for one in plan(new(uid=UID)).actions].count(actions.Check) == 2
    assert not [one for one in plan(started()).actions if isinstance(one, actions.Check)]
