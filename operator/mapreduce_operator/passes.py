"""One pass over one job, whatever caused it: observe, plan, carry out, report.

The pass may be cut off anywhere and begun again by another operator: every action may be repeated, and the plan is made
from what is there, never from what was done.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from typing import Any, Final

import msgspec

from mapreduce.clock import Clock
from mapreduce_operator import announcing, metrics, pauses, spec, times
from mapreduce_operator.api import ApiError
from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.memory import Memories, Memory
from mapreduce_operator.naming import FINALIZER, KIND
from mapreduce_operator.observing import Observer
from mapreduce_operator.planning import actions
from mapreduce_operator.planning.actions import Action
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.plan import Plan, plan
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.progress import Coordinators, NoAnswer
from mapreduce_operator.queueing import Key
from mapreduce_operator.settings import Settings
from mapreduce_operator.spec import Resource
from mapreduce_operator.statusmodel import JobStatus

Raw = dict[str, Any]

_WRITE_EVERY_S: Final = 1.0
_LOOK_AT_ONCE_S: Final = 0.2
_ORPHANS_LOOK_S: Final = 10.0
_STALE: Final = Problem("Stale")
_INVALID: Final = frozenset({400, 422})

logger = logging.getLogger(__name__)


class _LookAgain(Exception):
    """What was seen is not what is there: make a new pass at once, and look at everything."""


class Passes:
    """Carries out passes over jobs."""

    def __init__(
        self,
        cluster: ClusterPort,
        coordinators: Coordinators,
        observer: Observer,
        memories: Memories,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._clock: Final = clock
        self._cluster: Final = cluster
        self._coordinators: Final = coordinators
        self._observer: Final = observer
        self._memories: Final = memories
        self._settings: Final = settings

    async def look(self, key: Key) -> float | None:
        """Make one pass; gives the seconds until the next one is due, None for a job that is gone."""
        with metrics.PASS_SECONDS.time():
            try:
                result = await self._pass(key)
            except Exception:
                metrics.PASSES.labels(outcome="failed").inc()
                raise
            metrics.PASSES.labels(outcome="done").inc()
            return result

    async def _pass(self, key: Key) -> float | None:
        raw = await self._cluster.get(KIND, key.namespace, key.name)
        if raw is None:
            self._memories.forget(key)
            return await self._give_up_orphans(key, "")
        job = spec.read(raw)
        if job.deleted_s is not None and FINALIZER not in job.finalizers:
            return await self._give_up_orphans(key, "")  # its children go by their owner
        await self._give_up_orphans(key, job.uid)
        memory = self._memories.of(job.uid, key)
        seen = await self._observer.observe(job, memory)
        todo = plan(seen)
        trouble, is_passing = None, False
        try:
            todo = await self._carry_out(raw, seen, todo, memory)
        except _LookAgain:
            memory.must_look = True
            return self._stuck_s(seen, memory, _STALE, first_s=_LOOK_AT_ONCE_S)
        except ApiError as error:
            trouble, is_passing = _trouble(error), error.is_passing
            logger.info("%s: %s", key, error)
            todo = plan(dataclasses.replace(seen, trouble=trouble))
            memory.must_look = True
        written_in_s = await self._report(raw, job, memory, todo.status)
        memory.is_active = todo.look_again_s is None and todo.blocker is None
        if trouble is not None:
            is_for_long = not is_passing and trouble.reason != "QuotaExceeded" and not seen.children.pods
            longest_s = pauses.LONGEST_REFUSED_S if is_for_long else pauses.LONGEST_BLOCKED_S
            return self._stuck_s(seen, memory, Problem(trouble.reason), longest_s=longest_s)
        if todo.blocker is not None:
            next_s = self._stuck_s(seen, memory, todo.blocker)
        else:
            memory.stuck_at = None
            next_s = todo.look_again_s if todo.look_again_s is not None else self._poll_s()
        return next_s if written_in_s is None else min(next_s, written_in_s)

    async def _give_up_orphans(self, key: Key, uid: str) -> float | None:
        """Have pods of dead nodes go that a deleted job has left there: no kubelet ever will."""
        left, lost = await self._observer.lost_orphans(key, uid)
        for pod in lost:
            await self._cluster.delete("Pod", key.namespace, pod.name, pod.uid, is_forced=True)
        return _ORPHANS_LOOK_S if left else None

    @staticmethod
    def _stuck_s(
        seen: Observed,
        memory: Memory,
        why: Problem,
        *,
        longest_s: float = pauses.LONGEST_BLOCKED_S,
        first_s: float = pauses.FIRST_S,
    ) -> float:
        """Time until a job that cannot go on is looked at again: short again once anything changes."""
        if seen.job.deleted_s is not None:
            longest_s = first_s  # it does not last, and has a deadline
        at = hash((seen.job.generation, seen.job.finalizers, seen.job.deleted_s, seen.children, why))
        memory.stuck_looks = memory.stuck_looks + 1 if memory.stuck_at == at else 0
        memory.stuck_at = at
        pause_s = pauses.pause_s(memory.stuck_looks, seen.job.uid, first_s=first_s, longest_s=longest_s)
        since_s, deadline_s = times.seconds(seen.job.status.pending_since), seen.wanted.pending_deadline_s
        if deadline_s is None:
            return pause_s
        left_s = deadline_s - (seen.now_s - since_s if since_s is not None else 0.0)
        return min(pause_s, left_s) if left_s > 0 else pause_s

    def _poll_s(self) -> float:
        """Time until an active job is looked at again: longer, the more there are."""
        active, _ = self._memories.count()
        return max(self._settings.poll_s, active / self._settings.polls_per_s) * random.uniform(0.9, 1.1)  # noqa: S311

    async def _carry_out(self, raw: Raw, seen: Observed, todo: Plan, memory: Memory) -> Plan:
        """Do what is planned, in order. A pod template that the API server refuses changes the plan."""
        for action in todo.actions:
            try:
                await self._do(raw, seen.job, action, memory)
            except ApiError as error:
                if seen.job.deleted_s is not None and error.is_namespace_going and isinstance(action, actions.Create):
                    await self._do(raw, seen.job, actions.RemoveFinalizer(), memory)  # the namespace goes too
                    return todo
                if seen.refusal is None and error.status in _INVALID and _is_from_template(action):
                    refused = dataclasses.replace(seen, refusal=Problem("InvalidPodTemplate", error.message))
                    return await self._carry_out(raw, refused, plan(refused), memory)
                raise
            metrics.ACTIONS.labels(action=type(action).__name__).inc()
        return todo

    async def _do(self, raw: Raw, job: Resource, action: Action, memory: Memory) -> None:
        cluster, namespace = self._cluster, job.namespace
        match action:
            case actions.Create():
                await self._create(job, action, memory)
            case actions.Check():
                await self._check(action)
            case actions.ChangeWorkers():
                change: Raw = {}
                if action.parallelism is not None:
                    change["parallelism"] = action.parallelism
                if action.is_suspended is not None:
                    change["suspend"] = action.is_suspended
                await cluster.patch("Job", namespace, action.name, {"spec": change})
            case actions.ScaleCoordinator():
                await cluster.patch("StatefulSet", namespace, action.name, {"spec": {"replicas": action.replicas}})
            case actions.Delete():
                await cluster.delete(action.kind, namespace, action.name, action.uid, is_forced=action.is_forced)
            case actions.AddFinalizer():
                if not await cluster.set_finalizers(raw, [*job.finalizers, FINALIZER]):
                    raise _LookAgain
                await self._follow(raw, job)
            case actions.RemoveFinalizer():
                rest = [name for name in job.finalizers if name != FINALIZER]
                if not await cluster.set_finalizers(raw, rest):
                    raise _LookAgain
            case actions.DeleteJob():
                await cluster.delete(KIND, namespace, job.name, job.uid)
            case actions.TellGone():
                await self._tell_gone(job, action, memory)
            case actions.CancelJob():
                await self._cancel(job, memory)
            case actions.Announce():
                event = announcing.event(job, action, self._clock.utc_s(), self._settings.identity)
                await self._announce([event])

    async def _check(self, action: actions.Check) -> None:
        """Only a plain no counts: webhooks, for one, may not be able to answer such a question."""
        try:
            await self._cluster.create(action.manifest, is_dry=True)
        except ApiError as error:
            if error.status == 422:
                raise
            logger.info("%s %s could not be checked: %s", *action.key, error)

    async def _create(self, job: Resource, action: actions.Create, memory: Memory) -> None:
        kind, name = action.key
        if await self._cluster.create(action.manifest):
            memory.others.add(action.key)
            if kind == "StatefulSet":
                metrics.ACCEPT_SECONDS.observe(max(0.0, self._clock.utc_s() - job.created_s))
            return
        there = await self._cluster.get(kind, job.namespace, name)
        if there is None or there["metadata"].get("deletionTimestamp"):
            raise _LookAgain  # it is going: the next pass makes it anew
        owners = {one.get("uid") for one in there["metadata"].get("ownerReferences") or ()}
        is_owned = bool(action.manifest["metadata"].get("ownerReferences"))
        if is_owned and job.uid not in owners:
            raise ApiError(409, "NameTaken", f"{kind} {name} belongs to somebody else.")
        memory.others.add(action.key)
        if kind == "ConfigMap":
            raise _LookAgain  # made by an earlier pass that was cut off: its content is what counts

    async def _follow(self, raw: Raw, job: Resource) -> None:
        """Take the version that our own change has made, so that this pass can still write the status."""
        there = await self._cluster.get(KIND, job.namespace, job.name)
        if there is None or there["metadata"]["uid"] != job.uid:
            raise _LookAgain
        raw["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]

    async def _tell_gone(self, job: Resource, action: actions.TellGone, memory: Memory) -> None:
        address = await self._observer.address(job, memory)
        if address is None:
            return
        try:
            await self._coordinators.tell_gone(
                address, action.workers, is_charged=action.is_charged, reason=action.reason
            )
        except NoAnswer as error:
            logger.info("%s/%s: the coordinator was not told of lost workers: %s", job.namespace, job.name, error)
            return
        self._memories.settle(job.uid, action.workers)

    async def _cancel(self, job: Resource, memory: Memory) -> None:
        address = await self._observer.address(job, memory)
        if address is None:
            return
        try:
            await self._coordinators.cancel(address)
        except NoAnswer as error:
            logger.info("%s/%s: the coordinator could not be told to end: %s", job.namespace, job.name, error)

    async def _report(self, raw: Raw, job: Resource, memory: Memory, status: JobStatus | None) -> float | None:
        """Write the status if it differs; gives the seconds after which it may be written, if that is not yet."""
        if status is None:
            return None
        wanted: Raw = msgspec.json.decode(msgspec.json.encode(status))  # lists, as they come back
        wanted.setdefault("attemptsFailed", 0)  # a column shows it, and an empty one reads as unknown
        if wanted == job.raw_status or self._is_written(memory, wanted, job.raw_status):
            return None
        wait_s = memory.written_s + _WRITE_EVERY_S - self._clock.monotonic_s()
        if wait_s > 0 and not _is_urgent(job.status, status):
            return wait_s
        if not await self._cluster.write_status(raw, wanted):
            return _LOOK_AT_ONCE_S  # somebody changed the object meanwhile
        metrics.STATUS_WRITES.inc()
        memory.written_s = self._clock.monotonic_s()
        memory.written, memory.stored = _digest(wanted), None
        await self._announce(announcing.changes(job, status, self._clock.utc_s(), self._settings.identity))
        return None

    @staticmethod
    def _is_written(memory: Memory, wanted: Raw, there: Raw) -> bool:
        """Whether this was written already and came back as another: an older definition drops fields it lacks."""
        if memory.written != _digest(wanted):
            return False
        if memory.stored is None:
            memory.stored = _digest(there)
        return memory.stored == _digest(there)

    async def _announce(self, events: list[Raw]) -> None:
        for event in events:
            try:
                await self._cluster.create(event)
            except ApiError as error:
                logger.info("An Event could not be made: %s", error)


def _is_urgent(before: JobStatus, after: JobStatus) -> bool:
    """Whether people or programs wait for it: the start, which freezes the specification, and the end."""
    return before.start_time != after.start_time or before.completion_time != after.completion_time


def _digest(status: Raw) -> int:
    return hash(msgspec.json.encode(status, order="sorted"))


def _is_from_template(action: Action) -> bool:
    return isinstance(action, actions.Create | actions.Check) and action.key[0] in {"StatefulSet", "Job"}


def _trouble(error: ApiError) -> Problem:
    if error.reason == "NameTaken":
        return Problem("NameTaken", error.message)
    if error.status == 403:
        return Problem("QuotaExceeded" if "exceeded quota" in error.message else "Forbidden", error.message)
    return Problem("ApiError", error.message or str(error))
