"""The state as people and programs see it: status replies, reducers' run lists. Pure."""

from __future__ import annotations

from collections.abc import Callable

from mapreduce.protocol import messages as m
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.transitions import JobPhase, TaskState


def job_status(state: State, job: Job, *, resumed: tuple[int, int] = (0, 0), failures: int = 20) -> m.JobStatus:
    """One job; `resumed` counts maps and reduces that were committed when this incarnation took the job up."""
    outputs = job.outputs
    return m.JobStatus(
        job=job.id,
        name=job.name,
        state=job.phase.value,
        reason=job.reason,
        message=job.message,
        maps=task_counts(job.maps),
        reduces=task_counts(job.reduces),
        maps_remade=job.maps.remade,
        workers=len(state.workers),
        counters=job.counters,
        warnings=job.warnings,
        input_bytes=job.input_bytes,
        output=job.spec.output.uri,
        output_records=sum(outputs.out_records) if job.phase is JobPhase.COMPLETE else 0,
        output_bytes=sum(outputs.out_bytes) if job.phase is JobPhase.COMPLETE else 0,
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        failures=tuple(
            m.FailureSample(id=note.id, failure=note.failure, at=note.at, worker=note.worker)
            for note in job.failures[-failures:]
        ),
        resumed_maps=resumed[0],
        resumed_reduces=resumed[1],
    )


def task_counts(table: TaskTable) -> m.TaskCounts:
    """How far one phase is."""
    return m.TaskCounts(
        total=table.count,
        running=len(table.leases),
        committed=table.committed_count,
        attempts_failed=table.failed_attempts,
        backups=table.backed_up,
    )


def status_list(state: State, sequence: int, resumed: Callable[[int], tuple[int, int]]) -> m.StatusList:
    """All jobs in order of submission, with one failure each: `status` of one job tells more."""
    jobs = tuple(job_status(state, job, resumed=resumed(job.id), failures=1) for job in state.jobs.values())
    return m.StatusList(jobs=jobs, epoch=state.epoch, sequence=sequence)


def runs_page(
    job: Job,
    start: int,
    limit: int,
    url_of: Callable[[int, m.AttemptId], str],
    has_replica: Callable[[Job, int], bool] = lambda _job, _index: False,
) -> m.RunsPage:
    """The runs that every reduce task of `job` has to read, from map index `start` on.

    Args:
        start: first map index of the page.
        limit: at most so many maps are looked at.
        url_of: (worker number, attempt) -> where to fetch the run; "" when it lies in the runs folder.
        has_replica: (job, map index) -> whether the coordinator has a copy of its run.
    """
    table = job.maps
    end = min(table.count, start + limit)
    runs = []
    for index in range(start, end):
        if table.state[index] != TaskState.COMMITTED:
            continue  # being made again; whoever reads now will be told, or reads the rest in vain and is repeated
        output = table.output(index)
        if output.has_file:
            url = url_of(table.out_worker[index], output.id)
            is_kept = has_replica(job, index)
            runs.append(m.RunRef(map=output.id, bytes=output.bytes, digest=output.digest, url=url, has_replica=is_kept))
    return m.RunsPage(runs=tuple(runs), next=end if end < table.count else None)
