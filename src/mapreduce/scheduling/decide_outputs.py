"""Decisions about outputs that were committed and are gone, or came back different. Pure.

The promise: a committed task is done again only when its bytes are gone. Where the coordinator can look itself (runs on
a shared volume, replicas), its probe decides and readers only ask for it. Of a run that only its worker has, a second
worker's report, that worker's own, or its end makes it again. A reader that nobody bears out pays for its reports: its
task waits, and comes closer to `maxLostAttempts`.

A map made again with other content never meets a reader of the old one: running readers start again, and a committed
reader ends the job.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from mapreduce.protocol import messages as m
from mapreduce.scheduling import events
from mapreduce.scheduling import records as r
from mapreduce.scheduling.state import Job, Worker
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import JobPhase, TaskState
from mapreduce.scheduling.turn import Turn

WITNESSES_NEEDED = 2


def is_changed(table: TaskTable, done: r.Committed) -> bool:
    """A map that was committed before comes back with another logical content."""
    index = done.id.index
    return table.kind == "map" and table.was_committed(index) and table.out_digest[index] != done.digest


def restart_readers(turn: Turn, job: Job, remade: m.AttemptId) -> None:
    """A map was made again and differs: its running readers start again; a committed one means mixed output."""
    if job.phase.is_final or job.is_map_only:
        return
    if job.reduces.committed_count:
        turn.finish_job(
            job,
            "Failed",
            "NonDeterministicMap",
            f"{remade.task} was made again after its output was lost and came out different, but reduce tasks that "
            f"read the first version are committed: the output would be a mixture. Make the mapper deterministic (no "
            f"random numbers, time, or order of sets), then run the job anew.",
        )
        return
    for index in list(job.reduces.leases):
        for lease in job.reduces.live(index):
            attempt = job.reduces.attempt_id(index, lease)
            turn.release(lease.worker, (attempt,), r.Release.STALE_INPUT)
            turn.cancel(lease.worker, {attempt})


class Hearing(msgspec.Struct, frozen=True):
    """What a reader's report of runs that it could not read comes to."""

    is_doubted: bool
    """For all that is known the runs are whole, and what keeps the reader from them is its own trouble."""
    convicted: tuple[int, ...] = ()
    """Indexes of the maps to be made again for it."""


def hear(turn: Turn, job: Job, worker: Worker, reader: m.AttemptId, lost_runs: tuple[m.LostRun, ...]) -> Hearing:
    """A reader could not read some runs: ask for a probe where one can tell, else weigh who has said so."""
    convicted: list[int] = []
    doubted: list[bool] = []
    for run in dict.fromkeys(lost.map for lost in lost_runs):
        if not job.maps.has_committed(run):
            continue  # made again since
        said = turn.sessions.reports.setdefault((job.id, run.index), set())
        if job.spec.storage.shuffle != "Peer" or turn.sessions.has_replica(job, run.index):
            turn.sessions.to_probe.add(job.id)
            doubted.append(run in turn.sessions.refuted)
        elif _is_convicted(turn, job, worker, reader, run.index):
            convicted.append(run.index)
        else:
            doubted.append(worker.number in said)
        said.add(worker.number)
    return Hearing(not convicted and bool(doubted) and all(doubted), tuple(convicted))


def take_back_reports(turn: Turn, job: Job, worker: Worker) -> None:
    """A reduce task of this worker is committed, so it has read all runs."""
    for (number, _), said in turn.sessions.reports.items():
        if number == job.id:
            said.discard(worker.number)


def decide_probed(turn: Turn, event: events.RunsProbed) -> None:
    """The coordinator looked at the runs itself: what is gone, and was not made again since, has to be made again."""
    turn.sessions.to_probe.discard(event.job)
    job = turn.state.jobs[event.job]
    if job.phase.is_final:
        return
    for run in event.refuted:
        turn.sessions.reports.pop((job.id, run.index), None)
        turn.sessions.refuted.add(run)
    gone = [run.index for run in event.lost if job.maps.has_committed(run)]
    lose_maps(turn, job, gone, event.problem)


