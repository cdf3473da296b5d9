"""What the HTTP edge needs of the coordinator, as a Protocol: no HTTP on that side of it, no scheduling on this one.

Every method raises `refusals.Refused` for what it does not do, and returns only what is durable. Names that come from a
path (`stem`, `task`, `name`) are data for the service to look up; the edge never builds a path of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from mapreduce.page.messages import TimelinePage
from mapreduce.protocol.messages import (
    CoordinatorStatus,
    HeartbeatReply,
    HeartbeatRequest,
    JobDefinition,
    JobStatus,
    NextReply,
    NextRequest,
    RegisterReply,
    RegisterRequest,
    RunsPage,
    StatusList,
    SubmitReply,
    SubmitRequest,
    UploadReply,
    WorkersGoneRequest,
)


class CoordinatorService(Protocol):
    """One incarnation of a coordinator."""

    @property
    def epoch(self) -> int:
        """The epoch this incarnation claimed."""
        ...

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the reason, once the log failed or a newer incarnation took over; then nothing works any more."""
        ...

    async def register(self, request: RegisterRequest, /) -> RegisterReply:
        """Let a worker join or come back. The reply's `session` is empty: the edge makes it."""
        ...

    async def next(self, request: NextRequest, /) -> NextReply:
        """Judge what is finished and give new work. Safe to cancel at any await."""
        ...

    async def heartbeat(self, request: HeartbeatRequest, /) -> HeartbeatReply:
        """Renew a worker's leases. Safe to cancel at any await."""
        ...

    async def submit(self, request: SubmitRequest, /) -> SubmitReply:
        """Queue a job."""
        ...

    async def cancel(self, job: int, /) -> JobStatus:
        """End a job without output; one that has ended stays as it is."""
        ...

    async def status(self, job: int, /, *, wait_s: float = 0, after_sequence: int = 0) -> tuple[JobStatus, int]:
        """A job's status and the sequence it shows; waits up to `wait_s` for one above `after_sequence`."""
        ...

    async def statuses(self) -> StatusList:
        """All jobs."""
        ...

    async def definition(self, job: int, /) -> JobDefinition:
        """What a job's tasks share."""
        ...

    async def runs(self, job: int, start: int, limit: int, /) -> RunsPage:
        """The committed runs from map index `start` on, at most `limit`."""
        ...

    async def put_run(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes, /) -> UploadReply:
        """Keep the next bytes of a run's replica, of a run of `size` bytes; elsewhere than at the end: nothing."""
        ...

    async def put_output(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes, /) -> UploadReply:
        """Keep the next bytes of the output of an attempt that `worker` holds."""
        ...

    async def replica_path(self, job: int, stem: str, /) -> Path:
        """Where the replica of a run lies."""
        ...

    async def input_path(self, job: int, index: int, number: int, /) -> Path:
        """Where file `number` of the split of map `index` lies; refused when it is no file of the coordinator's."""
        ...

    async def put_code(self, digest: str, body: bytes, /) -> None:
        """Keep a code bundle; refused when the digest is not that of the body."""
        ...

    async def code(self, digest: str, /) -> bytes:
        """A code bundle."""
        ...

    async def put_attempt_log(self, job: int, stem: str, body: bytes, /) -> None:
        """Keep what an attempt printed."""
        ...

    async def task_log(self, job: int, task: str, /) -> bytes:
        """What the attempts of a task (`map-3`) printed."""
        ...

    async def parts(self, job: int, /) -> list[str]:
        """Names of the published parts."""
        ...

    async def part_path(self, job: int, name: str, /) -> Path:
        """Where a published part lies; refused unless `name` is one of `parts`."""
        ...

    async def workers_gone(self, request: WorkersGoneRequest, /) -> None:
        """Free what workers held that have ended; unknown names say nothing."""
        ...

    async def coordinator_status(self) -> CoordinatorStatus:
        """How this coordinator is."""
        ...

    def frames(self, job: int, /) -> Callable[[int], AsyncIterator[tuple[int, bytes]]]:
        """A subscription to what the page shows of a job (0: the latest): as `subscribe`, with frames."""
        ...

    async def timeline(self, job: int, start: int, limit: int, /) -> TimelinePage:
        """A window of a job's attempts and outputs."""
        ...

    async def trace(self, job: int, /) -> bytes:
        """A job's attempts (0: of the latest job) in Chrome's trace format."""
        ...

    def subscribe(self, from_sequence: int, /) -> AsyncIterator[tuple[int, bytes]]:
        """What happens from now on, as (sequence, JSON), after what came since `from_sequence`.

        With 0, or one too old to be known, the first item is the full state.
        """
        ...
