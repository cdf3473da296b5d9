"""What may be asked of a coordinator, by workers, clients and its host. One method for each call.

It knows asyncio and the log, no HTTP and no Kubernetes. In which order things happen is `shell`, work of its own that
takes time (planning, publishing, probing, cleaning up) is `background`, what streams follow is `feed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from mapreduce.clock import Clock, SystemClock
from mapreduce.coordinator import background, oversight, recovery
from mapreduce.coordinator.blocking import Blocking
from mapreduce.coordinator.plans import Plan
from mapreduce.coordinator.publish import SUCCESS_NAME
from mapreduce.coordinator.refusals import Refused, bad_request, conflict, not_found, not_ready
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.coordinator.shell import Shell
from mapreduce.coordinator.store import Store
from mapreduce.coordinator.transfers import Transfers, find_replicas
from mapreduce.coordinator.viewing import Viewing
from mapreduce.errors import InvalidJobSpec, MapReduceError
from mapreduce.jobspec import check_spec
from mapreduce.page.messages import TimelinePage
from mapreduce.protocol import messages as m
from mapreduce.scheduling import events, records, views
from mapreduce.scheduling.machine import Machine
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.wal.files import FileSystem, LocalFiles
from mapreduce.wal.log import Log

_log = logging.getLogger(__name__)


class Service(Shell):
    """One incarnation of a coordinator over one state folder. Made by `start`, ended by `close`."""

    def __init__(
        self,
        folder: Path,
        log: Log,
        store_id: bytes,
        machine: Machine,
        *,
        settings: ServiceSettings,
        clock: Clock,
        blocking: Blocking,
    ) -> None:
        super().__init__(folder, log, machine, settings=settings, clock=clock, blocking=blocking)
        self.store = Store(folder, settings.runs_folder)
        self.store_id = store_id
        self.plans: dict[int, Plan] = {}
        self.resumed: dict[int, tuple[int, int]] = {}
        self.taken_up: frozenset[int] = frozenset()
        """Jobs that were unfinished when this incarnation began; one that was being published may be over at once."""
        """By job: maps and reduces that were committed when this incarnation took it up."""
        self.notices: tuple[m.Notice, ...] = ()
        """What was found wrong with the log."""
        self.transfers = Transfers(self, self.store, self.plans)
        self.viewing = Viewing(self)
        self._submitting = asyncio.Lock()
        self._effects = background.Effects(self, self.store, self.plans, store_id)
        self.on_records = self._effects.look

    @classmethod
    async def start(
        cls,
        folder: Path,
        *,
        settings: ServiceSettings | None = None,
        files: FileSystem | None = None,
        clock: Clock | None = None,
        blocking: Blocking | None = None,
    ) -> Service:
        """Claims the next epoch, replays the log, and takes every job up where it stands.

        Raises:
            WALForeign: another store's log, or a newer release's, lies in the folder.
            StorageFailed: the log cannot be written.
        """
        settings, clock, blocking = (
            settings or ServiceSettings(),
            clock or SystemClock(),
            blocking or Blocking.threads(),
        )
        runs_folder = settings.runs_folder
        found = await blocking.run(lambda: recovery.recover(folder, files or LocalFiles(), runs_folder))
        machine = Machine(found.state, settings.machine, split_of=lambda job, index: service.split(job, index))
        service = cls(folder, found.log, found.store_id, machine, settings=settings, clock=clock, blocking=blocking)
        lease_s = _longest_lease_s(found.state.current_job, settings)
        replicas: dict[m.AttemptId, int] = {}
        if settings.serves_data:
            replicas = await blocking.run(lambda: find_replicas(found.state, service.store))
        # after what takes long: nobody could call meanwhile
        rejoin_s = settings.machine.rejoin_s
        machine.sessions = Sessions.rearmed(found.state, clock.monotonic_s(), lease_s=lease_s, rejoin_s=rejoin_s)
        machine.sessions.replicas = replicas
        service.plans.update(found.plans)
        service.turn(records.EpochStarted(found.log.epoch, clock.utc_s()))
        for record in found.rebuilt:
            service.turn(record)
        for job in found.state.jobs.values():
            service.resumed[job.id] = (job.maps.committed_count, job.reduces.committed_count)
        service.taken_up = frozenset(job.id for job in found.state.jobs.values() if not job.phase.is_final)
        await service.durable()
        if found.is_rebuilt:  # until a snapshot is there, every start would find the damage again
            await service.compact()
        service.notices = found.notices
        service._effects.start()
        return service

    async def end_workers(self, names: tuple[str, ...], *, is_charged: bool) -> None:
        """The host has seen these workers' processes end: what they held is free at once."""
        await self.handle(events.WorkersGone(names, is_charged))

    async def close(self) -> None:
        """Ends all work of its own and closes the log. What was acknowledged is durable already."""
        self.viewing.close()
        await self._effects.stop()
        with contextlib.suppress(MapReduceError):  # what failed before was told by `failed`
            await self.commits.close()
        self.blocking.shut_down()

    # ------------------------------------------------------------------------------------------------------ workers

    async def register(self, request: m.RegisterRequest) -> m.RegisterReply:
        """Lets a worker join, or come back with what it holds."""
        reply = await self.handle(request)
        assert isinstance(reply, m.RegisterReply)
        return reply

    async def next(self, request: m.NextRequest) -> m.NextReply:
        """Takes over what is finished and grants a batch; waits for one if nothing was finished."""
        deadline_s = self.clock.monotonic_s() + min(request.wait_s, self.settings.poll_s)
        session = self.machine.sessions.workers.get(request.worker)
        while True:
            work = self.work
            if session is not self.machine.sessions.workers.get(request.worker):
                # it registered anew while this call waited: nobody would hear of a task that is granted here
                raise Refused("stale-call", f"{request.worker} has registered again since call {request.call}")
            reply = await self.handle(request)
            assert isinstance(reply, m.NextReply)
            left_s = deadline_s - self.clock.monotonic_s()
            if reply.tasks or reply.verdicts or reply.is_done or not request.want or left_s <= 0:
                return reply
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await work.wait()

    async def heartbeat(self, request: m.HeartbeatRequest) -> m.HeartbeatReply:
        """Renews a worker's leases and gives it its orders."""
        reply = await self.handle(request)
        assert isinstance(reply, m.HeartbeatReply)
        return reply

    async def definition(self, job: int) -> m.JobDefinition:
        """What all tasks of a job share."""
        found = self._job(job)
        await self.durable()
        return m.JobDefinition(
            job=found.id,
            name=found.name,
            spec=found.spec,
            code=found.code,
            maps=found.maps.count,
            partitions=found.reduces.count,
            runs_dir=str(self.store.runs_folder(job)),
            attempts_dir=str(self.store.attempts_folder(found.spec, job)),
            trace_dir=str(self.store.trace_folder(job)),
            data="coordinator" if self.transfers.serves_data(found) else "path",
        )

    async def runs(self, job: int, start: int, limit: int) -> m.RunsPage:
        """The runs that a reduce task has to read. Only a whole list is ever given: none while a map is made again."""
        found = self._job(job)
        if found.phase is not JobPhase.REDUCING:
            await self.durable()
            raise not_ready(f"job {job} is {found.phase}: its runs are not complete now. Ask again.")
        page = views.runs_page(found, start, limit, self._run_url, self.machine.sessions.has_replica)
        await self.durable()
        return page

    def _run_url(self, worker: int, attempt: m.AttemptId) -> str:
        job = self.machine.state.jobs[attempt.job]
        if job.spec.storage.shuffle != "Peer":
            return ""
        holder = self.machine.state.workers.get(self.machine.state.worker_names.get(worker, ""))
        sessions = self.machine.sessions
        if attempt in sessions.refuted and sessions.has_replica(job, attempt.index):
            holder = None  # a reader could not read it there, and the replica was found whole
        base = holder.serve_url if holder is not None else m.NOBODY_SERVES
        return f"{base}/runs/{attempt.job}/{attempt.stem}.run"

    def split(self, job: int, index: int) -> m.Split:
        """The input of one map task."""
        return self.plans[job].split(index)

    async def put_run(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes) -> m.UploadReply:
        """Keeps a piece of a run's replica."""
        return await self.transfers.put_run(worker, self._job(job), stem, offset, size, body)

    async def put_output(self, worker: str, job: int, stem: str, offset: int, size: int, body: bytes) -> m.UploadReply:
        """Keeps a piece of an attempt's output."""
        return await self.transfers.put_output(worker, self._job(job), stem, offset, size, body)

    async def replica_path(self, job: int, stem: str) -> Path:
        """Where a run's replica lies."""
        return self.transfers.replica_path(self._job(job), stem)

    async def input_path(self, job: int, index: int, number: int) -> Path:
        """Where an input file lies."""
        return await self.transfers.input_path(self._job(job), index, number)

    # ------------------------------------------------------------------------------------------------------ clients

    async def submit(self, request: m.SubmitRequest) -> m.SubmitReply:
        """Appends a job to the queue; its code must have been put before."""
        try:
            check_spec(request.spec)
        except InvalidJobSpec as error:
            raise bad_request(str(error)) from error
        if await self.blocking.run(lambda: self.store.code(request.code)) is None:
            raise bad_request(f"code {request.code} is not here: PUT /v1/code/{request.code} first")
        async with self._submitting:  # the file is named by an id that only the record makes taken
            self.check_alive()
            if request.key and (known := await self._submitted(request)) is not None:
                return known
            job = self.machine.state.next_job_id
            # durable beside the log before the record, so that a damaged log can be rebuilt
            await self.blocking.run(lambda: self.store.put_submission(job, request))
            reply = await self.handle(request)
        assert isinstance(reply, m.SubmitReply)
        return reply

    async def _submitted(self, request: m.SubmitRequest) -> m.SubmitReply | None:
        """The job that was submitted with this key; its answer got lost, or this is another repeat of it."""
        submissions = await self.blocking.run(self.store.submissions)
        for job, asked in submissions.items():
            if asked.key != request.key or job not in self.machine.state.jobs:
                continue
            if asked != request:
                raise conflict(f"job {job} was submitted with this key, and it is another one; choose a key of its own")
            await self.durable()
            return m.SubmitReply(job=job)
        return None

    async def cancel(self, job: int) -> m.JobStatus:
        """Ends a job."""
        await self.handle(events.CancelRequested(job))
        return (await self.status(job))[0]

    async def status(self, job: int, *, wait_s: float = 0, after_sequence: int = 0) -> tuple[m.JobStatus, int]:
        """A job, and the sequence this answer shows; with `wait_s` waits for something newer than `after_sequence`."""
        deadline_s = self.clock.monotonic_s() + min(wait_s, 60.0)
        while self.sequence <= after_sequence and (left_s := deadline_s - self.clock.monotonic_s()) > 0:
            self._job(job)
            change = self.change
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await change.wait()
            self.check_alive()
        found = self._job(job)
        shown = views.job_status(self.machine.state, found, resumed=self.resumed.get(job, (0, 0)))
        return oversight.as_written(shown, self.settings.shown_root), await self.durable()

    async def statuses(self) -> m.StatusList:
        """All jobs."""
        self.check_alive()
        shown = views.status_list(self.machine.state, self.sequence, lambda job: self.resumed.get(job, (0, 0)))
        await self.durable()
        jobs = tuple(oversight.as_written(job, self.settings.shown_root) for job in shown.jobs)
        return msgspec.structs.replace(shown, jobs=jobs)

    async def put_code(self, digest: str, body: bytes) -> None:
        """Keeps a code bundle."""
        if not self.store.is_digest(digest):
            raise bad_request("the address of a code bundle is its sha256, 64 hexadecimal digits")
        if not await self.blocking.run(lambda: self.store.put_code(digest, body)):
            raise bad_request(f"the body's sha256 is not {digest}")

    async def code(self, digest: str) -> bytes:
        """A code bundle."""
        body = await self.blocking.run(lambda: self.store.code(digest))
        if body is None:
            raise not_found(f"code bundle {digest}")
        return body

    async def put_attempt_log(self, job: int, stem: str, body: bytes) -> None:
        """Keeps what an attempt printed."""
        self._job(job)
        if not await self.blocking.run(lambda: self.store.put_attempt_log(job, stem, body)):
            raise bad_request(f"{stem!r} names no attempt")

    async def task_log(self, job: int, task: str) -> bytes:
        """What the attempts of a task printed."""
        self._job(job)
        body = await self.blocking.run(lambda: self.store.task_log(job, task))
        if body is None:
            raise not_found(f"task {task} (tasks are called map-3 or reduce-0)")
        return body

    async def parts(self, job: int) -> list[str]:
        """Names of the published parts, in order."""
        found = self._job(job)
        await self.durable()
        if found.phase is not JobPhase.COMPLETE:
            raise conflict(f"job {job} is {found.phase}: it has no output")
        template, table = found.spec.output.name_template, found.outputs
        return [template.format(partition=index) for index in range(table.count) if table.output(index).has_file]

    async def part_path(self, job: int, name: str) -> Path:
        """Where a published part lies, or `_SUCCESS`, which says of each what a reader elsewhere has to know."""
        if name not in (*await self.parts(job), SUCCESS_NAME):
            raise not_found(f"part {name} of job {job}")
        return Path(self._job(job).spec.output.uri) / name

    async def workers_gone(self, request: m.WorkersGoneRequest) -> None:
        """Somebody who knows has seen these workers end."""
        _log.info("Workers ended (%s): %s.", request.reason or "no reason given", ", ".join(request.workers))
        await self.end_workers(request.workers, is_charged=request.is_charged)

    async def coordinator_status(self) -> m.CoordinatorStatus:
        """How this incarnation is."""
        self.check_alive()
        await self.durable()
        return oversight.coordinator_status(self, self.notices, self.transfers.replicas_pending())

    def subscribe(self, from_sequence: int) -> AsyncIterator[tuple[int, bytes]]:
        """What happens, as (sequence, JSON), from after `from_sequence` on; the full state first if that is too old."""
        return self.feed.follow(from_sequence, self)

    def frames(self, job: int) -> Callable[[int], AsyncIterator[tuple[int, bytes]]]:
        """What the page shows of a job, as (sequence, JSON), from after a sequence on; see `viewing`."""
        found = self.viewing.job(job)
        return lambda from_sequence: self.viewing.follow(found.id, from_sequence)

    async def timeline(self, job: int, start: int, limit: int) -> TimelinePage:
        """A window of a job's attempts and outputs."""
        page = self.viewing.page(job, start, limit)
        await self.durable()
        return page

    async def trace(self, job: int) -> bytes:
        """A job's attempts in Chrome's trace format."""
        write = self.viewing.trace(job)
        await self.durable()
        return await self.blocking.run(write)

    def _job(self, job: int) -> Job:
        self.check_alive()
        found = self.machine.state.jobs.get(job)
        if found is None:
            raise not_found(f"job {job}")
        return found


def _longest_lease_s(job: Job | None, settings: ServiceSettings) -> float:
    return settings.machine.lease_s if job is None else float(job.spec.lease_seconds)