def decide_bad_replicas(turn: Turn, event: events.ReplicasBad) -> None:
    """Copies are gone: runs whose worker is gone too are made again, of the others readers will tell."""
    for run in event.runs:
        turn.sessions.replicas.pop(run, None)
    job = turn.state.jobs[event.job]
    gone = [run.index for run in event.runs if job.maps.has_committed(run) and _is_orphan(turn, job, run.index)]
    lose_maps(turn, job, gone, event.problem)


def decide_missing(turn: Turn, event: events.OutputsMissing) -> None:
    """Publishing found outputs gone: they are made again, and so are the maps whose runs were gone with them."""
    job = turn.state.jobs[event.job]
    if job.phase is not JobPhase.COMMITTING:
        return
    table = job.outputs
    gone = tuple(index for index in event.indexes if table.state[index] == TaskState.COMMITTED)
    for index in gone:
        if table.lost[index] + 1 >= job.spec.max_lost_attempts:
            _give_up(turn, job, f"{table.kind}-{index}", event.problem)
            return
    if gone:
        turn.emit(r.OutputLost(job.id, table.kind, gone, event.problem, turn.at))


def lose_maps(turn: Turn, job: Job, indexes: Collection[int], problem: str) -> None:
    """The runs of these maps are lost: they are made again, or the job fails if that has happened too often."""
    if not indexes or job.phase not in {JobPhase.MAPPING, JobPhase.REDUCING}:
        return
    for index in indexes:
        turn.sessions.reports.pop((job.id, index), None)
        if job.maps.lost[index] + 1 >= job.spec.max_lost_attempts:
            _give_up(turn, job, f"map-{index}", problem)
            return
    turn.emit(r.OutputLost(job.id, "map", tuple(sorted(indexes)), problem, turn.at))


def lose_with_worker(turn: Turn, worker: Worker) -> None:
    """Peer shuffle: a worker that is gone took its runs with it; they are made again if a reduce may need them.

    Not those of which the coordinator has a copy.
    """
    job = turn.state.current_job
    if job is None or job.spec.storage.shuffle != "Peer" or job.is_map_only or job.phase is JobPhase.COMMITTING:
        return
    gone = [
        index
        for index in range(job.maps.count)
        if job.maps.state[index] == TaskState.COMMITTED
        and job.maps.out_worker[index] == worker.number
        and job.maps.output(index).has_file
        and not turn.sessions.has_replica(job, index)
    ]
    lose_maps(turn, job, gone, f"worker {worker.name} is gone and its runs with it")


def note_sizes(turn: Turn, job: Job, output: m.TaskOutput) -> None:
    """Adds a run's bytes by partition to the sums that show skew before the reduces start."""
    if not output.partitions:
        return
    sums = turn.sessions.partition_bytes.get(job.id)
    if sums is None:
        sums = turn.sessions.partition_bytes[job.id] = [0] * job.reduces.count
    for part in output.partitions:
        if part.partition < len(sums):
            sums[part.partition] += part.bytes


def _is_convicted(turn: Turn, job: Job, worker: Worker, reader: m.AttemptId, index: int) -> bool:
    """Peer shuffle: with this report enough is known to make the run again.

    A worker that says for the second time what nobody else has said is believed before its job would fail for it: there
    may be nobody else who reads.
    """
    said = turn.sessions.reports.get((job.id, index), set())
    is_last_try = job.table(reader.kind).lost[reader.index] + 1 >= job.spec.max_lost_attempts
    return (
        len(said | {worker.number}) >= WITNESSES_NEEDED
        or job.maps.out_worker[index] == worker.number
        or _is_orphan(turn, job, index)
        or (worker.number in said and is_last_try)
    )


def _is_orphan(turn: Turn, job: Job, index: int) -> bool:
    """Peer shuffle: nobody serves this run any more."""
    if job.spec.storage.shuffle != "Peer":
        return False
    name = turn.state.worker_names.get(job.maps.out_worker[index], "")
    return name not in turn.sessions.workers


def _give_up(turn: Turn, job: Job, task: str, problem: str) -> None:
    turn.finish_job(
        job,
        "Failed",
        "OutputKeepsGettingLost",
        f"the output of {task} was lost {job.spec.max_lost_attempts} times: {problem}. Look at the volume it is on.",
    )
