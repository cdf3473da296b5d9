"""Running a job here: claim the output folder, host a coordinator in this process, keep workers beside it, wait.

The order is chosen for a fast start: the child that describes the user's code and the workers are started first, and
the coordinator's imports happen beside them. Everything that can be refused is refused before a task exists, and then
nothing is left behind. No user code is imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mapreduce.coordinator.statefiles import ENDPOINT_FILE, TOKEN_FILE
from mapreduce.local.changes import kept_settings
from mapreduce.local.claiming import OutputClaim, remove_tree
from mapreduce.local.eventloop import run_loop
from mapreduce.local.interrupts import Interrupted, StopRequest, raise_on_sigterm, stop_on_signals
from mapreduce.local.paths import OutputPaths
from mapreduce.local.preflight import check_space, default_worker_count, list_inputs
from mapreduce.local.preparing import PreparedJob, prepared_of
from mapreduce.local.processes import WorkerProcesses, WorkerSettings
from mapreduce.local.watching import PhaseTimes, RunReport, SilentWatcher, Watcher
from mapreduce.model import JobSpec
from mapreduce.ownerrecord import OwnerRecord, make_owner_record
from mapreduce.protocol.messages import FINAL_STATES, JobStatus, SubmitRequest

if TYPE_CHECKING:
    from mapreduce.coordinator.service import Service

#: How long workers may take to end: after the job, and when the run is interrupted.
END_GRACE_S: Final = 15.0
STOP_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run, and how."""

    output: Path
    """Absolute."""
    prepare: Callable[[], PreparedJob]
    """Gives the job; called once the workers are being started. Raises UsageError."""
    workers: int
    slots: int = 1
    may_overwrite: bool = False
    restart: bool = False


