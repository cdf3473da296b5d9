"""What a job waits for or why it failed, gathered from whoever knows: its coordinator, its log, the API server.

The sentences are `mapreduce.diagnosis` and, for what only a cluster knows, the operator's reasons. Nothing is decided
here but whom to ask.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mapreduce.diagnosis.failuregroups import FailureGroup, group_failures
from mapreduce.diagnosis.headline import Severity, headline
from mapreduce.diagnosis.wording import as_options, as_uris
from mapreduce.errors import Unreachable, UsageError
from mapreduce.page.messages import Frame
from mapreduce.protocol.messages import FINAL_STATES
from mapreduce.typed import from_json
from mapreduce_cli.jobnames import OfCluster, OfCoordinator

if TYPE_CHECKING:
    from mapreduce.protocol.client import CoordinatorClient

#: Time after which an operator that runs would have looked at a new object.
_OPERATOR_LOOKS_S = 15.0
#: Reasons of conditions that are about what goes on, not about what is wrong.
_ORDINARY = frozenset({"Starting", "Pending", "Checking", "Running", "JobEnded", "Answering", "Ready", "Resumed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One sentence, its remedy, and what failed on the way."""

    job: str
    sentence: str
    severity: Severity
    fix: str = ""
    reason: str = ""
    """One CamelCase word for programs, where there is one."""
    failures: tuple[FailureGroup, ...] = ()
    logs: str = ""
    """The command that shows the logs of one task, without its name."""
    retry: str = ""
    notes: tuple[str, ...] = ()
    """What the coordinator noticed beside."""
    is_in_cluster: bool = True


def of_coordinator(named: OfCoordinator) -> Answer:
    """By asking the coordinator."""
    return _worded(_of_client(named.client, named.number, logs=f"mr logs {named.command_name}"))


def of_folder(folder: Path) -> Answer:
    """By the coordinator that serves the folder's job now, or else by the log that it left."""
    from mapreduce.local.paths import typed_folder
    from mapreduce.protocol.endpoint import ENDPOINT_FILE
    from mapreduce_cli.commands.logs import state_of
    from mapreduce_cli.connect import Found

    state, number = state_of(folder)
    logs = f"mr logs {typed_folder(folder)}"
    if (state / ENDPOINT_FILE).exists():
        try:
            return _worded(_of_client(Found(folder=state).client(), number, logs=logs))
        except Unreachable:
            pass  # killed: its endpoint is still there, and its log tells all
    return _worded(_of_log(state, number, folder, logs=logs))


def of_cluster(found: OfCluster) -> Answer:
    """By the object's conditions, and by the coordinator where those say that everything is as it should be."""
    answer = _of_conditions(found) or _of_its_coordinator(found)
    return dataclasses.replace(answer, sentence=as_uris(answer.sentence))


def _of_its_coordinator(found: OfCluster) -> Answer:
    from mapreduce_cli.cluster.proxied import JOB_NUMBER, CoordinatorGone, coordinator_client

    logs = f"mr logs {found.command_name}"
    try:
        return _of_client(coordinator_client(found.jobs, found.job), JOB_NUMBER, logs=logs)
    except Unreachable as error:
        problem = error.problem if isinstance(error, CoordinatorGone) else error
        return Answer(
            job=found.job.name,
            sentence=found.job.status.message or f"Nothing is wrong as far as the API server knows; {problem}",
            severity="info",
            logs=logs,
        )


def first_frame(client: CoordinatorClient, job: int) -> Frame:
    """All that a coordinator tells those who begin to look at a job."""
    frames = client.frames(job)
    try:
        return from_json(next(frames), Frame)
    except msgspec.DecodeError as error:
        raise Unreachable(
            f"the coordinator is of another release, and what it says is not understood: {error}"
        ) from None
    finally:
        frames.close()


def _of_client(client: CoordinatorClient, job: int, *, logs: str) -> Answer:
    frame = first_frame(client, job)
    notices = client.coordinator().notices if frame.status.state not in FINAL_STATES else ()
    return Answer(
        job=frame.status.name,
        sentence=frame.head.sentence,
        severity=frame.head.severity,
        fix=frame.head.fix,
        reason=frame.status.reason,
        failures=frame.failures or (),
        logs=logs,
        notes=tuple(notice.message for notice in notices if notice.reason != "DiskFull"),  # the sentence tells that
    )


