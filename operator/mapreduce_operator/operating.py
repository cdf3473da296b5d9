"""The whole operator put together: Lease, watches, queue, passes, and their end. kopf is in `handlers`."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import web

from mapreduce.clock import SystemClock
from mapreduce_operator import definition, facts, health, metrics
from mapreduce_operator.api import Api, ApiError, configuration
from mapreduce_operator.cluster import Cluster
from mapreduce_operator.crd.resource import object_schema
from mapreduce_operator.leasing import Election
from mapreduce_operator.memory import Memories
from mapreduce_operator.naming import KIND
from mapreduce_operator.observing import Observer, Watches
from mapreduce_operator.passes import Passes
from mapreduce_operator.progress import Coordinators
from mapreduce_operator.queueing import Key, Queue
from mapreduce_operator.reach import Reach
from mapreduce_operator.settings import Settings
from mapreduce_operator.watches import Children

_CRD_LOOK_S: Final = 2.0
_GAUGE_EVERY_S: Final = 5.0
_LOOKS_PER_WATCH: Final = 6

logger = logging.getLogger(__name__)


class Operator:
    """One operator process."""

    def __init__(self, settings: Settings, *, end: Callable[[], None]) -> None:
        """`end` has the process end, because this operator must not act any more."""
        self.settings: Final = settings
        self._end: Final = end
        self._api: Api | None = None
        self._coordinators: Coordinators | None = None
        self._election: Election | None = None
        self._queue: Queue | None = None
        self._reach: Reach | None = None
        self._runners: list[web.AppRunner] = []
        self._is_stopping = False
        self._tasks: Final[list[asyncio.Task[None]]] = []

    async def start(self) -> None:
        """Returns once this operator acts: the CRD is there, the Lease is held, all children are known."""
        probe = health.Health()
        self._runners = await health.serve(
            probe, health_port=self.settings.health_port, metrics_port=self.settings.metrics_port
        )
        self._api = Api(await configuration(), request_s=self.settings.request_s)
        cluster = Cluster(self._api)
        reach = self._reach = Reach(cluster, self.settings.namespaces)
        await reach.wait_for_definition(probe.came_on)
        if self.settings.lease_namespace:
            self._election = Election(
                cluster,
                self.settings.lease_namespace,
                self.settings.lease_name,
                self.settings.identity,
                self.settings.lease_s,
            )
            probe.is_standby = lambda: self._election is not None and self._election.is_standby
            await self._election.acquire()
            probe.came_on()
            self._run(self._hold(self._election), "hold the Lease")
        clock, memories = SystemClock(), Memories()
        self._coordinators = Coordinators()
        watches = self._watches(memories, reach.wanted)
        probe.watches_s = lambda: [watch.alive_s for watch in watches.all]
        observer = Observer(cluster, self._coordinators, watches, memories, self.settings, clock)
        passes = Passes(cluster, self._coordinators, observer, memories, self.settings, clock)
        self._queue = Queue(passes.look, at_once=self.settings.passes_at_once)
        for watch in watches.all:
            self._run(watch.run(cluster, watch_s=self.settings.watch_s), f"watch {watch.kind} {watch.namespace}")
        await reach.find(watches, probe.came_on)
        self._run(self._queue.run(), "passes")
        self._run(self._resync(cluster), "resync")
        self._run(self._measure(memories), "measure")
        self._run(self._check_definition(self._api), "check the definition")
        self._run(self._end_for_others(reach, watches), "look for other namespaces")
        probe.overdue_s = self._queue.overdue_s
        probe.is_acting = True

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those of the settings' namespaces that can be looked after, once it has started."""
        return self._reach.reached if self._reach is not None else ()

    async def stop(self) -> None:
        """End everything, and let the next operator begin at once."""
        self._is_stopping = True
        if self._queue is not None:
            await self._queue.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._election is not None:
            await self._election.release()
        if self._coordinators is not None:
            await self._coordinators.close()
        if self._api is not None:
            await self._api.close()
        for runner in self._runners:
            await runner.cleanup()

    def notice(self, key: Key) -> None:
        """Something about this job has changed."""
        if self._queue is not None:
            self._queue.add(key)

    async def _hold(self, election: Election) -> None:
        await election.hold()
        logger.error("The Lease is lost: another operator may act now, so this one ends.")
        if self._queue is not None:
            await self._queue.stop()
        self._end()

    async def _end_for_others(self, reach: Reach, watches: Watches) -> None:
        await reach.until_changed(watches, look_s=self.settings.watch_s / _LOOKS_PER_WATCH)
        self._end()

    async def _check_definition(self, api: Api) -> None:
        """Say so if the definition is older than this operator. It is published some time after it is served."""
        wanted = object_schema()
        while True:
            try:
                there = definition.published(await api.call("GET", definition.OPENAPI_PATH))
            except ApiError as error:
                logger.debug("The definition is not published: %s", error)
                if error.status in {401, 403}:
                    return  # this cluster shows its schemas to nobody
                there = None
            if there is not None:
                break
            await asyncio.sleep(_CRD_LOOK_S)
        if missing := definition.missing_fields(there, wanted):
            logger.warning(
                "The definition %s is older than this operator: it lacks %s. Apply the one of this release.",
                definition.NAME,
                ", ".join(missing[:10]),
            )

    def _watches(self, memories: Memories, namespaces: tuple[str, ...]) -> Watches:
        return Watches(
            tuple(Children("Pod", one, facts.pod, self.notice, memories.depart) for one in namespaces),
            tuple(Children("StatefulSet", one, facts.stateful_set, self.notice) for one in namespaces),
            tuple(Children("Job", one, facts.batch, self.notice) for one in namespaces),
        )

    async def _resync(self, cluster: Cluster) -> None:
        """Look at every job now and then, whatever events said or did not say."""
        while True:
            await asyncio.sleep(self.settings.resync_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            for namespace in self._reach.reached if self._reach is not None else ():
                try:
                    async for jobs, _ in cluster.pages(KIND, namespace, ""):
                        for raw in jobs:
                            key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
                            if self._queue is not None:
                                self._queue.add(key, in_s=random.uniform(0, self.settings.resync_s / 10))  # noqa: S311
                except ApiError as error:
                    logger.info("Jobs could not be listed: %s", error)

    async def _measure(self, memories: Memories) -> None:
        while True:
            active, resting = memories.count()
            metrics.JOBS.labels(stage="active").set(active)
            metrics.JOBS.labels(stage="resting").set(resting)
            await asyncio.sleep(_GAUGE_EVERY_S)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by an error takes the process along: a new one starts from a clean state."""
        if task.cancelled():
            if not self._is_stopping:  # a cancellation that leaked out of a library
                logger.error("%s was cancelled by nobody; the operator ends.", task.get_name())
                self._end()
        elif (error := task.exception()) is not None:
            logger.error("%s failed; the operator ends.", task.get_name(), exc_info=error)
            self._end()
