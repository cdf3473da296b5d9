"""A job's state as frames: what the page shows of it, without the columns. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from mapreduce.diagnosis.facts import JobFacts, RunningTask
from mapreduce.diagnosis.failuregroups import FailureGroup, group_failures
from mapreduce.diagnosis.headline import headline
from mapreduce.diagnosis.skew import Quantiles, describe_durations, describe_partitions
from mapreduce.page.messages import Frame, HeadView, JobLine, WorkerView
from mapreduce.protocol.messages import Failure, FailureSample, JobStatus, TaskKind
from mapreduce.scheduling.state import Job, State
from mapreduce.scheduling.tasks import TaskTable
from mapreduce.scheduling.views import job_status
from mapreduce.version import __version__
from mapreduce.volumes import shown

_MOST_JOBS: Final = 100
_KINDS: Final[tuple[TaskKind, TaskKind]] = ("map", "reduce")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job beside its state; a log alone knows nothing of it."""

    sequence: int
    now_at: float
    durations: Mapping[str, Quantiles]
    source: str
    partition_bytes: tuple[int, ...] = ()
    """So far, while maps run."""
    is_paused: bool = False
    silent_s: Mapping[str, float] = msgspec.field(default_factory=dict)
    """By worker: since it was last heard."""
    memory_bytes: Mapping[str, int] = msgspec.field(default_factory=dict)
    """By worker: of its executors, when it was last heard."""
    resumed: tuple[int, int] = (0, 0)
    store_id: str = ""
    """Of the log, in hex."""
    shown_root: str = ""
    """Folder below which a pod's volumes are mounted: they are shown as the job's author named them."""


def state_frame(state: State, job: Job, seen: Seen) -> Frame:
    """Everything but the columns."""
    frame = delta_frame(state, job, seen)
    return msgspec.structs.replace(
        frame,
        type="State",
        failures=failure_groups(job, seen.shown_root),
        failures_kept=len(job.failures),
        partition_bytes=partition_bytes(job, seen),
        workers=worker_views(state, job, seen),
        jobs=job_lines(state),
        spec=_shown(spec_yaml(job), seen.shown_root),
        source=seen.source,
        store_id=seen.store_id,
        version=__version__,
    )


def delta_frame(state: State, job: Job, seen: Seen) -> Frame:
    """What is new in every frame: status, sentence, verdicts."""
    status = job_status(state, job, resumed=seen.resumed)
    root = seen.shown_root
    facts = job_facts(state, job, seen, status)
    told = headline(facts)
    return Frame(
        type="Delta",
        epoch=state.epoch,
        sequence=seen.sequence,
        at=seen.now_at,
        rows=len(job.attempts.kind),
        status=msgspec.structs.replace(
            status, failures=(), output=_shown(status.output, root), message=_shown(status.message, root)
        ),
        head=HeadView(sentence=_shown(told.sentence, root), severity=told.severity, fix=told.fix),
        verdicts=_verdicts(facts),
    )


def job_facts(state: State, job: Job, seen: Seen, status: JobStatus) -> JobFacts:
    """The same for a diagnosis."""
    ahead = state.current_job
    return JobFacts(
        status=status,
        now_at=seen.now_at,
        slots=sum(worker.slots for worker in state.workers.values()),
        partition_bytes=partition_bytes(job, seen),
        durations=dict(seen.durations),
        oldest=_oldest(job, seen.now_at),
        is_paused=seen.is_paused,
        waits_behind=ahead.name if ahead is not None and ahead is not job else "",
        source=seen.source,
    )


def partition_bytes(job: Job, seen: Seen) -> tuple[int, ...]:
    """Final once all maps are committed, and what is known so far before."""
    return job.partition_bytes or seen.partition_bytes


def failure_groups(job: Job, root: str = "") -> tuple[FailureGroup, ...]:
    """The latest failures of the job by cause."""
    return group_failures(
        FailureSample(id=note.id, failure=_with_places(note.failure, root), at=note.at, worker=note.worker)
        for note in job.failures
    )


def _with_places(failure: Failure, root: str) -> Failure:
    if not root:
        return failure
    return msgspec.structs.replace(
        failure,
        message=_shown(failure.message, root),
        record=_shown(failure.record, root),
        traceback=_shown(failure.traceback, root),
    )


def _shown(text: str, root: str) -> str:
    """A text with the places that the job's author wrote, and not where they are mounted."""
    return shown(text, root) if root else text


def worker_views(state: State, job: Job, seen: Seen) -> tuple[WorkerView, ...]:
    """All workers that are here, and those gone that had to do with this job."""
    here = {worker.number: worker for worker in state.workers.values()}
    took_part = set(job.attempts.worker)
    views = []
    for number in sorted(set(here) | took_part):
        worker = here.get(number)
        name = state.worker_names.get(number, "")
        views.append(
            WorkerView(
                number=number,
                name=name or "unknown",
                slots=worker.slots if worker is not None else state.worker_slots.get(number, 1),
                is_here=worker is not None,
                leased=sum(1 for held in worker.leases if held.job == job.id) if worker is not None else 0,
                silent_s=round(seen.silent_s.get(name, 0.0), 1),
                memory_bytes=seen.memory_bytes.get(name, 0),
                step_s={step: round(spent_s, 3) for step, spent_s in job.worker_step_s.get(number, {}).items()},
            )
        )
    return tuple(views)


def job_lines(state: State) -> tuple[JobLine, ...]:
    """The latest jobs, in order of submission."""
    jobs = list(state.jobs.values())[-_MOST_JOBS:]
    return tuple(JobLine(job=job.id, name=job.name, state=job.phase.value) for job in jobs)


def spec_yaml(job: Job) -> str:
    """The manifest that would give this job again, defaults left out."""
    from mapreduce import manifest  # brings YAML along, which only viewers need

    return manifest.to_yaml(manifest.make(job.name, job.spec))


def _verdicts(facts: JobFacts) -> dict[str, str]:
    told: dict[str, str] = {kind: describe_durations(facts.durations.get(kind), kind) for kind in _KINDS}
    told["partitions"] = describe_partitions(facts.partition_bytes)
    return {name: text for name, text in told.items() if text}


def _oldest(job: Job, now_at: float) -> RunningTask | None:
    found: RunningTask | None = None
    for table in (job.maps, job.reduces):
        oldest = _oldest_row(table)
        if oldest is None:
            continue
        index, row = oldest
        lease = table.leases[index]
        age_s = max(0.0, now_at - job.attempts.start_at[row])
        if found is None or age_s > found.age_s:
            found = RunningTask(
                f"{table.kind}-{index}", lease.attempt, lease.worker, age_s, has_backup=index in table.backups
            )
    return found


def _oldest_row(table: TaskTable) -> tuple[int, int] | None:
    """Index and row of the lease that was granted first: rows are in order of grant."""
    return min(((index, lease.row) for index, lease in table.leases.items()), key=lambda entry: entry[1], default=None)
