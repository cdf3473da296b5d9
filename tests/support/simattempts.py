"""An attempt as a simulated worker holds it, and how it is made ready: definition, code, and the runs it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from mapreduce.bundle import open_bundle
from mapreduce.protocol import messages as m
from mapreduce_worker.executor.messages import Source

if TYPE_CHECKING:
    from tests.support.simworker import SimWorker

Step = Literal["fetching", "reading", "mapping", "spilling", "closing", "reporting", "after"]
STEPS: tuple[Step, ...] = ("fetching", "reading", "mapping", "spilling", "closing", "reporting", "after")


@dataclass
class HeldAttempt:
    """One attempt held by a worker."""

    assignment: m.Assignment
    granted_s: float
    is_preparing: bool = False
    is_prepared: bool = False
    is_running: bool = False
    is_over: bool = False
    pages: list[m.RunRef] = field(default_factory=list)
    sources: tuple[Source, ...] = ()
    outcome: m.TaskOutput | m.Failure | None = None

    @property
    def id(self) -> m.AttemptId:
        return self.assignment.id


class Preparing:
    """Makes a worker's attempts ready by calls to the coordinator, each repeated until it is answered."""

    def __init__(self, worker: SimWorker) -> None:
        self._worker = worker

    def prepare(self, attempt: HeldAttempt) -> None:
        if attempt.is_preparing:
            return
        attempt.is_preparing = True
        self._worker.sim.at_step(self._worker, "fetching", attempt.id)
        self._fetch_definition(attempt)

    def _fetch_definition(self, attempt: HeldAttempt) -> None:
        if attempt.is_over:
            return
        if attempt.id.job in self._worker.jobs:
            self._fetch_runs(attempt, 0)
            return

        def on_body(body: bytes) -> None:
            definition = msgspec.json.decode(body, type=m.JobDefinition)
            self._worker.ask(
                "code",
                lambda code: self._open_code(attempt, definition, code),
                lambda: self._fetch_definition(attempt),
                digest=definition.code,
            )

        self._worker.ask("definition", on_body, lambda: self._fetch_definition(attempt), job=attempt.id.job)

    def _open_code(self, attempt: HeldAttempt, definition: m.JobDefinition, code: bytes) -> None:
        open_bundle(code, self._worker.sim.code_folder, sha256=definition.code)
        self._worker.jobs[definition.job] = definition
        self._fetch_runs(attempt, 0)

    def _fetch_runs(self, attempt: HeldAttempt, start: int) -> None:
        if attempt.is_over:
            return
        if attempt.id.kind == "map":
            self._worker.prepared(attempt)
            return
        if start == 0:
            attempt.pages.clear()

        def on_body(body: bytes) -> None:
            page = msgspec.json.decode(body, type=m.RunsPage)
            attempt.pages.extend(page.runs)
            if page.next is None:
                self._find_sources(attempt)
            else:
                self._fetch_runs(attempt, page.next)

        self._worker.ask("runs", on_body, lambda: self._fetch_runs(attempt, 0), job=attempt.id.job, start=start)

    def _find_sources(self, attempt: HeldAttempt) -> None:
        if attempt.is_over:
            return
        definition = self._worker.jobs[attempt.id.job]
        sources, lost = [], []
        for run in attempt.pages:
            shared = Path(definition.runs_dir) / f"{run.map.stem}.run"
            path = self._worker.sim.served_run(self._worker, run) if run.url else shared
            if path is None and run.has_replica and shared.exists():
                path = shared  # as the coordinator would send it
            if path is None:
                lost.append(m.LostRun(map=run.map, problem="nobody serves it"))
            else:
                sources.append(Source(map=run.map, path=str(path), digest=run.digest))
        if lost:
            failed = m.Failure(failure_class="run-lost", message="runs are gone", lost_runs=tuple(lost))
            self._worker.finish(attempt, m.Fail(id=attempt.id, failure=failed))
            return
        attempt.sources = tuple(sources)
        self._worker.prepared(attempt)
