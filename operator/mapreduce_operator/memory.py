"""What is kept of a job between two passes: only what spares requests. Losing it costs a few of them, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mapreduce_operator.facts import EventFact, Pod
from mapreduce_operator.queueing import Key


@dataclass(slots=True)
class Memory:
    """Of one job."""

    key: Key
    others: set[tuple[str, str]] = field(default_factory=set)
    """Children that are known to exist, besides those that are watched."""
    looked_s: float = float("-inf")
    """When everything was looked at."""
    must_look: bool = False
    """Something was not as expected: look at everything in the next pass."""
    written_s: float = float("-inf")
    """When the status was written."""
    written: int | None = None
    """Digest of the status that was written."""
    stored: int | None = None
    """Digest of what came back of it."""
    token: str = field(default="", repr=False)
    asked_pod: tuple[str, bool] = ("", False)
    """The coordinator's pod that was asked last, and whether it was ready."""
    unanswered: int = 0
    """Questions in a row that had no answer."""
    problem: str = ""
    ask_again_s: float = 0.0
    events: tuple[EventFact, ...] = ()
    """Words of the cluster about children that are not well, as they were read last."""
    events_s: float = float("-inf")
    stuck_at: int | None = None
    """Digest of what the job could not get past in the last pass; None when it went on."""
    stuck_looks: int = 0
    """Passes in a row before that one that found the same."""
    told: set[str] = field(default_factory=set)
    is_active: bool = True
    code_s: float = float("-inf")
    """When the ConfigMap of the code was looked at."""


class Memories:
    """Of all jobs, by their UIDs."""

    def __init__(self) -> None:
        self._of: Final[dict[str, Memory]] = {}
        self._by_key: Final[dict[Key, str]] = {}
        self._departed: Final[dict[str, dict[str, Pod]]] = {}

    def of(self, uid: str, key: Key) -> Memory:
        """The memory of a job, made when it is first seen; an earlier job of that name is forgotten."""
        if (other := self._by_key.get(key)) is not None and other != uid:
            self.forget(key)
        self._by_key[key] = uid
        return self._of.setdefault(uid, Memory(key))

    def forget(self, key: Key) -> None:
        """The job is gone."""
        uid = self._by_key.pop(key, None)
        if uid is not None:
            self._of.pop(uid, None)
            self._departed.pop(uid, None)

    def depart(self, namespace: str, uid: str, pod: Pod) -> None:
        """A pod is gone; of workers, the coordinator will be told, unless it was while the pod was there."""
        memory = self._of.get(uid)
        if pod.component != "worker" or memory is None or memory.key.namespace != namespace:
            return
        if pod.name in memory.told:
            memory.told.discard(pod.name)
        else:
            self._departed.setdefault(uid, {})[pod.name] = pod

    def departed(self, uid: str) -> tuple[Pod, ...]:
        """Workers that are gone."""
        return tuple(self._departed.get(uid, {}).values())

    def settle(self, uid: str, workers: tuple[str, ...]) -> None:
        """The coordinator was told of these."""
        memory = self._of.get(uid)
        gone = self._departed.get(uid, {})
        for name in workers:
            if gone.pop(name, None) is None and memory is not None:
                memory.told.add(name)  # its pod is still there, and would be told of again

    def count(self) -> tuple[int, int]:
        """How many jobs are at work, and how many rest."""
        active = sum(memory.is_active for memory in self._of.values())
        return active, len(self._of) - active