def _of_log(state: Path, number: int, folder: Path, *, logs: str) -> Answer:
    """What the log says of a job that nobody serves now."""
    from mapreduce.coordinator.offline import read_state
    from mapreduce.coordinator.publish import SUCCESS_NAME
    from mapreduce.local.paths import typed_folder
    from mapreduce.page.durations import Durations
    from mapreduce.page.frames import Seen, failure_groups, job_facts
    from mapreduce.scheduling.views import job_status

    left = read_state(state)
    job = left.state.jobs.get(number)
    if left.rot:
        return Answer(
            job=job.name if job is not None else folder.name,
            sentence=f"Its log is damaged below what was acknowledged: {left.rot}",
            severity="bad",
            reason="WALCorrupt",
            fix="The same command goes on with all results that verify and makes the rest again; look after the disk.",
            logs=logs,
        )
    if job is None:
        raise UsageError(f"the log in {state} knows no job {number}")
    status = job_status(left.state, job)
    durations = Durations()
    durations.learn(job.attempts, range(len(job.attempts.end)))
    seen = Seen(sequence=0, now_at=time.time(), durations=durations.quantiles(), source=typed_folder(folder))
    told = headline(job_facts(left.state, job, seen, status))
    if status.state in FINAL_STATES:
        return Answer(
            job=job.name,
            sentence=told.sentence,
            severity=told.severity,
            fix=told.fix,
            reason=status.reason,
            failures=failure_groups(job),
            logs=logs,
        )
    if (folder / SUCCESS_NAME).exists():  # the last word of a result; that of the log comes after it
        return Answer(
            job=job.name,
            sentence="Complete: its result is published, and it was killed before its log said so",
            severity="good",
            logs=logs,
        )
    committed = status.maps.committed + status.reduces.committed
    return Answer(
        job=job.name,
        sentence=f"Nobody runs it: it was stopped while {status.state.lower()}, with "
        f"{committed:,} of {status.maps.total + status.reduces.total:,} tasks committed",
        severity="warning",
        fix="The same `mr run` goes on where its log ends, or its coordinator when that is started again.",
        failures=failure_groups(job),
        logs=logs,
    )


def _of_conditions(found: OfCluster) -> Answer | None:
    """What the operator says is wrong or over; None while everything goes its way."""
    from mapreduce_cli.cluster.following import as_status, retry_of
    from mapreduce_operator.reasons import reason as reason_named

    job = found.job
    logs = f"mr logs {found.command_name}"

    def answer(type_: str, severity: Severity) -> Answer:
        condition = job.condition(type_)
        assert condition is not None
        known = reason_named(condition.reason)
        sentence = (condition.message or known.sentence).strip()
        fix = known.fix if known.fix and known.fix not in sentence else ""
        failures = group_failures(as_status(job).failures) if type_ == "Failed" else ()
        if failures:  # they have the traceback that the message repeats
            sentence = sentence.partition("\n")[0]
        retry = retry_of(found) if type_ == "Failed" else ""
        if fix == "" and known.fix and sentence.endswith(known.fix):
            sentence, fix = sentence.removesuffix(known.fix).strip(), known.fix
        return Answer(
            job=job.name,
            sentence=sentence,
            severity=severity,
            fix=fix,
            reason=condition.reason,
            failures=failures,
            logs=logs,
            retry=retry,
        )

    if job.is_true("Failed"):
        return answer("Failed", "bad")
    if job.is_true("Complete"):
        return None if job.condition("CoordinatorReady") is not None else answer("Complete", "good")
    if not job.status.conditions:
        age_s = time.time() - job.created_at
        if age_s < _OPERATOR_LOOKS_S:
            return Answer(job=job.name, sentence="It has only just been created", severity="info")
        return Answer(
            job=job.name,
            sentence=f"No operator has looked at it, {age_s:.0f} s after it was created",
            severity="bad",
            reason="OperatorMissing",
            fix=f"See whether the operator runs and sees this namespace: `{found.cluster.doctor}`.",
        )
    for type_, bad, severity in (
        ("Suspended", "True", "warning"),
        ("Validated", "False", "bad"),
        ("Stalled", "True", "bad"),
        ("CoordinatorReady", "False", "warning"),
        ("WorkersReady", "False", "warning"),
        ("Degraded", "True", "warning"),
    ):
        condition = job.condition(type_)
        if condition is not None and condition.status == bad and condition.reason not in _ORDINARY:
            return answer(type_, severity)  # type: ignore[arg-type]
    return None


def _worded(answer: Answer) -> Answer:
    """For somebody at a command line, who typed options and no fields."""
    words = as_options
    return dataclasses.replace(answer, sentence=words(answer.sentence), fix=words(answer.fix), is_in_cluster=False)
