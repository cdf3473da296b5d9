"""Time as a port, so that tests own it. Monotonic seconds decide, UTC seconds are for people."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where the shell gets its time from; the core only ever gets it as an argument."""

    def monotonic_s(self) -> float:
        """Seconds that never jump; what leases are measured with."""
        ...

    def utc_s(self) -> float:
        """Seconds since 1970 by the wall clock; only ever shown."""
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def utc_s(self) -> float:
        """Seconds of the wall clock."""
        return time.time()

    async def sleep_s(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