def run_job(
    spec: JobSpec,
    *,
    name: str,
    source: Path,
    py_files: Iterable[Path] = (),
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> JobStatus:
    """Run a job that a program has put together and wait for its end; the door of `Job.run`.

    Raises the errors of a refused request, `Interrupted`, and those of a coordinator that cannot go on. A job that
    fails is no exception here: its status says so.
    """
    prepared = prepared_of(spec, name=name, source=source, py_files=py_files)
    request = RunRequest(
        output=Path(prepared.spec.output.uri),
        prepare=lambda: prepared,
        workers=default_worker_count() if workers is None else workers,
        slots=spec.workers.slots,
        may_overwrite=spec.output.overwrite == "Replace",
    )
    return run(request, watcher or SilentWatcher()).status


def run(request: RunRequest, watcher: Watcher) -> RunReport:
    """Run a job and wait for its end; see `run_job` for what is raised. All workers have ended on return."""
    with raise_on_sigterm():
        return _LocalRun(request, watcher).run()


@dataclass(slots=True)
class _LocalRun:
    request: RunRequest
    watcher: Watcher
    paths: OutputPaths = field(init=False)
    workers: WorkerProcesses = field(init=False)
    times: PhaseTimes = field(init=False)
    last_status: JobStatus | None = None

    def __post_init__(self) -> None:
        self.paths = OutputPaths(self.request.output)
        self.times = PhaseTimes(time.monotonic())
        self.workers = WorkerProcesses(
            WorkerSettings(
                state=self.paths.state,
                count=self.request.workers,
                slots=self.request.slots,
                scratch=self.paths.scratch,
                logs=self.paths.workers,
            )
        )

    def run(self) -> RunReport:
        claim = OutputClaim.acquire(self.paths, overwrite=self.request.may_overwrite)
        is_settled = False
        try:
            self._begin_workers()
            job, owner = self._settle(claim)
            is_settled = True
            status = run_loop(lambda: self._host(claim, job, owner))
        finally:
            self.watcher.close()
            self.workers.kill()
            if is_settled:
                self._tidy()
                claim.release()
            else:
                claim.undo()
        return RunReport(
            status=status,
            output=self.paths.folder,
            phase_s=self.times.seconds,
            total_s=time.monotonic() - self.times.started_s,
            workers=self.request.workers,
        )

    # -------------------------------------------------------------------------------------- before anything is run

    def _begin_workers(self) -> None:
        # An endpoint that a killed run left behind must not be found: by now anybody may listen on that port.
        (self.paths.state / ENDPOINT_FILE).unlink(missing_ok=True)
        for folder in self.paths.transient:
            remove_tree(folder)
        check_space(self.paths.state)
        self.workers.start()
        threading.Thread(target=_import_coordinator, daemon=True).start()

    def _settle(self, claim: OutputClaim) -> tuple[PreparedJob, OwnerRecord]:
        """All checks that are left; then the folder is this job's. Returns the job and its owner record."""
        job = self.request.prepare()
        inputs = list_inputs(job.spec, self.paths.folder)
        owner = make_owner_record(job.name, job.spec, code=job.code_files, code_digest=job.bundle.sha256, inputs=inputs)
        resumed, notice = claim.settle(
            owner,
            inputs,
            name_template=job.spec.output.name_template,
            overwrite=self.request.may_overwrite,
            restart=self.request.restart,
        )
        if notice:
            self.watcher.notice(notice)
        return job, resumed or owner

    # --------------------------------------------------------------------------------------------- while it is run

    async def _host(self, claim: OutputClaim, job: PreparedJob, owner: OwnerRecord) -> JobStatus:
        from mapreduce.coordinator.host import HostSettings, serving

        with stop_on_signals(at_once=self._end_at_once) as stop:
            async with serving(HostSettings(folder=self.paths.state, port=0), lock=claim.lock) as host:
                job_id = await self._find_or_submit(host.service, job)
                owner = msgspec.structs.replace(owner, store_id=host.service.store_id.hex(), job=job_id)
                await asyncio.to_thread(claim.write_owner, owner)
                host.service.close_when_idle()
                status = await self._wait(host.service, job_id, stop)
                await self.workers.wait_until_gone(END_GRACE_S)
        await asyncio.to_thread(self._finish, claim, job.spec, owner, status)
        return status

    async def _find_or_submit(self, service: Service, job: PreparedJob) -> int:
        """The unfinished job that the log knows, or a new one."""
        unfinished = [known for known in (await service.statuses()).jobs if known.state not in FINAL_STATES]
        if unfinished:
            known = unfinished[-1]
            if known.maps.total:
                self.watcher.notice(_describe_resumed(known))
            begun = (await service.definition(known.job)).spec
            kept = kept_settings(begun, job.spec)
            if kept:
                self.watcher.notice(f"the job goes on with the settings it was begun with: {', '.join(kept)}")
            return known.job
        await service.put_code(job.bundle.sha256, job.bundle.data)
        reply = await service.submit(SubmitRequest(name=job.name, spec=job.spec, code=job.bundle.sha256))
        return reply.job

    async def _wait(self, service: Service, job: int, stop: StopRequest) -> JobStatus:
        """Wait for the job's end, or for whatever makes it impossible."""
        watching = asyncio.create_task(self._watch(service, job))
        supervising = asyncio.create_task(self.workers.supervise())
        stopping = asyncio.create_task(stop.event.wait())
        try:
            await asyncio.wait((watching, supervising, stopping, service.failed), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                return watching.result()
            if service.failed.done():
                service.failed.result()
            if supervising.done():
                supervising.result()
            await self._stop_workers()
            raise Interrupted(stop.number, f"stopped{self._committed()}; the same command goes on from there")
        finally:
            for task in (watching, supervising, stopping):
                task.cancel()
            await asyncio.gather(watching, supervising, stopping, return_exceptions=True)

    async def _watch(self, service: Service, job: int) -> JobStatus:
        sequence = 0
        while True:
            status, sequence = await service.status(job, wait_s=0.5, after_sequence=sequence)
            self.times.enter(status.state, time.monotonic())
            self.last_status = status
            self.watcher.progress(status)
            while self.workers.deaths:
                self.watcher.notice(self.workers.deaths.popleft())
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

    async def _stop_workers(self) -> None:
        self.watcher.close()
        self.watcher.notice("stopping; workers give back what they run (Ctrl-C again ends at once)")
        await self.workers.stop(STOP_GRACE_S)

    def _end_at_once(self) -> None:
        self.watcher.close()
        self.workers.kill()

    # ------------------------------------------------------------------------------------------------- at its end

    def _finish(self, claim: OutputClaim, spec: JobSpec, owner: OwnerRecord, status: JobStatus) -> None:
        """After the end of the job: its record says how it ended, and what nobody needs any more goes."""
        assert status.state in {"Complete", "Failed", "Cancelled"}
        claim.write_owner(msgspec.structs.replace(owner, end=status.state))
        keeps_runs = spec.storage.retain_runs == "Always" or (
            spec.storage.retain_runs == "OnFailure" and status.state == "Failed"
        )
        job_folder = self.paths.job(status.job)
        remove_tree(self.paths.attempts)
        remove_tree(job_folder / "traces")
        if not keeps_runs:
            remove_tree(job_folder / "runs")
        if status.state == "Complete":
            remove_tree(self.paths.workers)

    def _tidy(self) -> None:
        """After any end: what is of use only while processes run."""
        remove_tree(self.paths.scratch)
        (self.paths.state / TOKEN_FILE).unlink(missing_ok=True)


def _describe_resumed(status: JobStatus) -> str:
    text = f"resuming, {status.resumed_maps} of {status.maps.total} maps already committed"
    if status.resumed_reduces:
        text += f", {status.resumed_reduces} of {status.reduces.total} reduces"
    return text


def _import_coordinator() -> None:
    """Import what hosting needs, beside the processes that are starting; whoever needs it sooner waits for it."""
    with contextlib.suppress(ImportError):
        import mapreduce.coordinator.host  # noqa: F401
