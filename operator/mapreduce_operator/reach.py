"""Which namespaces can be looked after: one that is gone, or whose Role is, must not stop the operator for the others.

kopf ends when it may not watch a namespace, so it is given those alone that can be looked at. When there are more or
fewer of them, the process ends, and the next one begins with those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mapreduce_operator import definition, metrics
from mapreduce_operator.api import ApiError
from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.naming import KIND
from mapreduce_operator.observing import Watches

_LOOK_S: Final = 2.0

logger = logging.getLogger(__name__)


class Reach:
    """The namespaces of an operator; the only one is empty where it looks after all of them."""

    def __init__(self, cluster: ClusterPort, namespaces: tuple[str, ...]) -> None:
        self._cluster: Final = cluster
        self.wanted: Final = namespaces or ("",)
        self.reached: tuple[str, ...] = ()
        """Those that are looked after."""
        self._told: Final[set[str]] = set()

    async def wait_for_definition(self, came_on: Callable[[], None]) -> None:
        """Wait until jobs can be listed somewhere: the CRD may be installed after the operator.

        `came_on` is called whenever the API server has answered.
        """
        while True:
            for namespace in self.wanted:
                error = await self._jobs_error(namespace)
                if error is None:
                    return
                if error.is_closed:
                    came_on()
                self._tell(namespace, str(error), is_refused=error.status == 403)
            await asyncio.sleep(_LOOK_S)

    async def find(self, watches: Watches, came_on: Callable[[], None]) -> tuple[str, ...]:
        """Wait until every watch was answered and some namespace can be looked after; gives those that can."""
        for watch in watches.all:
            await watch.is_answered.wait()
            came_on()
        while not (found := await self._open(watches)):
            came_on()
            await asyncio.sleep(_LOOK_S)
        self.reached = found
        return found

    async def until_changed(self, watches: Watches, *, look_s: float) -> None:
        """Return once other namespaces can be looked after than those that are, at two looks in a row."""
        found, changes = self.reached, 0
        while changes < 2:
            await asyncio.sleep(look_s)
            found = await self._open(watches)
            changes = changes + 1 if found != self.reached and self.wanted != ("",) else 0
        logger.warning("The operator starts anew, to look after %s.", ", ".join(found) or "no namespace")

    async def _open(self, watches: Watches) -> tuple[str, ...]:
        """The namespaces in which everything may be looked at."""
        closed = set()
        for watch in watches.all:
            if watch.refusal or not watch.is_complete.is_set():
                closed.add(watch.namespace)
                self._tell(watch.namespace, watch.refusal or f"{watch.kind}s are not listed yet", is_refused=True)
        for namespace in self.wanted:
            if namespace in closed or namespace in self.reached:
                continue
            if (error := await self._jobs_error(namespace)) is not None:
                closed.add(namespace)
                self._tell(namespace, str(error), is_refused=error.status == 403)
        self._told.intersection_update(closed)
        metrics.CLOSED_NAMESPACES.set(len(closed))
        return tuple(one for one in self.wanted if one not in closed)

    async def _jobs_error(self, namespace: str) -> ApiError | None:
        try:
            async for _ in self._cluster.pages(KIND, namespace, ""):
                break
        except ApiError as error:
            return error
        return None

    def _tell(self, namespace: str, said: str, *, is_refused: bool) -> None:
        """Say once why a namespace is not looked after, and what to do."""
        if namespace in self._told:
            return
        self._told.add(namespace)
        if not is_refused:
            logger.warning("Jobs cannot be listed: %s. Is the definition %s installed?", said.strip(), definition.NAME)
        elif namespace:
            logger.warning(
                "Namespace %s is not looked after: %s. If it is there, give the operator's account its Role in it, as "
                "the chart does; if it is gone, take it out of watchNamespaces.",
                namespace,
                said,
            )
        else:
            logger.warning("No job is looked after: %s. Give the operator's account its ClusterRole.", said)
