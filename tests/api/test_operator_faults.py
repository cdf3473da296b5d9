"""An API that is bad: the operator works again soon after, and makes nothing twice (K2 to K5)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.apicalls import (
    AnswerOfThePast,
    Call,
    DropEvents,
    Expire,
    Fault,
    Hang,
    LoseReply,
    Refuse,
    Reset,
    Silence,
)
from tests.support.operatorstage import Job, Stage

RECOVERS_WITHIN_S = 90.0


def _signature(job: Job) -> dict[str, list[tuple[str, int]]]:
    """Children by resource, each with its generation: what was made twice or changed differs."""
    found = {}
    for resource, names in job.stage.cluster.children().items():
        objects = [job.child(resource, name) or {"metadata": {}} for name in names if resource != "pods"]
        found[resource] = sorted(
            (name.replace(job.names.base, "BASE"), child["metadata"].get("generation", 0))
            for name, child in zip(names, objects, strict=False)
        )
    return found


def _is_here(stage: Stage) -> Callable[[Call], bool]:
    """Calls about this test's namespace; what is asked of all namespaces counts as such."""
    return lambda call: call.namespace in {"", stage.namespace} and call.resource != "leases"


# ------------------------------------------------------------------------------------------------------- lost replies
def test_every_change_whose_reply_is_lost_once_is_made_once(stage: Stage) -> None:
    seen: set[tuple[str, ...]] = set()

    def is_first(call: Call) -> bool:
        what = (call.verb, call.resource, call.name, call.subresource)
        is_new = call.is_change and call.namespace == stage.namespace and what not in seen
        seen.update([what] if is_new else [])
        return is_new

    rule = stage.proxy.befall(LoseReply(), when=is_first, times=None)
    job = stage.submit()
    job.until_started()
    job.complete()
    assert len(rule.hits) > 5
    stage.proxy.heal()
    plain = stage.submit("plain")
    plain.complete()
    mine = [name.replace(job.names.base, "") for names in stage.cluster.children().values() for name in names]
    assert sum("-coordinator" in name for name in mine if not name.startswith("mr-")) == 3  # set, Service, pod


# ------------------------------------------------------------------------------------------------------------- watches
def test_a_dropped_event_is_made_up_for(stage: Stage) -> None:
    name = "unheard"
    lost: list[str] = []

    def is_lost(event: dict[str, object]) -> bool:
        about = event["object"]
        assert isinstance(about, dict)
        is_mine = about.get("metadata", {}).get("name") == name and len(lost) < 1
        lost.extend([str(event["type"])] if is_mine else [])
        return is_mine

    stage.proxy.befall(DropEvents(is_lost), "watch", "mapreducejobs", times=None)
    stage.proxy.order_watches(Reset(), "mapreducejobs")
    stage.until(lambda: bool(stage.proxy.watches("mapreducejobs")), "a watch")
    job = stage.submit(name)
    job.complete()
    assert lost


@pytest.mark.parametrize("resource", ["mapreducejobs", ""], ids=["of jobs", "of everything"])
def test_silent_watches_are_noticed(stage: Stage, resource: str) -> None:
    stage.until(lambda: bool(stage.proxy.watches("mapreducejobs")), "a watch")
    assert stage.proxy.order_watches(Silence(), resource)
    job = stage.submit()
    assert stage.until(lambda: job.is_true("WorkersReady"), "the start") < RECOVERS_WITHIN_S
    stage.proxy.order_watches(Silence(), resource)
    job.patch(workers={"replicas": 3})
    stage.until(lambda: job.status["workers"].get("ready") == 3, "the third worker", within_s=RECOVERS_WITHIN_S)


@pytest.mark.parametrize("order", [Expire(), Reset()], ids=["410", "reset"])
def test_ended_watches_are_begun_again(stage: Stage, order: Expire | Reset) -> None:
    job = stage.submit()
    job.until_mapping()
    assert stage.proxy.order_watches(order)
    job.patch(workers={"replicas": 3})
    stage.until(lambda: job.status["workers"].get("ready") == 3, "the third worker", within_s=RECOVERS_WITHIN_S)
    job.complete()


def test_watches_that_expire_at_once_again_and_again_are_survived(stage: Stage) -> None:
    rule = stage.proxy.befall(Expire(), "watch", times=8)
    stage.proxy.order_watches(Reset())
    job = stage.submit()
    stage.until(lambda: rule.is_spent and job.is_true("WorkersReady"), "the start", within_s=RECOVERS_WITHIN_S)
    job.complete()


# ------------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("fault", "count"),
    [
        (Refuse(429, "TooManyRequests", retry_after_s=1), 6),
        (Refuse(500, "InternalError"), 12),
        (Refuse(503, "ServiceUnavailable"), 12),
        (Refuse(409, "Conflict"), 6),
        (Reset(), 12),
        (Hang(), 2),
    ],
    ids=["429", "500", "503", "409", "reset", "hang"],
)
def test_calls_that_fail_are_made_again(stage: Stage, fault: Fault, count: int) -> None:
    here = _is_here(stage)
    changes_only = isinstance(fault, Refuse) and fault.status == 409
    rule = stage.proxy.befall(fault, when=lambda call: here(call) and (call.is_change or not changes_only), times=count)
    started_s = time.monotonic()
    job = stage.submit()
    job.until_started()
    job.complete()
    assert time.monotonic() - started_s < RECOVERS_WITHIN_S
    assert rule.hits


def test_an_api_server_that_is_away_for_a_while_is_waited_for(stage: Stage) -> None:
    job = stage.submit()
    job.until_mapping()
    stage.needs_operator, stage.revives_operator = (
        False,
        True,
    )  # it must end when it cannot renew its Lease; its Deployment starts it again
    away = stage.proxy.befall(Reset(), times=None)
    stage.proxy.order_watches(Reset())
    assert away.is_hit.wait(RECOVERS_WITHIN_S)
    ended_s = time.monotonic() + 3
    stage.until(lambda: time.monotonic() > ended_s, "three seconds")
    stage.proxy.heal()
    job.patch(workers={"replicas": 3})
    stage.until(lambda: job.status["workers"].get("ready") == 3, "the third worker", within_s=RECOVERS_WITHIN_S)
    job.complete()


# --------------------------------------------------------------------------------------------------------- stale lists
def test_lists_of_the_past_after_a_restart_make_nothing_twice(stage: Stage) -> None:
    job = stage.submit()
    versions = {resource: stage.api.version_of_list(resource) for resource in ("mapreducejobs", "pods", "jobs")}
    job.until_mapping()
    before = _signature(job)
    secrets = stage.api.list("secrets", stage.namespace)
    stage.operator.kill()
    for resource, version in versions.items():
        stage.proxy.befall(AnswerOfThePast(version), "list", resource, times=2)
    stage.operator.start()
    job.coordinator.set("Mapping", (5, 8), (0, 2))
    stage.until(lambda: job.status["maps"]["committed"] == 5, "progress")
    stage.until_quiet()
    assert _signature(job) == before
    assert stage.api.list("secrets", stage.namespace) == secrets
    job.complete()
