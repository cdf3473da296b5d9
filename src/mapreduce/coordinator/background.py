"""Work that a coordinator does by itself: planning, publishing, probing, cleaning up, compacting, looking at the clock.

Level-triggered: `look` compares the state with what is under way and starts what is missing, so a restart needs no
memory of what was begun. Each piece waits first until the records that call for it are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from mapreduce.coordinator import probe
from mapreduce.coordinator.outputs import Claimant, claim_output, is_same_folder, note_end, owns_output
from mapreduce.coordinator.plans import Plan, make_plan
from mapreduce.coordinator.publish import plan_publication, publish
from mapreduce.coordinator.shell import Shell
from mapreduce.coordinator.store import Store
from mapreduce.errors import PlanLost, UsageError
from mapreduce.inlineinputs import with_files
from mapreduce.model import reducer_count
from mapreduce.scheduling import decide_backups, events
from mapreduce.scheduling.records import LeasesReleased, Release
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.version import __version__


class Effects:
    """The tasks that run beside the service, at most one for each purpose."""

    def __init__(self, shell: Shell, store: Store, plans: dict[int, Plan], store_id: bytes) -> None:
        self._shell = shell
        self._store, self._plans, self._store_id = store, plans, store_id
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._tidied: set[int] = set()
        """Jobs that were cleaned up after once."""
        self._cleaned: set[int] = set()
        """Jobs that need no cleaning up any more."""
        self._is_running = False
        self._has_made_room = False
        """The log was compacted for want of space, and there has not been plenty since."""

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
        if not self._is_running or self._shell.failed.done():
            return
        state = self._shell.machine.state
        job = state.current_job
        if job is not None and job.phase is JobPhase.PLANNING and not self._is_output_untidy(job):
            self._begin("plan", job.id, self._plan(job))
        if job is not None and job.phase is JobPhase.COMMITTING:
            self._begin("publish", job.id, self._publish(job))
        for number in self._shell.machine.sessions.to_probe:
            self._begin("probe", number, self._probe(state.jobs[number]))
        for other in state.jobs.values():
            if other.phase.is_final and other.id not in self._cleaned:
                self._begin("clean", other.id, self._clean_up(other))
        if self._shell.is_compaction_due:
            self._begin("snapshot", 0, self._shell.compact())

    def _is_output_untidy(self, job: Job) -> bool:
        """An earlier job on the same folder has ended, and the folder does not say so yet."""
        return any(
            other.phase.is_final
            and other.id not in self._tidied
            and is_same_folder(other.spec.output.uri, job.spec.output.uri)
            for other in self._shell.machine.state.jobs.values()
        )

    def _begin(self, purpose: str, number: int, work: Coroutine[Any, Any, None]) -> bool:
        """Whether this piece of work begins: not if one for the same purpose is under way."""
        key = (purpose, number)
        if key in self._tasks:
            work.close()
            return False
        task = self._tasks[key] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: self._end(key, done))
        return True

    def _end(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._shell.fail(error)
        else:
            self.look()

    async def _tick(self) -> None:
        shell = self._shell
        while True:
            await shell.clock.sleep_s(shell.settings.tick_s)
            sessions = shell.machine.sessions
            was_paused, kept_back_count = sessions.is_paused, len(sessions.kept_back_s)
            free_bytes = await shell.free_bytes()
            sessions.is_paused = free_bytes < shell.settings.low_water_bytes
            self._look_at_room(free_bytes)
            shell.turn(events.Tick())
            await shell.durable()  # looks at the claim too: who was overtaken ends, even if nobody calls any more
            state = shell.machine.state
            is_backup_due = decide_backups.is_one_due(state, sessions, shell.clock.monotonic_s())
            if (was_paused and not sessions.is_paused) or len(sessions.kept_back_s) < kept_back_count or is_backup_due:
                shell.wake_workers()
            if shell.settings.exit_when_idle and state.jobs and not state.has_unfinished_job:
                shell.close_when_idle()

    def _look_at_room(self, free_bytes: int) -> None:
        """Has the log give back what it can, once in each want of space: what hovers at the mark must not write on."""
        if free_bytes >= 2 * self._shell.settings.low_water_bytes:
            self._has_made_room = False
        elif self._shell.machine.sessions.is_paused and not self._has_made_room:
            self._has_made_room = self._begin("snapshot", 0, self._make_room())

    async def _make_room(self) -> None:
        """The log keeps two generations: with the second snapshot from now on, all that lies before the first goes."""
        shell = self._shell
        await shell.compact(room_bytes=await shell.free_bytes() / 2)
        # changes nothing, and gives the second snapshot a sequence, and so a name, of its own
        shell.turn(LeasesReleased("", (), Release.NOT_NEEDED, shell.clock.utc_s()))
        await shell.compact(room_bytes=await shell.free_bytes() / 2)

    async def _plan(self, job: Job) -> None:
        shell = self._shell
        await shell.durable()
        try:
            await shell.blocking.run(lambda: claim_output(job.spec, self._claimant(job)))
            plan = await shell.blocking.run(lambda: self._make_plan(job))
        except UsageError as error:
            shell.turn(events.JobBroken(job.id, type(error).__name__, str(error)))
            return
        address = await shell.blocking.run(lambda: self._store.put_plan(job.id, plan))
        await shell.blocking.run(lambda: self._store.make_folders(job.id, job.spec))
        self._plans[job.id] = plan
        partitions = reducer_count(job.spec, plan.input_bytes)
        shell.turn(events.PlanMade(job.id, address, plan.split_count, partitions, plan.input_bytes))

    def _make_plan(self, job: Job) -> Plan:
        spec = with_files(job.spec, self._store.inline_folder(job.id))
        return make_plan(spec, self._shell.settings.secrets)

    async def _publish(self, job: Job) -> None:
        shell = self._shell
        await shell.durable()
        folder = self._store.attempts_folder(job.spec, job.id)
        is_uploaded = shell.settings.serves_data and job.spec.storage.shuffle == "Peer"
        publication = plan_publication(job, folder, shell.clock.utc_s(), __version__, is_content_checked=is_uploaded)
        missing, problem = await shell.blocking.run(lambda: publish(publication, lambda: not shell.log.is_fenced()))
        if not missing:
            shell.turn(events.Published(job.id))
            return
        try:
            if job.id not in self._plans:  # recovery has left it out: publishing alone needs none
                self._plans[job.id] = await shell.blocking.run(lambda: self._store.plan(job.id, job.plan))
        except PlanLost as error:
            shell.turn(events.JobBroken(job.id, type(error).__name__, str(error)))
            return
        shell.turn(events.OutputsMissing(job.id, missing, problem))

    async def _probe(self, job: Job) -> None:
        shell = self._shell
        sessions = shell.machine.sessions
        runs = probe.committed_runs(job)
        is_peer = job.spec.storage.shuffle == "Peer"
        if is_peer:  # replicas only: of the rest the second witness, or the end of the server, can tell
            runs = [run for run in runs if sessions.has_replica(job, run.id.index)]
        reported = {run.id.index: run.id for run in runs if (job.id, run.id.index) in sessions.reports}
        folder = self._store.runs_folder(job.id)
        lost, problem = await shell.blocking.run(lambda: probe.find_lost(folder, runs, reported))
        if is_peer and lost:
            await shell.blocking.run(lambda: probe.remove(folder, lost))  # so that the worker may hand it in again
            shell.turn(events.ReplicasBad(job.id, lost, problem))
        refuted = tuple(run for run in reported.values() if run not in lost)
        shell.turn(events.RunsProbed(job.id, () if is_peer else lost, problem, refuted))

    async def _clean_up(self, job: Job) -> None:
        shell = self._shell
        await shell.durable()
        retain = job.spec.storage.retain_runs
        keep = retain == "Always" or (retain == "OnFailure" and job.phase is JobPhase.FAILED)
        for pause_s in (0.0, float(job.spec.lease_seconds)):
            # again after a while: attempts that were told to stop, or a plan that was being made, may still have
            # written something
            if pause_s:
                await shell.clock.sleep_s(pause_s)
            await shell.blocking.run(lambda: self._remove_leftovers(job, keep_runs=keep))
            await shell.blocking.run(lambda: note_end(job.spec, self._claimant(job), job.phase.value))
            self._plans.pop(job.id, None)
            self._tidied.add(job.id)
            self.look()  # a job on the same folder may have waited for it
        self._cleaned.add(job.id)

    def _remove_leftovers(self, job: Job, *, keep_runs: bool) -> None:
        is_owner = owns_output(job.spec, self._claimant(job))
        self._store.clean_up(job.id, job.spec, keep_runs=keep_runs, owns_output=is_owner)

    def _claimant(self, job: Job) -> Claimant:
        shell = self._shell
        owner = shell.settings.owner or self._store_id.hex()
        return Claimant(owner, shell.folder, job.id, job.name, job.code)
