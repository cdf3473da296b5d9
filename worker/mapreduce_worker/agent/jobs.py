"""What an attempt needs before it can run: its job's definition, the opened code, file names, the runs to read.

Everything here calls the coordinator or peers and may block; it belongs to the preparing threads (`preparing`). Files
are named after ids that the coordinator gave. What only some jobs need is imported when they need it: a worker has to
start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import WorkerClient
from mapreduce.protocol.messages import Assignment, AttemptId, JobDefinition, LostRun, RunRef
from mapreduce_worker.agent.places import Places, plan_places
from mapreduce_worker.agent.settings import AgentSettings
from mapreduce_worker.executor.messages import Source

_MAX_REPORTED: Final = 1_000
#: Attempts whose inputs or runs may have been fetched, for each slot.
_FETCHED_PER_SLOT: Final = 2

if TYPE_CHECKING:
    from mapreduce_worker.agent.inputs import InputFetcher


class RunsLost(MapReduceError):
    """Some runs could not be fetched, and the map tasks that made them may have to run again."""

    def __init__(self, lost: Sequence[LostRun]) -> None:
        super().__init__(
            f"{len(lost)} of the runs to read could not be fetched, first {lost[0].map}: {lost[0].problem}"
        )
        self.lost = tuple(lost[:_MAX_REPORTED])


class JobFiles(msgspec.Struct, frozen=True):
    """One job as this worker sees it."""

    definition: JobDefinition
    code_folder: Path
    places: Places

    @property
    def is_peer(self) -> bool:
        """Whether runs stay with the worker that made them."""
        return self.definition.spec.storage.shuffle == "Peer" or self.is_by_coordinator

    @property
    def is_by_coordinator(self) -> bool:
        """Whether this worker shares no volume with the coordinator: inputs and outputs travel by calls."""
        return self.definition.data == "coordinator"

    def target(self, assignment: Assignment) -> str:
        """The file that an attempt writes, for its executor."""
        return self.places.target(assignment, self.definition.partitions)

    def made(self, attempt: AttemptId) -> str:
        """The same file, for the agent."""
        return self.places.made(attempt, self.definition.partitions)

    def final(self, attempt: AttemptId) -> str:
        """Where it has to be before its commit; empty: at the coordinator."""
        return self.places.final(attempt, self.definition.partitions)


class Prepared(msgspec.Struct, frozen=True):
    """An attempt that can run."""

    assignment: Assignment
    job: JobFiles
    sources: tuple[Source, ...] = ()
    inputs: tuple[str, ...] = ()
    """Where the split's files were fetched to, one for each; empty: they lie at their paths."""


class JobStore:
    """Definitions and code of jobs, fetched once; lists of runs, fetched when an attempt needs one."""

    def __init__(self, client: WorkerClient, session: Callable[[], str], settings: AgentSettings) -> None:
        self._client, self._session, self._settings = client, session, settings
        self._runs_client = WorkerClient(settings.endpoint)  # runs are asked for in a thread of their own
        self._scratch = settings.scratch
        self._jobs: dict[int, JobFiles] = {}
        self._fetched: set[AttemptId] = set()
        self._runs: tuple[int, float, list[RunRef]] | None = None

    def known(self, job: int) -> JobFiles | None:
        """The job, if it was fetched before."""
        return self._jobs.get(job)

    def job(self, number: int) -> JobFiles:
        """The job; fetched and its code opened the first time. Raises what the client and `open_bundle` raise."""
        found = self._jobs.get(number)
        if found is None:
            definition = self._client.definition(self._session(), number)
            code = self._open_code(definition.code)
            settings = self._settings
            places = plan_places(definition, self._scratch, settings.work, settings.output_work)
            found = JobFiles(definition=definition, code_folder=code, places=places)
            self._forget_before(number)
            self._jobs[number] = found
        return found

    @property
    def served_folder(self) -> Path:
        """Folder of the runs that this worker serves, by job."""
        return self._scratch / "runs"

    def sources(self, job: JobFiles, assignment: Assignment, granted_s: float, now_s: float) -> tuple[Source, ...]:
        """The runs that a reduce attempt reads, as local files.

        A list is used for several attempts, but never for one that was granted after it was asked for: a map may have
        been made again in between, and its run be another one.
        """
        if self._runs is None or self._runs[0] != assignment.id.job or self._runs[1] < granted_s:
            self._runs = (assignment.id.job, now_s, self._runs_client.runs(self._session(), assignment.id.job))
        runs = self._runs[2]
        if not job.is_peer:
            folder = Path(job.definition.runs_dir)
            return tuple(
                Source(map=run.map, path=str(folder / f"{run.map.stem}.run"), digest=run.digest) for run in runs
            )
        from mapreduce_worker.agent.fetch import Replicas, fetch_runs

        self._fetched.add(assignment.id)
        folder = self.fetched_folder(job, assignment.id)
        own = self.served_folder / str(assignment.id.job)
        return fetch_runs(
            runs,
            assignment.id.index,
            into=folder,
            own=own,
            token=self._session(),
            replicas=lambda: Replicas(WorkerClient(self._settings.endpoint), self._session),
        )

    @property
    def slots(self) -> int:
        """Attempts that run here at once."""
        return self._settings.slots

    def make_fetcher(self) -> InputFetcher:
        """For one thread that fetches inputs."""
        from mapreduce_worker.agent.inputs import InputFetcher

        return InputFetcher(WorkerClient(self._settings.endpoint), self._session, self._settings.secrets)

    def make_room(self, attempt: AttemptId, holds: Callable[[AttemptId], bool]) -> bool:
        """Whether inputs of one more attempt may lie here."""
        self.forget_unheld(holds)
        if attempt not in self._fetched and len(self._fetched) >= _FETCHED_PER_SLOT * self.slots + 1:
            return False
        self._fetched.add(attempt)
        return True

    def fetched_folder(self, job: JobFiles, attempt: AttemptId) -> Path:
        """Folder of what is fetched for an attempt."""
        return job.places.fetched / attempt.stem

    def forget_unheld(self, holds: Callable[[AttemptId], bool]) -> None:
        """Remove what was fetched for attempts that are not this worker's any more."""
        for attempt in list(self._fetched):
            if not holds(attempt):
                self.forget_attempt(attempt)

    def forget_attempt(self, attempt: AttemptId) -> None:
        """Remove what was fetched for an attempt that is over."""
        if attempt in self._fetched:
            self._fetched.discard(attempt)
            remove_tree(self._scratch / "fetched" / str(attempt.job) / attempt.stem)

    def _open_code(self, digest: str) -> Path:
        folder = self._scratch / "code"
        if not (folder / digest).is_dir():
            from mapreduce.bundle import open_bundle

            open_bundle(self._client.code(self._session(), digest), folder, sha256=digest)
        return folder / digest

    def _forget_before(self, number: int) -> None:
        """Jobs run one at a time, in order: what earlier ones left here is of no use."""
        for earlier in [job for job in self._jobs if job < number]:
            del self._jobs[earlier]
            remove_tree(self.served_folder / str(earlier))
            remove_tree(self._scratch / "fetched" / str(earlier))


def remove_tree(folder: Path) -> None:
    """Remove a folder of this worker's own with all in it, as far as possible."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
