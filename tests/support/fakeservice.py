"""A coordinator's service in memory, which the HTTP edge is tested against. It grants, but does not schedule."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from mapreduce.coordinator.refusals import bad_request, not_found, stale_call, unknown_worker
from mapreduce.model import Code, Input, JobSpec, Output
from mapreduce.page.columns import timeline_page
from mapreduce.page.messages import TimelinePage
from mapreduce.protocol.messages import (
    Assignment,
    AttemptId,
    CoordinatorStatus,
    HeartbeatReply,
    HeartbeatRequest,
    JobDefinition,
    JobStatus,
    NextReply,
    NextRequest,
    Notice,
    RegisterReply,
    RegisterRequest,
    RunRef,
    RunsPage,
    StatusList,
    SubmitReply,
    SubmitRequest,
    TaskCounts,
    UploadReply,
    Verdict,
    WorkersGoneRequest,
    WorkerSummary,
)
from mapreduce.scheduling.state import Job

JOB = 1
PART = "part-00000"
ATTEMPT = AttemptId(job=JOB, kind="map", index=3, attempt=1, epoch=1)


def a_spec() -> JobSpec:
    return JobSpec(code=Code(inline="def mapper(x): ..."), inputs=(Input(uri="in"),), output=Output(uri="out"))


class FakeService:
    """One job, `JOB`, with one part; who registers is known; call numbers count as the protocol says."""

    def __init__(self, part: Path, *, epoch: int = 1) -> None:
        self.epoch = epoch
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.part = part
        self.calls: list[tuple[str, object]] = []
        self.log_of_attempt: dict[str, bytes] = {}
        self.bundles: dict[str, bytes] = {}
        self.refuses_commits = False
        self.before: Callable[[str], Awaitable[None]] | None = None
        """Awaited at the start of each call that changes something or waits, with the call's name."""
        self.subscription: Callable[[int], AsyncIterator[tuple[int, bytes]]] | None = None
        self._last: dict[str, tuple[int, NextReply]] = {}

    async def _begin(self, name: str, facts: object) -> None:
        self.calls.append((name, facts))
        if self.before is not None:
            await self.before(name)

    async def register(self, request: RegisterRequest, /) -> RegisterReply:
        await self._begin("register", request)
        self._last.setdefault(request.worker, (0, NextReply(epoch=self.epoch)))
        return RegisterReply(epoch=self.epoch, session="", lease_s=30.0, heartbeat_s=10.0, keep=request.held)

    async def next(self, request: NextRequest, /) -> NextReply:
        await self._begin("next", request)
        if request.worker not in self._last:
            raise unknown_worker(request.worker)
        last_call, last_reply = self._last[request.worker]
        if request.call == last_call:
            return last_reply
        if request.call < last_call:
            raise stale_call(request.call, last_call)
        is_accepted = not self.refuses_commits
        reply = NextReply(
            epoch=self.epoch,
            verdicts=tuple(
                Verdict(id=one.id, accepted=is_accepted, reason="" if is_accepted else "lease lost")
                for one in request.finished
            ),
            tasks=(Assignment(id=ATTEMPT),) * min(request.want, 1),
        )
        self._last[request.worker] = (request.call, reply)
        return reply

    async def heartbeat(self, request: HeartbeatRequest, /) -> HeartbeatReply:
        await self._begin("heartbeat", request)
        return HeartbeatReply(epoch=self.epoch, heartbeat_s=10.0)

    async def submit(self, request: SubmitRequest, /) -> SubmitReply:
        await self._begin("submit", request)
        return SubmitReply(job=JOB)

    async def cancel(self, job: int, /) -> JobStatus:
        await self._begin("cancel", job)
        return msgspec.structs.replace(self._status(job), state="Cancelled")

    async def status(self, job: int, /, *, wait_s: float = 0, after_sequence: int = 0) -> tuple[JobStatus, int]:
        await self._begin("status", (job, wait_s, after_sequence))
        return self._status(job), 7

    async def statuses(self) -> StatusList:
        return StatusList(jobs=(self._status(JOB),), epoch=self.epoch, sequence=7)

    async def definition(self, job: int, /) -> JobDefinition:
        self._status(job)
        return JobDefinition(
            job=job,
            name="words",
            spec=a_spec(),
            code="0" * 64,
            maps=4,
            partitions=1,
            runs_dir="runs",
            attempts_dir="attempts",
            trace_dir="traces",
        )

    async def runs(self, job: int, start: int, limit: int, /) -> RunsPage:
        self._status(job)
        self.calls.append(("runs", (start, limit)))
        return RunsPage(runs=(RunRef(map=ATTEMPT, bytes=10, digest=1 << 63),))

    async def put_run(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes, /) -> UploadReply:
        await self._begin("put_run", (worker, stem, offset, size))
        return UploadReply(received=len(body), is_complete=len(body) == size)

    async def put_output(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes, /) -> UploadReply:
        await self._begin("put_output", (worker, stem, offset, size))
        return UploadReply(received=len(body), is_complete=len(body) == size)

    async def replica_path(self, job: int, stem: str, /) -> Path:
        self._status(job)
        self.calls.append(("replica_path", stem))
        return self.part

    async def input_path(self, job: int, index: int, number: int, /) -> Path:
        self._status(job)
        self.calls.append(("input_path", (index, number)))
        return self.part

    async def workers_gone(self, request: WorkersGoneRequest, /) -> None:
        await self._begin("workers_gone", request)

    async def coordinator_status(self) -> CoordinatorStatus:
        return CoordinatorStatus(
            epoch=self.epoch,
            sequence=7,
            version="1",
            notices=(Notice(reason="LowSpace", message="The volume is full."),),
            workers=(WorkerSummary(name="worker-a", slots=2, last_heartbeat_age_s=0.5, running=1),),
        )

    async def put_code(self, digest: str, body: bytes, /) -> None:
        await self._begin("put_code", digest)
        if hashlib.sha256(body).hexdigest() != digest:
            raise bad_request("The body's sha256 is another one.")
        self.bundles[digest] = body

    async def code(self, digest: str, /) -> bytes:
        if digest not in self.bundles:
            raise not_found(f"code bundle {digest}")
        return self.bundles[digest]

    async def put_attempt_log(self, job: int, stem: str, body: bytes, /) -> None:
        await self._begin("put_attempt_log", (job, stem))
        self.log_of_attempt[stem] = body

    async def task_log(self, job: int, task: str, /) -> bytes:
        self._status(job)
        return f"what {task} printed\n".encode()

    async def parts(self, job: int, /) -> list[str]:
        self._status(job)
        return [PART]

    async def part_path(self, job: int, name: str, /) -> Path:
        self._status(job)
        self.calls.append(("part_path", name))
        if name != PART:
            raise not_found(f"part {name} of job {job}")
        return self.part

    def frames(self, job: int, /) -> Callable[[int], AsyncIterator[tuple[int, bytes]]]:
        self._status(job or JOB)
        return self.subscribe

    async def timeline(self, job: int, start: int, limit: int, /) -> TimelinePage:
        self._status(job)
        made = Job(job, "words", a_spec(), "0" * 64, 0.0)
        return timeline_page(made, start, limit)

    async def trace(self, job: int, /) -> bytes:
        self._status(job or JOB)
        return b"{}"

    async def subscribe(self, from_sequence: int, /) -> AsyncIterator[tuple[int, bytes]]:
        self.calls.append(("subscribe", from_sequence))
        if self.subscription is not None:
            async for item in self.subscription(from_sequence):
                yield item

    def _status(self, job: int) -> JobStatus:
        if job != JOB:
            raise not_found(f"job {job}")
        return JobStatus(job=job, name="words", state="Mapping", maps=TaskCounts(total=4, committed=1))
