"""Children of all jobs, kept up to date by watches: few facts of each, found by the job's namespace and UID.

A watch that breaks is begun again where it ended; where that is not possible, everything is listed anew and what is
missing then counts as deleted, so that no deletion is ever lost. A label alone makes no child: see `ownership`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from mapreduce_operator import facts, metrics, ownership
from mapreduce_operator.api import ApiError
from mapreduce_operator.cluster import ClusterPort
from mapreduce_operator.facts import Batch, Pod, StatefulSet
from mapreduce_operator.naming import JOB_LABEL, UID_LABEL
from mapreduce_operator.queueing import Key

Raw = dict[str, Any]
F = TypeVar("F", Pod, StatefulSet, Batch)
#: Namespace and UID of a job.
Owner = tuple[str, str]

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
        departed: Callable[[str, str, F], None] = lambda _namespace, _uid, _fact: None,
    ) -> None:
        self.kind: Final = kind
        self.namespace: Final = namespace
        self.is_complete: Final = asyncio.Event()
        """Set once everything was listed."""
        self.is_answered: Final = asyncio.Event()
        """Set once the API server has answered, were it by a refusal."""
        self.refusal = ""
        """Why the API server shows nothing of this kind here; empty while it does."""
        self.alive_s = time.monotonic()
        """When the watch last gave a sign of life."""
        self._read: Final[Callable[[Raw], F]] = read
        self._changed: Final = changed
        self._departed: Final[Callable[[str, str, F], None]] = departed
        self._facts: Final[dict[Owner, dict[str, F]]] = {}
        self._keys: Final[dict[Owner, Key]] = {}
        self._by_key: Final[dict[Key, set[str]]] = {}
        self._version = ""

    def of(self, namespace: str, uid: str) -> tuple[F, ...]:
        """The children of the job with that UID, which are in its namespace."""
        return tuple(self._facts.get((namespace, uid), {}).values())

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
                if error.is_closed:
                    self._refuse(error)
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
        before = {(owner, name) for owner, children in self._facts.items() for name in children}
        version = ""
        async for items, listed in cluster.pages(self.kind, self.namespace, UID_LABEL):
            version = listed
            for raw in items:
                before.discard((_owner(raw), raw["metadata"]["name"]))
                self._put(raw)
        for owner, name in before:
            self._remove(owner, name)
        self._version = version
        self.alive_s = time.monotonic()
        self.refusal = ""
        self.is_complete.set()
        self.is_answered.set()

    def _refuse(self, error: ApiError) -> None:
        """The namespace is gone, or its Role: a server that says so is well, and a new process would hear the same."""
        self.alive_s = time.monotonic()
        self.refusal = str(error)
        self._version = ""
        self.is_answered.set()

    def _apply(self, change: Raw) -> None:
        raw = change.get("object") or {}
        match change.get("type"):
            case "ADDED" | "MODIFIED":
                self._put(raw)
            case "DELETED":
                self._put(raw)  # how it was when it went
                self._remove(_owner(raw), raw["metadata"]["name"])
            case "BOOKMARK":
                pass
            case _:
                code = raw.get("code", 0)
                raise ApiError(code or 0, raw.get("reason", "WatchError"), raw.get("message", "the watch broke"))
        self._version = raw["metadata"].get("resourceVersion", self._version)

    def _put(self, raw: Raw) -> None:
        key, owner = _key(raw), _owner(raw)
        name = raw["metadata"]["name"]
        if not owner[1] or not key.name:
            return  # labelled by somebody else
        children = self._facts.get(owner, {})
        if not ownership.is_child(self.kind, raw) and (name not in children or ownership.has_controller(raw)):
            self._remove(owner, name)
            return  # so labelled by somebody else; what lost its owner is still what it was
        fact = self._read(raw)
        if children.get(name) != fact:
            self._facts.setdefault(owner, children)[name] = fact
            self._keys[owner] = key
            self._by_key.setdefault(key, set()).add(owner[1])
            self._changed(key)

    def _remove(self, owner: Owner, name: str) -> None:
        children = self._facts.get(owner, {})
        fact = children.pop(name, None)
        if fact is not None:
            self._departed(*owner, fact)
            self._changed(self._keys[owner])
        if not children:
            self._facts.pop(owner, None)
            self._forget(owner)

    def _forget(self, owner: Owner) -> None:
        key = self._keys.pop(owner, None)
        if key is not None and (uids := self._by_key.get(key)) is not None:
            uids.discard(owner[1])
            if not uids:
                del self._by_key[key]


def _owner(raw: Raw) -> Owner:
    return raw["metadata"]["namespace"], facts.job_uid(raw)


def _key(raw: Raw) -> Key:
    labels = raw["metadata"].get("labels") or {}
    return Key(raw["metadata"]["namespace"], labels.get(JOB_LABEL, ""))
