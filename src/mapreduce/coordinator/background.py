"""Work that a coordinator does by itself: planning, publishing, probing, cleaning up, compacting, looking at the clock.

Level-triggered: `look` compares the state with what is under way and starts what is missing, so a restart needs no
memory of what was begun. Each piece waits first until the records that call for it are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from mapreduce.coordinator import probe
from mapreduce.coordinator.outputs import Claimant, claim_output, note_end
from mapreduce.coordinator.plans import make_plan
from mapreduce.coordinator.publish import plan_publication, publish
from mapreduce.errors import UsageError
from mapreduce.model import reducer_count
from mapreduce.scheduling import events
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.version import __version__

if TYPE_CHECKING:
    from mapreduce.coordinator.service import Service


class Effects:
    """The tasks that run beside the service, at most one for each purpose."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._cleaned: set[int] = set()
        self._is_running = False

    def start(self) -> None:
        """Begin: from now on `look` starts what is due."""
        self._is_running = True
        self._begin("tick", 0, self._tick())
        self.look()

    async def stop(self) -> None:
        """Ends everything that is under way; a piece that is in a thread finishes its call first."""
        self._is_running = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> None:
        """Starts whatever the state calls for and nobody does yet."""
        if not self._is_running or self._service.failed.done():
            return
        state = self._service.machine.state
        job = state.current_job
        if job is not None and job.phase is JobPhase.PLANNING:
            self._begin("plan", job.id, self._plan(job))
        if job is not None and job.phase is JobPhase.COMMITTING:
            self._begin("publish", job.id, self._publish(job))
        for number in self._service.machine.sessions.to_probe:
            self._begin("probe", number, self._probe(state.jobs[number]))
        for other in state.jobs.values():
            if other.phase.is_final and other.id not in self._cleaned:
                self._begin("clean", other.id, self._clean_up(other))
        if self._service.records_since_snapshot >= self._service.settings.snapshot_records:
            self._begin("snapshot", 0, self._service.compact())

    def _begin(self, purpose: str, number: int, work: Coroutine[Any, Any, None]) -> None:
        key = (purpose, number)
        if key in self._tasks:
            work.close()
            return
        task = self._tasks[key] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: self._end(key, done))

    def _end(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._service.fail(error)
        else:
            self.look()

    async def _tick(self) -> None:
        service = self._service
        while True:
            await service.clock.sleep_s(service.settings.tick_s)
            sessions = service.machine.sessions
            was_paused = sessions.is_paused
            sessions.is_paused = await service.free_bytes() < service.settings.low_water_bytes
            service.turn(events.Tick())
            await service.durable()  # looks at the claim too: who was overtaken ends, even if nobody calls any more
            if was_paused and not sessions.is_paused:
                service.wake_workers()
            state = service.machine.state
            if service.settings.exit_when_idle and state.jobs and not state.has_unfinished_job:
                service.close_when_idle()

    async def _plan(self, job: Job) -> None:
        service = self._service
        await service.durable()
        try:
            await service.blocking.run(lambda: claim_output(job.spec, self._claimant(job)))
            plan = await service.blocking.run(lambda: make_plan(job.spec))
        except UsageError as error:
            service.turn(events.JobBroken(job.id, type(error).__name__, str(error)))
            return
        address = await service.blocking.run(lambda: service.store.put_plan(job.id, plan))
        await service.blocking.run(lambda: self._make_folders(job))
        service.plans[job.id] = plan
        partitions = reducer_count(job.spec, plan.input_bytes)
        service.turn(events.PlanMade(job.id, address, plan.split_count, partitions, plan.input_bytes))

    def _make_folders(self, job: Job) -> None:
        store = self._service.store
        for folder in (store.runs_folder(job.id), store.logs_folder(job.id), store.attempts_folder(job.spec, job.id)):
            folder.mkdir(parents=True, exist_ok=True)

    async def _publish(self, job: Job) -> None:
        service = self._service
        await service.durable()
        folder = service.store.attempts_folder(job.spec, job.id)
        publication = plan_publication(job, folder, service.clock.utc_s(), __version__)
        missing, problem = await service.blocking.run(lambda: publish(publication, lambda: not service.log.is_fenced()))
        if missing:
            service.turn(events.OutputsMissing(job.id, missing, problem))
        else:
            service.turn(events.Published(job.id))

    async def _probe(self, job: Job) -> None:
        service = self._service
        if job.spec.storage.shuffle == "Peer":  # only the second witness, or the end of the server, can tell
            service.turn(events.RunsProbed(job.id, (), ""))
            return
        reported = {index for number, index in service.machine.sessions.reports if number == job.id}
        runs = probe.committed_runs(job)
        folder = service.store.runs_folder(job.id)
        lost, problem = await service.blocking.run(lambda: probe.find_lost(folder, runs, reported))
        service.turn(events.RunsProbed(job.id, lost, problem))

    async def _clean_up(self, job: Job) -> None:
        service = self._service
        await service.durable()
        retain = job.spec.storage.retain_runs
        keep = retain == "Always" or (retain == "OnFailure" and job.phase is JobPhase.FAILED)
        for pause_s in (0.0, float(job.spec.lease_seconds)):
            # again after a while: attempts that were told to stop, or a plan that was being made, may still have
            # written something
            if pause_s:
                await service.clock.sleep_s(pause_s)
            await service.blocking.run(lambda: service.store.clean_up(job.id, job.spec, keep_runs=keep))
            await service.blocking.run(lambda: note_end(job.spec, self._claimant(job), job.phase.value))
            service.plans.pop(job.id, None)
        self._cleaned.add(job.id)

    def _claimant(self, job: Job) -> Claimant:
        service = self._service
        return Claimant(service.store_id.hex(), service.folder, job.id, job.name, job.code)
