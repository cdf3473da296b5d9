"""The operator's passes over a cluster in memory, with coordinators that say what the test wants, and a clock."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

from mapreduce.protocol.messages import JobState
from mapreduce.protocol.messages import JobStatus as Progress
from mapreduce_operator import facts, spec
from mapreduce_operator.coordinatorreport import CoordinatorReport
from mapreduce_operator.memory import Memories
from mapreduce_operator.naming import KIND, Names
from mapreduce_operator.observing import Observer, Watches
from mapreduce_operator.passes import Passes
from mapreduce_operator.planning.observed import Children
from mapreduce_operator.progress import Address, Coordinators, NoAnswer
from mapreduce_operator.queueing import Key
from mapreduce_operator.spec import Resource
from tests.support.memorycluster import Call, MemoryCluster
from tests.support.operatorjobs import NOW_S, SETTINGS, UID, Raw, progress, raw_job

KEY = Key("team", "count")
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


@dataclasses.dataclass
class Time:
    """Both clocks, which stand still."""

    at_s: float = NOW_S

    def monotonic_s(self) -> float:
        return self.at_s

    def utc_s(self) -> float:
        return self.at_s

    async def sleep_s(self, seconds: float) -> None:
        self.at_s += seconds


class Said(Coordinators):
    """Coordinators that say what they are told to say."""

    def __init__(self) -> None:
        self.state: JobState | None = "Mapping"
        """None: they do not answer."""
        self.fields: Raw = {}
        self.told: list[tuple[tuple[str, ...], bool]] = []
        self.cancelled = 0

    async def progress(self, address: Address) -> Progress:
        if self.state is None:
            raise NoAnswer("connection refused")
        return progress(self.state, **self.fields)

    async def report(self, address: Address) -> CoordinatorReport:
        return CoordinatorReport(epoch=1)

    async def tell_gone(self, address: Address, workers: tuple[str, ...], *, is_charged: bool, reason: str) -> None:
        self.told.append((workers, is_charged))

    async def cancel(self, address: Address) -> None:
        self.cancelled += 1
        self.state = "Cancelled"


class Sight(Watches):
    """Watches that see the cluster in memory at once, or as it was when they were held."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__((), (), ())
        self._cluster = cluster
        self.held: list[Raw] | None = None

    def hold(self) -> None:
        """See nothing new from now on."""
        self.held = [*self._objects()]

    def children(self, job: Resource, others: frozenset[tuple[str, str]]) -> Children:
        raws = [raw for raw in (self.held or self._objects()) if facts.job_uid(raw) == job.uid]
        by_kind = {kind: [raw for raw in raws if raw["kind"] == kind] for kind in ("Pod", "StatefulSet", "Job")}
        batches = {raw["metadata"]["name"]: facts.batch(raw) for raw in by_kind["Job"]}
        return Children(
            stateful_set=next((facts.stateful_set(raw) for raw in by_kind["StatefulSet"]), None),
            workers=batches.get(job.names.workers),
            cleanup=batches.get(job.names.cleanup),
            pods=tuple(sorted((facts.pod(raw) for raw in by_kind["Pod"]), key=lambda pod: pod.name)),
            others=others,
        )

    def orphans(self, key: Key, uid: str) -> tuple[facts.Pod, ...]:
        return tuple(facts.pod(raw) for raw in self._cluster.of("Pod") if facts.job_uid(raw) != uid)

    def _objects(self) -> list[Raw]:
        return [raw for kind in ("Pod", "StatefulSet", "Job") for raw in self._cluster.of(kind)]


class World:
    """One job, one cluster, one operator after the other."""

    def __init__(self, **options: Any) -> None:
        self.time = Time()
        self.cluster = MemoryCluster()
        self.said = Said()
        self.sight = Sight(self.cluster)
        for name in ("texts", "results", "logs"):
            self.cluster.put(
                {
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": "team"},
                    "spec": {"accessModes": ["ReadWriteMany"]},
                    "status": {"phase": "Bound"},
                }
            )
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.cluster.put({"kind": "Node", "metadata": {"name": "node-a"}, "status": ready})
        self.cluster.put(raw_job(**options))
        self.restart()

    def refuse(self, verb: str, kind: str, error: Exception) -> None:
        """From now on every such call to the API server ends in `error`."""

        def fault(call: Call) -> bool:
            if (call.verb, call.kind) == (verb, kind):
                raise error
            return False

        self.cluster.fault = fault

    def restart(self) -> None:
        """A new operator, which remembers nothing."""
        self.memories = Memories()
        observer = Observer(self.cluster, self.said, self.sight, self.memories, SETTINGS, self.time)
        self.passes = Passes(self.cluster, self.said, observer, self.memories, SETTINGS, self.time)

    async def look(self) -> float | None:
        """One pass, some time after the one before."""
        self.time.at_s += 2
        return await self.passes.look(KEY)

    async def settle(self, rounds: int = 30) -> None:
        """Passes and controllers in turn, until a pass changes nothing."""
        for _ in range(rounds):
            before = len(self.changes)
            self.cluster.settle()
            await self.look()
            if len(self.changes) == before:
                return
        raise AssertionError(f"it never comes to rest: {self.changes[-10:]}")

    @property
    def changes(self) -> list[str]:
        """What the operator has changed, Events aside."""
        return [f"{call.verb} {call.kind}" for call in self.cluster.calls if call.is_change and call.kind != "Event"]

    @property
    def job(self) -> Resource:
        """The job as it is now."""
        return spec.read(self.cluster.objects[KIND, "team", "count"])

    def edit(self, change: Callable[[Raw], None]) -> None:
        """Change the job's specification, as a user does."""
        raw = self.cluster.objects[KIND, "team", "count"]
        edited = {**raw, "metadata": dict(raw["metadata"]), "spec": dict(raw["spec"])}
        change(edited["spec"])
        self.cluster.objects.pop((KIND, "team", "count"))
        edited["metadata"]["generation"] += 1
        self.cluster.put(edited)


def run_story(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a story to its end."""
    asyncio.run(story())


def own_objects(world: World) -> list[str]:
    """All objects but those that were there before the operator came."""
    return [name for name in world.cluster.names() if name.split()[1].startswith("mr-")]
