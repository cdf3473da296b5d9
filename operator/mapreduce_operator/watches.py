"""Children of all jobs, kept up to date by watches: few facts of each, found by the job's UID.

A watch that breaks is begun again where it ended; where that is not possible, everything is listed anew and what is
missing then counts as deleted, so that no deletion is ever lost.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from mapreduce_operator import facts, metrics
from mapreduce_operator.api import ApiError
from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.facts import Batch, Pod, StatefulSet
from mapreduce_operator.naming import JOB_LABEL, UID_LABEL
from mapreduce_operator.queueing import Key

Raw = dict[str, Any]
F = TypeVar("F", Pod, StatefulSet, Batch)

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_EXPIRED: Final = 410

logger = logging.getLogger(__name__)


class Children(Generic[F]):
    """All children of one kind, in one namespace or all of them."""

    def __init__(
        self,
        kind: str,
        namespace: str,
        read: Callable[[Raw], F],
        changed: Callable[[Key], None],
        departed: Callable[[str, F], None] = lambda _uid, _fact: None,
    ) -> None:
        self.kind: Final = kind
        self.namespace: Final = namespace
        self.is_complete: Final = asyncio.Event()
        """Set once everything was listed."""
        self.alive_s = time.monotonic()
        """When the watch last gave a sign of life."""
        self._read: Final[Callable[[Raw], F]] = read
        self._changed: Final = changed
        self._departed: Final[Callable[[str, F], None]] = departed
        self._facts: Final[dict[str, dict[str, F]]] = {}
        self._keys: Final[dict[str, Key]] = {}
        self._by_key: Final[dict[Key, set[str]]] = {}
        self._version = ""

    def of(self, uid: str) -> tuple[F, ...]:
        """The children of the job with that UID."""
        return tuple(self._facts.get(uid, {}).values())

    def uids(self, key: Key) -> list[str]:
        """The jobs of that name that have children: one, and earlier ones that are not quite gone."""
        return sorted(self._by_key.get(key, ()))

    def __len__(self) -> int:
        return sum(len(children) for children in self._facts.values())

    async def run(self, cluster: ClusterPort, *, watch_s: float) -> None:
        """List and watch until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            try:
                if not self._version:
                    await self._list(cluster)
                seconds = watch_s * random.uniform(0.9, 1.0)  # noqa: S311 - so that not all end at once
                async for change in cluster.watch(self.kind, self.namespace, UID_LABEL, self._version, seconds):
                    self.alive_s = time.monotonic()
                    self._apply(change)
                    pause_s = _FIRST_PAUSE_S
                self.alive_s = time.monotonic()
                pause_s = _FIRST_PAUSE_S
            except ApiError as error:
                if time.monotonic() - began_s > _LONGEST_PAUSE_S:  # it worked, in silence: a proxy may end them all
                    pause_s = _FIRST_PAUSE_S
                if error.status == _EXPIRED:
                    is_first, self._version = bool(self._version), ""
                    if is_first and pause_s == _FIRST_PAUSE_S:
                        pause_s *= 2  # at once, but not again and again
                        continue
                logger.info("Watch of %s: %s. Again in %.1f s.", self.kind, error, pause_s)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _list(self, cluster: ClusterPort) -> None:
        metrics.RELISTS.labels(kind=self.kind).inc()
        before = {(uid, name) for uid, children in self._facts.items() for name in children}
        version = ""
        async for items, listed in cluster.pages(self.kind, self.namespace, UID_LABEL):
            version = listed
            for raw in items:
                before.discard((facts.job_uid(raw), raw["metadata"]["name"]))
                self._put(raw)
        for uid, name in before:
            self._remove(uid, name)
        self._version = version
        self.alive_s = time.monotonic()
        self.is_complete.set()

    def _apply(self, change: Raw) -> None:
        raw = change.get("object") or {}
        match change.get("type"):
            case "ADDED" | "MODIFIED":
                self._put(raw)
            case "DELETED":
                self._put(raw)  # how it was when it went
                self._remove(facts.job_uid(raw), raw["metadata"]["name"])
            case "BOOKMARK":
                pass
            case _:
                code = raw.get("code", 0)
                raise ApiError(code or 0, raw.get("reason", "WatchError"), raw.get("message", "the watch broke"))
        self._version = raw["metadata"].get("resourceVersion", self._version)

    def _put(self, raw: Raw) -> None:
        uid = facts.job_uid(raw)
        if not uid or not _key(raw).name:
            return  # labelled by somebody else
        fact = self._read(raw)
        children = self._facts.setdefault(uid, {})
        key = self._keys[uid] = _key(raw)
        self._by_key.setdefault(key, set()).add(uid)
        if children.get(fact.name) != fact:
            children[fact.name] = fact
            self._changed(self._keys[uid])

    def _remove(self, uid: str, name: str) -> None:
        children = self._facts.get(uid, {})
        fact = children.pop(name, None)
        if fact is not None:
            self._departed(uid, fact)
            self._changed(self._keys[uid])
        if not children:
            self._facts.pop(uid, None)
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        key = self._keys.pop(uid, None)
        if key is not None and (uids := self._by_key.get(key)) is not None:
            uids.discard(uid)
            if not uids:
                del self._by_key[key]


def _key(raw: Raw) -> Key:
    labels = raw["metadata"].get("labels") or {}
    return Key(raw["metadata"]["namespace"], labels.get(JOB_LABEL, ""))
