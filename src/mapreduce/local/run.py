"""Running a job here, from the claim on the output folder to the last clean-up. `local.hosting` is what lies between.

The order is chosen for a fast start: the child that describes the user's code and the workers are started first, and
everything heavy is imported beside them. What can be refused is refused before a task exists, and then nothing is left
behind. No user code is imported here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mapreduce.coordinator.statefiles import ENDPOINT_FILE, TOKEN_FILE
from mapreduce.local.claiming import OutputClaim, remove_leftovers, remove_scratch, remove_transient, remove_tree
from mapreduce.local.paths import OutputPaths
from mapreduce.local.preflight import check_space, default_worker_count, list_inputs, usable_cpu_count
from mapreduce.local.preparing import PreparedJob, prepared_of
from mapreduce.local.processes import WorkerProcesses, WorkerSettings
from mapreduce.local.quickstart import without_certificates
from mapreduce.local.sigterm import raise_on_sigterm
from mapreduce.local.watching import PhaseTimes, RunReport, SilentWatcher, Watcher
from mapreduce.model import JobSpec
from mapreduce.ownerrecord import End, OwnerRecord, make_owner_record
from mapreduce.protocol.messages import JobStatus


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and how."""

    output: Path
    """Absolute."""
    prepare: Callable[[], PreparedJob]
    """Gives the job; called once the workers are being started. Raises UsageError."""
    workers: int
    slots: int = 1
    may_overwrite: bool = False
    restart: bool = False
    owns_process: bool = False
    """This process is for the run only: no client of aiohttp will be used in it."""
    has_page: bool = False
    """Whether the page is served while the job runs, and its address told to the watcher."""


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
            status = self._host(claim, job, owner)
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

    def _begin_workers(self) -> None:
        # An endpoint that a killed run left behind must not be found: by now anybody may listen on that port.
        (self.paths.state / ENDPOINT_FILE).unlink(missing_ok=True)
        remove_transient(self.paths)
        check_space(self.paths.state)
        # One core is for what this process imports: a worker that shares it keeps the first record waiting.
        self.workers.start(at_once=max(1, usable_cpu_count() - 1))
        # In this thread: its next step is to wait for the child that describes the code, which lasts longer.
        _import_hosting(self.request.owns_process)

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
        return job, msgspec.structs.replace(resumed or owner, mode="")

    def _host(self, claim: OutputClaim, job: PreparedJob, owner: OwnerRecord) -> JobStatus:
        """Run the job to its end and record that."""
        from mapreduce.local.hosting import Hosting

        records = [owner]

        def on_submitted(store_id: str, number: int) -> None:
            records.append(msgspec.structs.replace(owner, store_id=store_id, job=number))
            claim.write_owner(records[-1])

        def on_ended_without_result(end: End) -> None:
            claim.write_owner(msgspec.structs.replace(records[-1], end=end))

        status = Hosting(
            job=job,
            state=self.paths.state,
            lock=claim.lock,
            workers=self.workers,
            watcher=self.watcher,
            times=self.times,
            on_submitted=on_submitted,
            on_ended_without_result=on_ended_without_result,
            has_page=self.request.has_page,
        ).run()
        assert status.state in {"Complete", "Failed", "Cancelled"}
        claim.write_owner(msgspec.structs.replace(records[-1], end=status.state))
        self._clean_up(job.spec, status)
        return status

    def _clean_up(self, spec: JobSpec, status: JobStatus) -> None:
        """After the end of the job: log, attempts' logs and code stay, what else nobody needs any more goes."""
        retain = spec.storage.retain_runs
        keep_runs = retain == "Always" or (retain == "OnFailure" and status.state == "Failed")
        remove_leftovers(self.paths, keep_runs=keep_runs)
        if status.state == "Complete":
            remove_tree(self.paths.workers)

    def _tidy(self) -> None:
        """After any end: what is of use only while processes run."""
        remove_scratch(self.paths)
        (self.paths.state / TOKEN_FILE).unlink(missing_ok=True)


def _import_hosting(owns_process: bool) -> None:
    """Import what hosting needs, beside the processes that are starting."""
    with without_certificates() if owns_process else contextlib.nullcontext():
        import mapreduce.local.hosting  # noqa: F401
