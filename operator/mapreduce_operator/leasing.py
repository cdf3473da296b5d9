"""Who acts: the holder of a Lease, at most one operator at a time.

`kubernetes.aio` has an election too, but it keeps its record in an annotation of a ConfigMap and measures by the wall
clock. Here the Lease's own version guards every change, and an expiry is measured by our clock from when we saw the
record change, so clocks of different nodes need not agree. Whoever cannot renew stops before another may begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mapreduce_operator import metrics, times
from mapreduce_operator.api import ApiError

Raw = dict[str, Any]

_RENEWALS: Final = 5
"""How often the Lease is renewed in its duration."""

logger = logging.getLogger(__name__)


class LeasePort(Protocol):
    """What is needed of the API server."""

    async def get(self, kind: str, namespace: str, name: str) -> Raw | None:
        """The Lease."""

    async def create(self, manifest: Raw) -> bool:
        """Make it; False: somebody was faster."""

    async def replace(self, manifest: Raw) -> bool:
        """Write it as it was read and changed; False: somebody was faster."""


@dataclass(slots=True)
class Election:
    """One candidate."""

    port: LeasePort
    namespace: str
    name: str
    identity: str
    duration_s: float
    now_s: Callable[[], float] = time.monotonic
    is_leader: bool = False
    is_standby: bool = False
    """Whether another one was seen to hold it."""
    _seen: tuple[str, str] = field(default=("", ""), init=False)
    _seen_s: float = field(default=float("-inf"), init=False)
    _renewed_s: float = field(default=float("-inf"), init=False)

    async def acquire(self) -> None:
        """Wait until this candidate holds the Lease."""
        logger.info("Waiting for the Lease %s/%s as %s.", self.namespace, self.name, self.identity)
        while not await self.attempt():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(self.duration_s / _RENEWALS)
        logger.info("Holding the Lease.")

    async def hold(self) -> None:
        """Renew until that fails for too long; when this returns, this candidate must not act any more."""
        while True:
            await asyncio.sleep(self.duration_s / _RENEWALS)
            try:
                async with asyncio.timeout(self.duration_s / 2):
                    await self.attempt()
            except TimeoutError:
                pass
            # stop well before another may begin, whose clock started with our last renewal or later
            if not self.is_leader or self.now_s() - self._renewed_s > self.duration_s * 2 / 3:
                self.is_leader = False
                metrics.IS_LEADER.set(0)
                return

    async def attempt(self) -> bool:
        """Take or renew the Lease once, if that may be. Failure to reach the API server changes nothing."""
        began_s = self.now_s()
        try:
            got = await self._attempt()
        except ApiError as error:
            logger.warning("The Lease cannot be looked at: %s", error)
            self.is_standby = False
            return False
        if got:
            self._renewed_s = began_s
        self.is_leader, self.is_standby = got, not got
        metrics.IS_LEADER.set(int(got))
        return got

    async def release(self) -> None:
        """Let the next one begin at once."""
        if not self.is_leader:
            return
        self.is_leader = False
        metrics.IS_LEADER.set(0)
        try:
            lease = await self.port.get("Lease", self.namespace, self.name)
            if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"]["holderIdentity"] = ""
                lease["spec"]["leaseDurationSeconds"] = 1
                await self.port.replace(lease)
        except ApiError as error:
            logger.warning("The Lease could not be released: %s", error)

    async def _attempt(self) -> bool:
        lease = await self.port.get("Lease", self.namespace, self.name)
        if lease is None:
            return await self.port.create(
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": self.namespace},
                    "spec": {**self._record(), "acquireTime": times.micro_text(time.time()), "leaseTransitions": 0},
                }
            )
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        record = (holder, spec.get("renewTime") or "")
        if record != self._seen:
            self._seen, self._seen_s = record, self.now_s()
        if holder not in {"", self.identity}:
            lasts_s = float(spec.get("leaseDurationSeconds") or self.duration_s)
            if self.now_s() < self._seen_s + lasts_s:
                return False
        if holder != self.identity:
            spec["acquireTime"] = times.micro_text(time.time())
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        spec.update(self._record())
        return await self.port.replace(lease)

    def _record(self) -> Raw:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.duration_s)),
            "renewTime": times.micro_text(time.time()),
        }
