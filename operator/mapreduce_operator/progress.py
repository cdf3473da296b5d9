"""Talking with coordinators by HTTP: how far the job is, which workers are gone, that it shall end.

What the answers mean is for `planning` and `status`. A coordinator that does not answer is no error of a pass: it is
one of the things that a pass sees.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from mapreduce.protocol.messages import JobStatus
from mapreduce.typed import from_json
from mapreduce_operator.coordinatorreport import CoordinatorReport

T = TypeVar("T")

_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 4 << 20
_HEADER: Final = "X-MapReduce-Token"
_JOB: Final = "/v1/jobs/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A coordinator, and the token with which it is spoken to."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"Address({self.url!r})"


class NoAnswer(Exception):
    """The coordinator did not answer, or not as one does; the message says how."""


class Coordinators:
    """A client for all coordinators. Build it inside the event loop, and close it."""

    def __init__(self) -> None:
        self._session: Final = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, limit_per_host=2, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S, connect=3.0),
            trust_env=False,
            headers={"Accept": "application/json"},
        )

    async def progress(self, address: Address) -> JobStatus:
        """How far the job is. Raises `NoAnswer`."""
        return await self._call(address, "GET", _JOB, JobStatus)

    async def report(self, address: Address) -> CoordinatorReport:
        """How the coordinator is. Raises `NoAnswer`."""
        return await self._call(address, "GET", "/v1/coordinator", CoordinatorReport)

    async def tell_gone(self, address: Address, workers: tuple[str, ...], *, is_charged: bool, reason: str) -> None:
        """Say that these workers ended. Raises `NoAnswer`."""
        body = {"workers": list(workers), "is_charged": is_charged, "reason": reason}
        await self._call(address, "POST", "/v1/workers/gone", None, body)

    async def cancel(self, address: Address) -> None:
        """End the job. Raises `NoAnswer`."""
        await self._call(address, "POST", f"{_JOB}/cancel", None)

    async def close(self) -> None:
        """Drop all connections."""
        await self._session.close()

    async def _call(
        self, address: Address, method: str, path: str, kind: type[T] | None, body: dict[str, Any] | None = None
    ) -> T:
        try:
            async with self._session.request(
                method,
                f"{address.url.rstrip('/')}{path}",
                headers={_HEADER: address.token, "Content-Type": "application/json"},
                data=msgspec.json.encode(body) if body is not None else None,
                allow_redirects=False,
            ) as response:
                data = await response.content.read(_MAX_BYTES)
                while not response.content.at_eof() and len(data) < _MAX_BYTES:
                    data += await response.content.read(_MAX_BYTES - len(data))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # requests that wait for one look-up of a name are all cancelled with the one that gave up first
            raise NoAnswer("the look-up of its name was given up") from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from None
        if response.status >= 400:
            raise NoAnswer(f"it answers {response.status} to {method} {path}")
        if kind is None:
            return None  # type: ignore[return-value]
        try:
            return from_json(data, kind)
        except msgspec.MsgspecError as error:
            raise NoAnswer(f"its answer to {method} {path} cannot be read: {error}") from None
