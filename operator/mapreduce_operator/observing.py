"""The first part of a pass: seeing. What is watched comes from memory, the rest is asked for where a plan needs it."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, Final

from mapreduce.clock import Clock
from mapreduce_operator import facts, pauses
from mapreduce_operator.api import ApiError
from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.facts import Batch, Claim, EventFact, Node, Pod, StatefulSet
from mapreduce_operator.manifests import secrets, snapshot, volumes
from mapreduce_operator.manifests.snapshot import Snapshot
from mapreduce_operator.memory import Memories, Memory
from mapreduce_operator.naming import FINALIZER
from mapreduce_operator.planning import nodes, problems
from mapreduce_operator.planning.observed import Answer, Children, CodeMap, Observed
from mapreduce_operator.planning.outcomes import ENDED_BY_OPERATOR
from mapreduce_operator.progress import Address, Coordinators, NoAnswer
from mapreduce_operator.queueing import Key
from mapreduce_operator.settings import Settings
from mapreduce_operator.spec import Resource
from mapreduce_operator.watches import Children as Watched

Raw = dict[str, Any]

_NODE_FRESH_S: Final = 3.0
_CODE_FRESH_S: Final = 60.0
_EVENTS_FRESH_S: Final = (15.0, 30.0)
_LONGEST_SILENCE_S: Final = 30.0
"""Between two questions to a coordinator that does not answer."""


class Watches:
    """The watched children of all jobs, in all namespaces that are looked after."""

    def __init__(
        self,
        pods: tuple[Watched[Pod], ...],
        stateful_sets: tuple[Watched[StatefulSet], ...],
        jobs: tuple[Watched[Batch], ...],
    ) -> None:
        self.pods: Final = pods
        self.stateful_sets: Final = stateful_sets
        self.jobs: Final = jobs

    @property
    def all(self) -> tuple[Watched[Any], ...]:
        """Every watch."""
        return (*self.pods, *self.stateful_sets, *self.jobs)

    def children(self, job: Resource, others: frozenset[tuple[str, str]]) -> Children:
        """What is known of a job's children."""
        names = job.names
        sets = {one.name: one for watch in self.stateful_sets for one in watch.of(job.namespace, job.uid)}
        batches = {one.name: one for watch in self.jobs for one in watch.of(job.namespace, job.uid)}
        pods = [one for watch in self.pods for one in watch.of(job.namespace, job.uid)]
        return Children(
            stateful_set=sets.get(names.coordinator),
            workers=batches.get(names.workers),
            cleanup=batches.get(names.cleanup),
            pods=tuple(sorted(pods, key=lambda pod: pod.name)),
            others=others,
        )

    def orphans(self, key: Key, uid: str) -> tuple[Pod, ...]:
        """Pods of jobs of that name that are gone; `uid` is the job that is there, or empty."""
        return tuple(
            pod
            for watch in self.pods
            for other in watch.uids(key)
            if other != uid
            for pod in watch.of(key.namespace, other)
        )


