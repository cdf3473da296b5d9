"""Files between the coordinator and workers that share no volume with it: inputs and replicas out, runs and outputs in.

A replica is the copy of a run that its worker hands in after the commit (Peer shuffle), so that the worker may go. It
counts only while its bytes are those of the commit. How bytes are kept is `uploads`; names are `store`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mapreduce.coordinator.plans import Plan
from mapreduce.coordinator.refusals import bad_request, conflict, not_found, not_ready
from mapreduce.coordinator.shell import Shell
from mapreduce.coordinator.store import Store
from mapreduce.coordinator.uploads import Uploads
from mapreduce.dataplane.runcheck import run_digest_of, whole_run_digest
from mapreduce.errors import CorruptRun
from mapreduce.protocol.messages import AttemptId, UploadReply
from mapreduce.scheduling import events
from mapreduce.scheduling.evolve import holds
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.transitions import JobPhase, TaskState


class Transfers:
    """What workers hand in and read, for one incarnation."""

    def __init__(self, shell: Shell, store: Store, plans: dict[int, Plan]) -> None:
        self._shell, self._store, self._plans = shell, store, plans
        self._uploads: Final = Uploads(shell.blocking.run)

    def serves_data(self, job: Job) -> bool:
        """Whether this job's workers come to the coordinator for inputs, replicas and outputs."""
        return self._shell.settings.serves_data and job.spec.storage.shuffle == "Peer"

    async def put_run(self, worker: str, job: Job, stem: str, offset: int, size: int, body: bytes) -> UploadReply:
        """Take a piece of a replica; when it is whole, reducers are told of it."""
        attempt = self._wanted(worker, job, stem, is_output=False)
        if job.maps.has_committed(attempt) and job.maps.output(attempt.index).bytes != size:
            raise conflict(f"size: {stem} has {job.maps.output(attempt.index).bytes} bytes, not {size}")
        target = self._store.runs_folder(job.id) / f"{stem}.run"
        digest: list[int] = []

        def check(path: Path) -> None:
            digest.append(_content_digest(path))
            if job.maps.has_committed(attempt) and job.maps.output(attempt.index).digest != digest[0]:
                raise ValueError("its content is not what was committed.")

        reply = await self._uploads.take(target, offset=offset, size=size, body=body, check=check)
        if reply.is_complete and not digest and attempt not in self._shell.machine.sessions.replicas:
            # it was whole before its commit, and an earlier incarnation took it
            digest.append(await self._shell.blocking.run(lambda: run_digest_of(target)))
        if reply.is_complete and digest and not job.phase.is_final:
            self._shell.turn(events.ReplicaKept(attempt, digest[0]))
        return reply

    async def put_output(self, worker: str, job: Job, stem: str, offset: int, size: int, body: bytes) -> UploadReply:
        """Take a piece of an attempt's output. Its digest is compared with the commit when the job is published."""
        target = self._store.attempts_folder(job.spec, job.id) / f"{stem}.out"
        self._wanted(worker, job, stem, is_output=True)
        return await self._uploads.take(target, offset=offset, size=size, body=body, check=lambda _: None)

    def replica_path(self, job: Job, stem: str) -> Path:
        """Where the replica of a committed run lies. Raises Refused when there is none."""
        attempt = _attempt(job, stem)
        if not job.maps.has_committed(attempt) or not self._shell.machine.sessions.has_replica(job, attempt.index):
            raise not_found(f"replica {stem} of job {job.id}")
        return self._store.runs_folder(job.id) / f"{stem}.run"

    async def input_path(self, job: Job, index: int, number: int) -> Path:
        """Where an input file lies that is still as it was planned."""
        plan = self._plans.get(job.id)
        if plan is None or index >= plan.split_count or number >= len(files := plan.split(index).files):
            raise not_found(f"file {number} of map-{index} of job {job.id}")
        file = files[number]
        if "://" in file.path:
            raise conflict(f"{file.path} is fetched from there, and not from the coordinator.")
        path = Path(file.path)
        roots = self._shell.settings.input_roots
        try:
            facts = await self._shell.blocking.run(path.stat)
            if roots and not await self._shell.blocking.run(lambda: is_below(path, roots)):
                raise conflict(f"input {file.path} leads out of its volume.")
        except OSError as error:
            raise conflict(f"input {file.path} cannot be read any more: {error.strerror}.") from None
        if (facts.st_size, facts.st_mtime_ns) != (file.size, file.mtime_ns):
            raise conflict(f"input {file.path} has changed since the job was planned.")
        return path

    def replicas_pending(self) -> int:
        """Committed runs that a reduce may still read and that only their worker has."""
        job = self._shell.machine.state.current_job
        if job is None or not self.serves_data(job) or job.is_map_only or job.phase is JobPhase.COMMITTING:
            return 0
        sessions, table = self._shell.machine.sessions, job.maps
        return sum(
            1
            for index in range(table.count)
            if table.state[index] == TaskState.COMMITTED
            and table.output(index).has_file
            and not sessions.has_replica(job, index)
        )

    def _wanted(self, worker: str, job: Job, stem: str, *, is_output: bool) -> AttemptId:
        """The attempt whose file somebody will read. Raises Refused `conflict` for any other."""
        attempt = _attempt(job, stem)
        if not self.serves_data(job):
            raise conflict(f"Workers of job {job.id} write to the paths of its definition.")
        if is_output != (attempt.kind == "reduce" or job.is_map_only):
            raise conflict(f"{attempt} of job {job.id} makes {'a run' if is_output else 'an output'}.")
        table = job.table(attempt.kind)
        is_held = not job.phase.is_final and holds(table, attempt, worker)
        if not is_held and (job.phase.is_final or not table.has_committed(attempt)):
            raise conflict(f"{attempt} is not needed: it is neither committed nor leased to {worker}.")
        if self._shell.machine.sessions.is_paused:
            raise not_ready("The coordinator's volume is almost full. Send it later.")
        return attempt


def find_replicas(state: State, store: Store) -> dict[AttemptId, int]:
    """Replicas that an earlier incarnation kept, with their digests. Blocking.

    Only names, sizes and indexes are looked at: a replica got its name after all of it was checked and on disk, and a
    reader that finds it damaged has all of it looked at.
    """
    found = {}
    for job in state.jobs.values():
        if job.phase.is_final or job.spec.storage.shuffle != "Peer":
            continue
        folder = store.runs_folder(job.id)
        for index in range(job.maps.count):
            if job.maps.state[index] == TaskState.COMMITTED and (output := job.maps.output(index)).has_file:
                path = folder / f"{output.id.stem}.run"
                try:
                    if path.stat().st_size == output.bytes:
                        found[output.id] = run_digest_of(path)
                except (OSError, CorruptRun):
                    continue
    return found


def is_below(path: Path, roots: Iterable[Path]) -> bool:
    """Whether the file itself, links followed, lies below one of the folders. Blocking."""
    real = path.resolve()
    return any(real.is_relative_to(root.resolve()) for root in roots)


def _attempt(job: Job, stem: str) -> AttemptId:
    attempt = AttemptId.of_stem(job.id, stem)
    if attempt is None:
        raise bad_request(f"stem: {stem!r} names no attempt")
    if attempt.index >= job.table(attempt.kind).count:
        raise not_found(f"task {attempt.task} of job {job.id}")
    return attempt


def _content_digest(path: Path) -> int:
    try:
        return whole_run_digest(path)
    except CorruptRun as error:
        raise ValueError(error.problem) from None
