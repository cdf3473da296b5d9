"""The part of a local run in which the job runs: a coordinator in this process, workers beside it, signals, the wait.

Imported late, beside processes that are starting, for it brings asyncio and the HTTP server along. What comes before
and after is `local.run`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mapreduce.coordinator.host import HostSettings, serving
from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.statefiles import FolderLock
from mapreduce.local.changes import kept_settings
from mapreduce.local.eventloop import run_loop
from mapreduce.local.interrupts import StopRequest, stop_on_signals
from mapreduce.local.preparing import PreparedJob
from mapreduce.local.processes import Death, WorkerProcesses
from mapreduce.local.sigterm import Interrupted
from mapreduce.local.supervising import stop, supervise, wait_until_gone
from mapreduce.local.watching import PhaseTimes, Watcher
from mapreduce.ownerrecord import End
from mapreduce.protocol.messages import FINAL_STATES, JobStatus, SubmitRequest
from mapreduce.tracesending import TraceTarget

#: How long workers may take to end: after the job, and when the run is interrupted.
END_GRACE_S: Final = 15.0
STOP_GRACE_S: Final = 10.0


@dataclass(slots=True, kw_only=True)
class Hosting:
    """One job, hosted until its end."""

    job: PreparedJob
    state: Path
    lock: FolderLock
    workers: WorkerProcesses
    watcher: Watcher
    times: PhaseTimes
    on_submitted: Callable[[str, int], None]
    """Called, in a thread, with the store's id (hex) and the job's id, before the job runs on."""
    on_ended_without_result: Callable[[End], None]
    """Called, in a thread, as soon as the job is known to have ended without a result, before all clean-up."""
    has_page: bool = False
    """Whether the page is served, and its address told."""
    last_status: JobStatus | None = None

    def run(self) -> JobStatus:
        """Host the job and wait for its end; all workers have ended then.

        Raises `Interrupted`, JobFailed when no worker can be started, and what ends a coordinator.
        """
        return run_loop(self._host)

    async def _host(self) -> JobStatus:
        with stop_on_signals(at_once=self._end_at_once) as request:
            traces = TraceTarget.from_environment(os.environ)
            settings = HostSettings(folder=self.state, port=0, has_page=self.has_page, traces=traces)
            async with serving(settings, lock=self.lock) as host:
                if self.has_page:
                    self.watcher.notice(f"page: {host.page_address()}")
                try:
                    status = await self._see_through(host.service, request)
                except Refused:
                    if host.service.failed.done():
                        host.service.failed.result()  # what has stopped it, and not that it has
                    raise
                await wait_until_gone(self.workers, END_GRACE_S)
        return status

    async def _see_through(self, service: Service, request: StopRequest) -> JobStatus:
        await self._forget_workers(service)
        job = await self._find_or_submit(service)
        await asyncio.to_thread(self.on_submitted, service.store_id.hex(), job)
        service.close_when_idle()
        status = await self._wait(service, job, request)
        if status.state == "Failed" or status.state == "Cancelled":
            # Waiting for workers and telling a collector may take long. Whoever is killed meanwhile has to leave a
            # folder that another job may have: an end that nobody noted is work to be resumed.
            await asyncio.to_thread(self.on_ended_without_result, status.state)
        return status

    async def _forget_workers(self, service: Service) -> None:
        """Workers of an earlier run ended with it, or are about to: nobody need wait for their leases to run out."""
        gone = tuple(name for name in service.machine.state.workers if name not in self.workers.names)
        if gone:
            await service.end_workers(gone, is_charged=False)

    async def _on_death(self, service: Service, death: Death) -> None:
        self.watcher.notice(death.sentence)
        await service.end_workers((death.worker,), is_charged=True)

    async def _find_or_submit(self, service: Service) -> int:
        """The job that the log knew as unfinished, even if it has just ended, or a new one."""
        taken_up = [known for known in (await service.statuses()).jobs if known.job in service.taken_up]
        if taken_up:
            known = taken_up[-1]
            if known.maps.total:
                self.watcher.notice(describe_resumed(known))
            kept = kept_settings((await service.definition(known.job)).spec, self.job.spec)
            if kept:
                self.watcher.notice(f"the job goes on with the settings it was begun with: {', '.join(kept)}")
            return known.job
        bundle = self.job.bundle
        await service.put_code(bundle.sha256, bundle.data)
        reply = await service.submit(SubmitRequest(name=self.job.name, spec=self.job.spec, code=bundle.sha256))
        return reply.job

    async def _wait(self, service: Service, job: int, request: StopRequest) -> JobStatus:
        """Wait for the job's end, or for whatever makes it impossible."""
        watching = asyncio.create_task(self._watch(service, job))
        supervising = asyncio.create_task(supervise(self.workers, partial(self._on_death, service)))
        stopping = asyncio.create_task(request.event.wait())
        try:
            await asyncio.wait((watching, supervising, stopping, service.failed), return_when=asyncio.FIRST_COMPLETED)
            if service.failed.done():
                service.failed.result()
            if watching.done():
                return watching.result()
            if supervising.done():
                supervising.result()
            self.watcher.close()
            self.watcher.notice("stopping; workers give back what they run (Ctrl-C again ends at once)")
            await stop(self.workers, STOP_GRACE_S)
            raise Interrupted(request.number, f"stopped{self._committed()}; the same command goes on from there")
        finally:
            for task in (watching, supervising, stopping):
                task.cancel()
            await asyncio.gather(watching, supervising, stopping, return_exceptions=True)

    async def _watch(self, service: Service, job: int) -> JobStatus:
        sequence, was_paused = 0, False
        while True:
            status, sequence = await service.status(job, wait_s=0.5, after_sequence=sequence)
            is_paused = service.machine.sessions.is_paused
            if is_paused != was_paused:
                was_paused = is_paused
                self.watcher.notice(
                    f"the volume of {self.state} is almost full; the job waits until there is room"
                    if was_paused
                    else "there is room again; the job goes on"
                )
            self.last_status = status
            self.times.enter(status.state, time.monotonic())
            self.watcher.progress(status)
            if status.state in FINAL_STATES:
                return status
            # A busy job changes thousands of times a second; a short one must not wait for us at its end.
            elapsed_s = time.monotonic() - self.times.started_s
            await asyncio.sleep(min(0.1, elapsed_s * 0.02))

    def _committed(self) -> str:
        """How far the job was, as part of a sentence."""
        status = self.last_status
        if status is None or not status.maps.total:
            return ""
        reduces = f" and {status.reduces.committed} of {status.reduces.total} reduces" if status.reduces.total else ""
        return f" with {status.maps.committed} of {status.maps.total} maps{reduces} committed"

    def _end_at_once(self) -> None:
        self.watcher.close()
        self.workers.kill()


def describe_resumed(status: JobStatus) -> str:
    """What a resumed job already has, and what of it went with the workers of the run before."""
    text = f"resuming, {status.resumed_maps} of {status.maps.total} maps already committed"
    if status.resumed_reduces:
        text += f", {status.resumed_reduces} of {status.reduces.total} reduces"
    lost = status.resumed_maps - status.maps.committed
    if lost > 0:
        text += f"; {lost} of these maps have to be made again: the workers that served their runs have ended"
    return text