class Observer:
    """Sees what a plan needs to know of one job."""

    def __init__(
        self,
        cluster: ClusterPort,
        coordinators: Coordinators,
        watches: Watches,
        memories: Memories,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._clock: Final = clock
        self._cluster: Final = cluster
        self._coordinators: Final = coordinators
        self._watches: Final = watches
        self._memories: Final = memories
        self._settings: Final = settings
        self._nodes: Final[dict[str, tuple[float, Node]]] = {}
        self._may_see_nodes = True

    async def observe(self, job: Resource, memory: Memory) -> Observed:
        """Look at everything that the plan for this job depends on. Raises `ApiError`."""
        now_s, monotonic_s = self._clock.utc_s(), self._clock.monotonic_s()
        is_first = memory.looked_s == float("-inf")
        is_new = is_first and job.status.start_time is None and job.deleted_s is None and not memory.must_look
        found: Snapshot | None = None
        if is_new:  # nothing is there, or making it will tell; from now on it is looked for as for any other job
            memory.looked_s = monotonic_s
        elif memory.must_look or (
            monotonic_s - memory.looked_s >= self._settings.resync_s
            and not (job.is_true("Finished") and job.deleted_s is None)  # nothing is made for it any more
        ):
            found = await self._look(job, memory)
            memory.looked_s = monotonic_s
        is_whole = memory.looked_s == monotonic_s
        children = self._watches.children(job, frozenset(memory.others))
        is_started = job.status.start_time is not None or any(kind == "ConfigMap" for kind, _ in memory.others)
        needs_manifests = (
            not is_started
            or children.stateful_set is None
            or children.workers is None
            or (job.deleted_s is not None and FINALIZER in job.finalizers)
        )
        if needs_manifests and is_started and found is None:
            found = await self._snapshot(job)
        spec = found.spec if found is not None else job.spec
        claims: dict[str, Claim | None] = {}
        if (
            spec is not None
            and (needs_manifests or is_whole)
            and (not job.is_true("Finished") or job.deleted_s is not None)
        ):
            claims = await self._claims(job, volumes.sources(spec, job.names).named_claims)
        seen = Observed(
            job=job,
            now_s=now_s,
            settings=self._settings,
            children=children,
            snapshot=found,
            claims=claims,
            code=await self._code(job, memory, is_urgent=not is_started),
            nodes=await self._nodes_of(children.pods),
            departed=self._memories.departed(job.uid),
            told=frozenset(memory.told),
        )
        events = await self._events(seen, memory) if problems.needs_words(seen) and not job.is_true("Finished") else ()
        answer = await self._ask(job, memory, children)
        return _with(seen, events=events, answer=answer)

    async def lost_orphans(self, key: Key, uid: str) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
        """Pods that jobs of that name have left behind, and those among them that nobody will end."""
        pods = self._watches.orphans(key, uid)
        if not pods:
            return (), ()
        seen = await self._nodes_of(pods)
        now_s = self._clock.utc_s()
        return pods, tuple(pod for pod in pods if nodes.is_lost(pod, seen, now_s, self._settings))

    async def address(self, job: Resource, memory: Memory) -> Address | None:
        """Where the coordinator is, and the token for it; None while there is no token."""
        if not memory.token:
            secret = await self._cluster.get("Secret", job.namespace, job.names.admin_secret)
            memory.token = secrets.decoded(secret, "token") if secret is not None else ""
        url = self._settings.coordinator_url.format(service=job.names.coordinator, namespace=job.namespace)
        return Address(url=url, token=memory.token) if memory.token else None

    async def _look(self, job: Resource, memory: Memory) -> Snapshot | None:
        """Find out which of the children that are not watched exist."""
        names = job.names
        wanted = [
            ("ConfigMap", names.config_map),
            ("Secret", names.admin_secret),
            ("Secret", names.worker_secret),
            ("Service", names.coordinator),
            *([("NetworkPolicy", names.base)] if self._settings.has_network_policies else []),
        ]
        if job.spec is not None:
            found = volumes.sources(job.spec, names)
            wanted += [("PersistentVolumeClaim", name) for name in found.named_claims]
        objects = await asyncio.gather(*(self._cluster.get(kind, job.namespace, name) for kind, name in wanted))
        memory.others = {
            key for key, raw in zip(wanted, objects, strict=True) if raw is not None and not _is_going(raw)
        }
        memory.must_look = False
        return snapshot.read(objects[0]) if objects[0] is not None else None

    async def _snapshot(self, job: Resource) -> Snapshot | None:
        raw = await self._cluster.get("ConfigMap", job.namespace, job.names.config_map)
        return snapshot.read(raw) if raw is not None else None

    async def _claims(self, job: Resource, names: tuple[str, ...]) -> dict[str, Claim | None]:
        raws = await asyncio.gather(
            *(self._cluster.get("PersistentVolumeClaim", job.namespace, name) for name in names)
        )
        return {name: facts.claim(raw) if raw is not None else None for name, raw in zip(names, raws, strict=True)}

    async def _code(self, job: Resource, memory: Memory, *, is_urgent: bool) -> CodeMap | None:
        reference = job.spec.code.config_map_ref if job.spec is not None else None
        if reference is None or job.is_true("Finished"):
            return None
        is_due = self._clock.monotonic_s() - memory.code_s >= min(_CODE_FRESH_S, self._settings.resync_s)
        if not is_urgent and not is_due:
            return None
        memory.code_s = self._clock.monotonic_s()
        raw = await self._cluster.get("ConfigMap", job.namespace, reference.name)
        if raw is None:
            return CodeMap(problem=f"ConfigMap {reference.name} is not there.")
        text = (raw.get("data") or {}).get(reference.key)
        if text is None:
            return CodeMap(problem=f"ConfigMap {reference.name} has no key {reference.key}.")
        return CodeMap(text=text)

    async def _nodes_of(self, pods: tuple[Pod, ...]) -> dict[str, Node]:
        result: dict[str, Node] = {}
        for name in sorted(nodes.are_doubtful(pods)):
            if (found := await self._node(name)) is not None:
                result[name] = found
        return result

    async def _node(self, name: str) -> Node | None:
        at_s, known = self._nodes.get(name, (float("-inf"), None))
        if known is not None and self._clock.monotonic_s() - at_s < _NODE_FRESH_S:
            return known
        if not self._may_see_nodes:
            return None
        try:
            raw = await self._cluster.get("Node", "", name)
        except ApiError as error:
            if error.status == 403:  # an operator of some namespaces only: it goes by what it sees of the pods
                self._may_see_nodes = False
                return None
            raise
        found = facts.node(raw) if raw is not None else Node(name=name, exists=False, silent_since_s=None)
        self._nodes[name] = (self._clock.monotonic_s(), found)
        return found

    async def _events(self, seen: Observed, memory: Memory) -> tuple[EventFact, ...]:
        """What the cluster says of children that are not well; each name is a list that no cache of it answers."""
        now_s = self._clock.monotonic_s()
        if now_s - memory.events_s < pauses.spread_s(seen.job.uid, *_EVENTS_FRESH_S):
            return memory.events
        memory.events_s, memory.events = now_s, ()
        children = seen.children
        names = {seen.names.coordinator, seen.names.workers}
        names |= {pod.name for pod in children.pods if not pod.is_ready and not pod.is_over}
        spec = seen.spec
        if spec is not None:
            names |= set(volumes.sources(spec, seen.names).named_claims)
        try:
            raws = await self._cluster.events_about(seen.job.namespace, frozenset(sorted(names)[:12]))
        except ApiError:
            return ()  # words only: the pass goes on without them
        memory.events = tuple(facts.event(raw) for raw in raws)
        return memory.events

    async def _ask(self, job: Resource, memory: Memory, children: Children) -> Answer:
        pod = children.coordinator
        if pod is None or pod.phase != "Running" or pod.is_going:
            return Answer()
        failed = job.condition("Failed")
        if job.is_true("Finished") and (failed is None or failed.reason not in ENDED_BY_OPERATOR):
            return Answer()
        if memory.asked_pod != (pod.uid, pod.is_ready):
            memory.asked_pod, memory.unanswered = (pod.uid, pod.is_ready), 0
        elif memory.unanswered and self._clock.monotonic_s() < memory.ask_again_s:
            return Answer(problem=memory.problem)  # so that many silent ones do not hold up the others
        address = await self.address(job, memory)
        if address is None:
            return Answer()
        asked = await asyncio.gather(
            self._coordinators.progress(address), self._coordinators.report(address), return_exceptions=True
        )
        progress, report = asked
        for said in asked:
            if isinstance(said, BaseException) and not isinstance(said, NoAnswer):
                raise said
        if isinstance(progress, BaseException):
            memory.token = ""  # the Secret may have been made anew
            memory.unanswered, memory.problem = memory.unanswered + 1, str(progress)
            pause_s = min(self._settings.poll_s * 2 ** min(memory.unanswered - 1, 10), _LONGEST_SILENCE_S)
            memory.ask_again_s = self._clock.monotonic_s() + pause_s
            return Answer(problem=memory.problem)
        memory.unanswered = 0
        return Answer(progress=progress, report=report if not isinstance(report, BaseException) else None)


def _with(seen: Observed, *, events: tuple[EventFact, ...], answer: Answer) -> Observed:
    return dataclasses.replace(seen, events=events, answer=answer)


def _is_going(raw: Raw) -> bool:
    return bool(raw["metadata"].get("deletionTimestamp"))
