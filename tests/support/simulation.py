"""A whole cluster in one process under simulated time: real service, real log on a faulty disk, real sessions and task
code; simulated are time, network, processes, and the disk of the log. Everything by chance comes from the seed.

Every simulation ends by `finish`, which checks the promise (`simchecks`). Workers are in `simworker`, the network in
`simnetwork`, jobs in `simjobs`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import msgspec

from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.errors import Fenced
from mapreduce.protocol import messages as m
from mapreduce.protocol import wire
from mapreduce.scheduling import records
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.transitions import JobPhase
from mapreduce_worker.agent.actions import Exit
from mapreduce_worker.executor.tasks import JobTasks
from tests.support import simchecks
from tests.support.faultyfiles import Crash, Disk, FaultyFiles, Hook, Losing
from tests.support.simattempts import Step
from tests.support.simcoordinator import CheckedService, SimCoordinator
from tests.support.simjobs import PlacedJob, SimJob
from tests.support.simnetwork import CALM, Answer, Network, Weather
from tests.support.simworker import SimWorker, load_tasks
from tests.support.virtualtime import VirtualClock, VirtualLoop, virtual_loop

LONGEST_JOB_S = 3_600.0
_POLL_S = 0.1
TASK_S = 0.4


OnStep = Callable[[SimWorker, Step, m.AttemptId], None]


@dataclass(eq=False, repr=False)
class Simulation:
    """One cluster. Made by `simulate`."""

    loop: VirtualLoop
    root: Path
    seed: int
    settings: ServiceSettings
    weather: Weather = CALM
    restarts: bool = True
    """A coordinator that ends by itself is started again, as systemd or Kubernetes would."""
    duration: Callable[[SimWorker, m.AttemptId], float] = lambda _worker, _attempt: TASK_S
    failures: dict[tuple[str, int, int], m.FailureClass] = field(default_factory=dict)
    """(kind, index, attempt) -> how it fails instead of being done."""
    on_step: OnStep | None = None
    is_rotten: bool = False
    """The test has damaged the log: what was acknowledged may be lost, the output may not."""

    is_ending: bool = False
    """All jobs are over: what happens by chance happens no more."""
    is_closing: bool = False
    """All is over: hooks do nothing any more."""
    disk: Disk = field(default_factory=Disk)
    workers: dict[str, SimWorker] = field(default_factory=dict)
    jobs: dict[int, PlacedJob] = field(default_factory=dict)
    coordinators: list[SimCoordinator] = field(default_factory=list)
    exits: dict[str, Exit] = field(default_factory=dict)
    accepted: dict[m.AttemptId, m.TaskOutput] = field(default_factory=dict)
    """Every commit of which a worker heard that it was accepted."""
    running: dict[m.AttemptId, float] = field(default_factory=dict)
    intervals: list[tuple[str, m.AttemptId, float, float]] = field(default_factory=list)
    histories: list[dict[int, bytes]] = field(default_factory=list)
    seen_records: list[records.AnyRecord] = field(default_factory=list)
    _tasks: dict[int, JobTasks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = VirtualClock(self.loop)
        self.network = Network(self.loop, Random(self.seed + 1), self.weather)
        self.client = self.loop.program("client")

    # --------------------------------------------------------------------------------------------------- coordinator

    @property
    def folder(self) -> Path:
        """The state folder; its log is not in it but on `disk`."""
        return self.root / "state"

    @property
    def code_folder(self) -> Path:
        return self.root / "code-of-workers"

    @property
    def coordinator(self) -> SimCoordinator:
        """The newest incarnation."""
        return self.coordinators[-1]

    @property
    def service(self) -> CheckedService:
        """The one whose address the workers have."""
        serving = self.network.server
        assert isinstance(serving, SimCoordinator)
        assert serving.service is not None
        return serving.service

    @property
    def state(self) -> State:
        return self.service.machine.state

    def start_coordinator(self, hook: Hook | None = None) -> SimCoordinator:
        """Starts a new incarnation; older ones are not asked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        program = self.loop.program(f"coordinator-{len(self.coordinators) + 1}")
        made = SimCoordinator(self, program, FaultyFiles(self.disk, hook))
        self.coordinators.append(made)
        self.loop.start(program, made.host())
        return made

    def kill_coordinator(self, *, power_cut: int | None = None, losing: Losing = "any") -> None:
        """As by SIGKILL; with `power_cut` (a seed) the log's disk loses what was not synced."""
        self._bury(self.coordinator)
        if power_cut is not None:
            self.disk = self.disk.crash(power_cut, losing)

    def restart_coordinator(self, *, power_cut: int | None = None, after_s: float = 0.0) -> None:
        """Kills the coordinator and starts it again a while later."""
        self.kill_coordinator(power_cut=power_cut)
        self.loop.call_outside(after_s, self._start_again)

    def coordinator_ended(self, coordinator: SimCoordinator) -> None:
        """It has failed and ends its process."""
        self._bury(coordinator)
        if self.restarts and not isinstance(coordinator.error, Fenced) and coordinator is self.coordinator:
            self.loop.call_outside(0.2, self._start_again)

    def crash_coordinator(self, coordinator: SimCoordinator, *, power_cut: int | None = None) -> Crash:
        """Ends it in the middle of a call and starts it again soon; the caller raises what this returns."""
        self._bury(coordinator)
        if power_cut is not None:
            self.disk = self.disk.crash(power_cut)
        self.loop.call_outside(0.2, self._start_again)
        return Crash()

    def _start_again(self) -> None:
        self.start_coordinator()

    def _bury(self, coordinator: SimCoordinator) -> None:
        self.loop.kill(coordinator.program)
        self.network.hang_up(coordinator.program)

    # ------------------------------------------------------------------------------------------------------- workers

    def add_worker(self, name: str = "", *, slots: int = 1, task_s: float | None = None, **more: Any) -> SimWorker:
        """A worker joins."""
        name = name or f"worker-{len(self.workers) + 1}"
        made = self.workers[name] = SimWorker(self, name, slots=slots, task_s=task_s, **more)
        return made

    def add_workers(self, count: int, *, slots: int = 1) -> list[SimWorker]:
        return [self.add_worker(slots=slots) for _ in range(count)]

    def duration_s(self, worker: SimWorker, attempt: m.AttemptId) -> float:
        return worker.task_s if worker.task_s is not None else self.duration(worker, attempt)

    def tasks_of(self, definition: m.JobDefinition) -> JobTasks:
        if definition.job not in self._tasks:
            self._tasks[definition.job] = load_tasks(definition, self.code_folder)
        return self._tasks[definition.job]

    def planned_failure(self, worker: SimWorker, assignment: m.Assignment) -> m.Failure | None:
        kind = self.failures.get((assignment.id.kind, assignment.id.index, assignment.id.attempt))
        if kind is None:
            return None
        return m.Failure(failure_class=kind, message=f"{worker.name} was told to fail at {assignment.id}")

    def served_run(self, reader: SimWorker, run: m.RunRef) -> Path | None:
        """Where a run is read in Peer mode, or None when whoever made it cannot be reached."""
        name, _, path = run.url.removeprefix("sim://").partition("/")
        maker = self.workers.get(name)
        if maker is None or (maker is not reader and not maker.program.is_running):
            return None
        found = maker.scratch / path
        return found if found.exists() else None

    # ----------------------------------------------------------------------------------- what workers tell the tests

    def at_step(self, worker: SimWorker, step: Step, attempt: m.AttemptId) -> None:
        if step == "reporting" and attempt in self.running:
            self.intervals.append((worker.name, attempt, self.running.pop(attempt), self.loop.time()))
        if self.on_step is not None:
            self.on_step(worker, step, attempt)

    def began(self, worker: SimWorker, attempt: m.AttemptId) -> None:
        self.running[attempt] = self.loop.time()

    def heard(self, worker: SimWorker, request: m.NextRequest, reply: m.NextReply) -> None:
        """A worker heard an answer."""
        assert [verdict.id for verdict in reply.verdicts] == [done.id for done in request.finished]
        for done, verdict in zip(request.finished, reply.verdicts, strict=True):
            if isinstance(done, m.Commit) and verdict.accepted:
                self.accepted[done.id] = done.output

    # ---------------------------------------------------------------------------------------------------------- jobs

    def submit(self, job: SimJob | None = None) -> int:
        """Submits a job as a client would, however often it takes, and returns its id."""
        return self.submit_placed((job or SimJob()).place(self.root))

    def submit_placed(self, placed: PlacedJob) -> int:
        """Submits a job whose files are there, unless it is known."""
        return self.loop.run_until_complete(self._submit(placed))

    async def _submit(self, placed: PlacedJob) -> int:
        while True:
            answer = await self._ask("jobs", b"")
            if answer is not None and answer.status == 200:
                there = {it.name: it.job for it in msgspec.json.decode(answer.body, type=m.StatusList).jobs}
                if placed.job.name in there:
                    self.jobs[there[placed.job.name]] = placed
                    return there[placed.job.name]
                with contextlib.suppress(Crash):
                    self.service.store.put_code(placed.bundle.sha256, placed.bundle.data)
                await self._ask("submit", wire.encode(placed.request))
            await asyncio.sleep(0.1)

    def _ask(self, name: str, body: bytes) -> asyncio.Future[Answer | None]:
        answered: asyncio.Future[Answer | None] = self.loop.create_future()
        self.network.call(self.client, name, body, answered.set_result, is_calm=True)
        return answered

    def cancel(self, number: int) -> None:
        """Cancels a job, as a user would."""
        serving = self.network.server
        assert serving is not None
        self.loop.run_until_complete(self.loop.task(serving.program, self.service.cancel(number)))

    def job(self, number: int) -> Job:
        return self.state.jobs[number]

    def is_over(self, number: int) -> bool:
        """The job is over, as far as the serving incarnation knows."""
        coordinator = self.network.server
        if not isinstance(coordinator, SimCoordinator) or coordinator.program.is_dead or coordinator.service is None:
            return False
        found = coordinator.service.machine.state.jobs.get(number)
        return found is not None and found.phase.is_final

    def _is_served(self) -> bool:
        return self.network.server is not None and self.network.server.program.is_running

    def remade(self) -> int:
        return sum(job.maps.remade for job in self.state.jobs.values())

    def begun_count(self, kind: m.TaskKind) -> int:
        """Attempts of a kind whose execution began on any worker."""
        return sum(attempt.kind == kind for worker in self.workers.values() for attempt in worker.began)

    # ------------------------------------------------------------------------------------------------------- running

    def run_until(self, is_over: Callable[[], bool], limit_s: float = LONGEST_JOB_S) -> None:
        """Lets time pass until something is so. TimeoutError after `limit_s` of simulated time."""
        self.loop.run_until_complete(asyncio.wait_for(self._until(is_over), limit_s))

    async def _until(self, is_over: Callable[[], bool]) -> None:
        while not is_over():  # noqa: ASYNC110 -- simulated time; anything may change the answer
            await asyncio.sleep(_POLL_S)

    def run_for(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def run_job(self, job: SimJob | None = None) -> int:
        """Submits a job and waits for its end."""
        number = self.submit(job)
        self.run_until(lambda: self.is_over(number))
        return number

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Something happens so many seconds from now."""
        self.loop.call_outside(seconds, call)

    def finish(self, *, phases: tuple[JobPhase, ...] = (JobPhase.COMPLETE,)) -> None:
        """Waits for all jobs, lets everybody have his last word, ends all, and checks the promise."""
        self.run_until(lambda: all(self.is_over(number) for number in self.jobs))
        self.is_ending = True
        self.network.cut.clear()
        self.network.weather = CALM
        for coordinator in self.coordinators:
            self.loop.resume(coordinator.program)
        self.run_until(self._is_served)
        for worker in self.workers.values():
            if not worker.is_gone:
                worker.resume()
        longest_lease_s = max((placed.job.lease_s for placed in self.jobs.values()), default=10)
        self.run_for(2.0)
        for worker in self.workers.values():
            if not worker.session.held:
                worker.kill()  # it has nothing to say any more; its heartbeats only cost time
        self.run_for(longest_lease_s * 1.2 + 1)
        simchecks.check_state(self, phases)
        for worker in self.workers.values():
            worker.kill()
        self.is_closing = True
        serving, live = self.network.server, self.service
        assert serving is not None
        self.loop.run_until_complete(self.loop.task(serving.program, live.close()))
        simchecks.check_log(self, live)
        simchecks.check_folders(self)
        simchecks.check_loop(self)


@contextlib.contextmanager
def simulate(
    root: Path,
    *,
    seed: int = 0,
    weather: Weather = CALM,
    settings: ServiceSettings | None = None,
    hook: Hook | None = None,
    is_started: bool = True,
    limit_s: float = 86_400.0,
    **more: Any,
) -> Iterator[Simulation]:
    """A cluster with a coordinator; ends it without a check if the test has failed, or was not finished."""
    with virtual_loop(limit_s) as loop, mock.patch.object(os, "fsync"), mock.patch.object(os, "fdatasync"):
        settings = settings or ServiceSettings(tick_s=0.5, low_water_bytes=0)
        sim = Simulation(loop, root, seed, settings, weather, **more)
        if is_started:
            sim.start_coordinator(hook)
        yield sim
