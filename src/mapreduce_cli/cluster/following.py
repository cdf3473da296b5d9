"""A MapReduceJob followed to its end: progress as for a job of this machine, one line or story at the end.

What the API server says is translated into the status that a coordinator would give, so that bars, summaries and
failures look the same wherever a job runs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Final

from mapreduce.errors import Unreachable
from mapreduce.local.progress import make_watcher
from mapreduce.protocol.messages import AttemptId, Failure, FailureSample, JobState, JobStatus, TaskCounts
from mapreduce_cli.cluster.jobs import ClusterJob, seconds_of
from mapreduce_cli.jobnames import OfCluster
from mapreduce_cli.summary import describe_failure
from mapreduce_operator.statusmodel import FailureStatus, Tasks

WATCH_S: Final = 120
#: How long the API server may be away.
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 1.0

_STATES: Final[dict[str, JobState]] = {
    "Mapping": "Mapping",
    "Reducing": "Reducing",
    "Publishing": "Committing",
    "Complete": "Complete",
    "Failed": "Failed",
    "Starting": "Planning",
}
#: A Service leads to its new pod a moment after that is ready; for so long after the start it is not worth a word.
_SETTLING_S: Final = 60.0
#: Conditions, and their status while they keep a job from going on, the most telling first.
_WAITS: Final = (
    ("Stalled", "True"),
    ("Suspended", "True"),
    ("Validated", "False"),
    ("Degraded", "True"),
    ("CoordinatorReady", "False"),
    ("WorkersReady", "False"),
)


def wait_for(found: OfCluster, *, timeout_s: float | None) -> int:
    """Follow the job until it has ended, and say how; the exit code: 0 complete, 1 failed, deleted, or not in time."""
    watcher = make_watcher()
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    job, told = found.job, ""
    try:
        for seen in follow(found, deadline_s=deadline_s):
            if seen is None:
                watcher.close()
                print(f"mr: job '{job.name}' was deleted", file=sys.stderr)
                return 1
            job = seen
            waiting = waits_for(job)
            if waiting and waiting != told:
                told = waiting
                watcher.notice(f"job '{job.name}': {waiting}")
            watcher.progress(as_status(job))
    except KeyboardInterrupt:
        watcher.close()
        name = found.command_name
        print(
            f"mr: job '{job.name}' goes on; `mr wait {name}` waits for it, `mr cancel {name}` ends it", file=sys.stderr
        )
        raise
    finally:
        watcher.close()
    if job.is_true("Complete"):
        print(f"mr: job '{job.name}' is complete, output in {job.status.output.uri or job.output}", file=sys.stderr)
        return 0
    if not job.is_finished:
        state = job.status.state or "Pending"
        print(f"mr: job '{job.name}' is still {state}; `mr why {found.command_name}` says more", file=sys.stderr)
        return 1
    logs = f"mr logs {found.command_name}"
    story = describe_failure(as_status(job), logs=logs, retry=retry_of(found), is_in_cluster=True)
    print(f"mr: {story}", file=sys.stderr)
    return 1


def follow(found: OfCluster, *, deadline_s: float = math.inf) -> Iterator[ClusterJob | None]:
    """The job after each change until it has ended, or None at last when it was deleted.

    An API server that is away for a while is waited for. Raises Unreachable when it stays away.
    """
    away_since_s: float | None = None
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            seconds = max(1, min(WATCH_S, math.ceil(left_s) if left_s != math.inf else WATCH_S))
            for seen in found.jobs.watch(found.job.name, timeout_s=seconds):
                away_since_s = None
                yield seen
                if seen is None or seen.is_finished:
                    return
                if time.monotonic() >= deadline_s:
                    return
            if found.jobs.find(found.job.name) is None:
                yield None
                return
        except Unreachable:
            away_since_s = away_since_s or time.monotonic()
            if time.monotonic() - away_since_s > PATIENCE_S:
                raise
            time.sleep(min(PAUSE_S, max(0.0, deadline_s - time.monotonic())))


def waits_for(job: ClusterJob) -> str:
    """What keeps a job that has not ended from going on, in the operator's words; empty when nothing does."""
    usual = {"Starting", "JobEnded", "Pending"}
    if time.time() - (seconds_of(job.status.start_time) or 0.0) < _SETTLING_S:
        usual.add("CoordinatorUnreachable")
    for type_, bad in _WAITS:
        found = job.condition(type_)
        if found is not None and found.status == bad and found.reason not in usual:
            return found.message or found.reason
    return ""


def as_status(job: ClusterJob) -> JobStatus:
    """The job's status in the words of a coordinator."""
    status = job.status
    failed = job.condition("Failed")
    state: JobState = "Complete" if job.is_true("Complete") else _STATES.get(status.state or "", "Queued")
    reason = failed.reason if failed is not None and failed.status == "True" else ""
    if reason == "Cancelled":
        state = "Cancelled"
    return JobStatus(
        job=1,
        name=job.name,
        state=state,
        reason=reason,
        message=(failed.message if failed is not None and failed.status == "True" else "") or status.message,
        maps=_counts(status.maps),
        reduces=_counts(status.reduces),
        maps_remade=status.maps.remade,
        workers=status.workers.ready,
        counters=dict(status.counters),
        input_bytes=status.input_bytes,
        output=status.output.uri or job.output,
        output_records=status.output.records,
        output_bytes=status.output.bytes,
        submitted_at=job.created_at,
        started_at=seconds_of(status.start_time),
        finished_at=seconds_of(status.completion_time),
        failures=tuple(sample for failure in status.failures if (sample := _sample(failure)) is not None),
    )


def retry_of(found: OfCluster) -> str:
    """What to type to run a failed job again."""
    return f"correct it, then `mr rm {found.command_name}` and submit it again"


def _counts(tasks: Tasks) -> TaskCounts:
    return TaskCounts(total=tasks.total, running=tasks.running, committed=tasks.committed, attempts_failed=tasks.failed)


def _sample(failure: FailureStatus) -> FailureSample | None:
    kind, _, index = failure.task.rpartition("-")
    if kind not in {"map", "reduce"} or not index.isdecimal():
        return None
    return FailureSample(
        id=AttemptId(job=1, kind=kind, index=int(index), attempt=max(1, failure.attempt), epoch=1),  # type: ignore[arg-type]
        failure=Failure(
            failure_class=failure.class_ or "user",  # type: ignore[arg-type]
            message=failure.message,
            traceback=failure.traceback,
            record=failure.record,
        ),
        at=seconds_of(failure.at),
        worker=failure.worker,
    )


def follow_to_deletion(found: OfCluster, *, deadline_s: float) -> bool:
    """Wait until the object is gone; False when it is still there at the deadline."""
    while (left_s := deadline_s - time.monotonic()) > 0:
        current = found.jobs.find(found.job.name)
        if current is None or current.uid != found.job.uid:
            return True
        for seen in found.jobs.watch(found.job.name, timeout_s=max(1, math.ceil(left_s))):
            if seen is None or seen.uid != found.job.uid:
                return True
    return False
