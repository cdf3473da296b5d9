"""Each condition of a job: what is the case, and why. Pure. How they are merged and written is `conditions`."""

from __future__ import annotations

from typing import Final

from mapreduce_operator import times
from mapreduce_operator.conditions import Finding
from mapreduce_operator.planning import drift, problems
from mapreduce_operator.planning.observed import Observed
from mapreduce_operator.planning.problem import Problem
from mapreduce_operator.planning.verdict import Verdict

#: Problems that go away by themselves, as a rule.
_PASSING: Final = frozenset({"NodeLost", "CoordinatorUnreachable", "CoordinatorRestarting", "WorkersScaledDown"})
_STALLED_AFTER_S: Final = 60.0


def all_of(seen: Observed, verdict: Verdict) -> dict[str, Finding]:
    """What to say in every condition."""
    coordinator, workers = _coordinator(seen, verdict), _workers(seen, verdict)
    outcome = verdict.outcome
    not_yet = Finding.false("NotFinished")
    complete = failed = finished = not_yet
    if outcome is not None:
        finished = Finding.true("Succeeded" if outcome.kind == "Complete" else "JobFailed")
        ended = Finding("True", outcome.reason, outcome.message)
        complete = ended if outcome.kind == "Complete" else Finding.false("JobFailed")
        failed = ended if outcome.kind == "Failed" else Finding.false("Succeeded")
    return {
        "Validated": _validated(seen, verdict),
        "CoordinatorReady": coordinator,
        "WorkersReady": workers,
        "MapsComplete": _maps(seen, verdict),
        "ReducesComplete": _reduces(seen, verdict),
        "Suspended": _suspended(seen, verdict),
        "Degraded": _degraded(seen, verdict),
        "Stalled": _stalled(seen, verdict, coordinator, workers),
        "SpecDrift": _drift(seen),
        "Complete": complete,
        "Failed": failed,
        "Finished": finished,
    }


def _validated(seen: Observed, verdict: Verdict) -> Finding:
    if verdict.blocker is not None:
        return Finding.of("Unknown" if verdict.blocker.reason == "Checking" else "False", verdict.blocker)
    outcome = verdict.outcome
    if outcome is not None and outcome.kind == "Failed" and outcome.reason in _INVALID:
        return Finding("False", outcome.reason, outcome.message)
    before = seen.job.condition("Validated")
    if outcome is not None and not verdict.is_started and before is not None and before.status != "True":
        return Finding(before.status, before.reason, before.message)  # it ended before it could be taken up
    return Finding.true("Accepted")


_INVALID: Final = frozenset(
    {"InvalidSpec", "InvalidCode", "InvalidInput", "InvalidPodTemplate", "OutputExists", "CodeTooLong"}
)


def _coordinator(seen: Observed, verdict: Verdict) -> Finding:
    pod = seen.children.coordinator
    is_up = pod is not None and pod.is_ready and not pod.is_going
    if verdict.is_suspending:
        return Finding.false("SuspendedByUser" if verdict.is_suspended else "Draining")
    if verdict.outcome is not None:
        return Finding.true("Answering") if is_up else Finding.false("JobEnded")
    if not verdict.is_started:
        return Finding.false("Pending")
    if seen.answer.progress is not None:
        return Finding.true("Answering")
    if problem := problems.of_coordinator(seen):
        return Finding.of("False", problem)
    if is_up and seen.answer.problem:
        return Finding.false("CoordinatorUnreachable", _sentence(seen.answer.problem))
    container = pod.container("coordinator") if pod is not None else None
    if container is not None and container.restarts and not is_up:
        return Finding.false("CoordinatorRestarting")
    before = seen.job.condition("CoordinatorReady")
    if is_up and before is not None and before.status == "True":
        return Finding.true("Answering")  # not asked in this pass
    if seen.job.status.coordinator.epoch and not is_up:
        return Finding.false("CoordinatorRestarting")
    return Finding.false("Starting")


def _workers(seen: Observed, verdict: Verdict) -> Finding:
    if verdict.outcome is not None:
        return Finding.false("JobEnded")
    if verdict.is_suspending:
        return Finding.false("SuspendedByUser" if verdict.is_suspended else "Draining")
    if not verdict.is_started:
        return Finding.false("Pending")
    desired, ready = seen.wanted.replicas, seen.ready_workers
    count = f"{ready} of {desired} are ready."
    single = _single_node(seen)
    if desired == 0:
        return Finding.false("WorkersScaledDown")
    if ready >= desired:
        return Finding.true("SingleNodeStorage", single) if single else Finding.true("Ready", count)
    if problem := problems.of_workers(seen):
        facts = " ".join(part for part in (count, problem.facts, single) if part)
        return Finding.of("False", Problem(problem.reason, facts))
    return Finding.false("Starting", count)


def _single_node(seen: Observed) -> str:
    if seen.spec is not None and (seen.claims or seen.snapshot is not None):
        claims = seen.claims_for_one_node(seen.spec)
        return f"It is claim {', '.join(claims)}." if claims else ""
    before = seen.job.condition("WorkersReady")  # not looked at in this pass: as it was
    if before is None or "It is claim " not in before.message:
        return ""
    return "It is claim " + before.message.split("It is claim ", 1)[1].split(".", 1)[0] + "."


def _maps(seen: Observed, verdict: Verdict) -> Finding:
    maps = seen.answer.progress.maps if seen.answer.progress is not None else seen.job.status.maps
    if verdict.outcome is not None and verdict.outcome.kind == "Complete":
        return Finding.true("AllCommitted")
    if maps.total and maps.committed >= maps.total:
        return Finding.true("AllCommitted")
    return Finding.false("Running" if maps.total else "Pending")


def _reduces(seen: Observed, verdict: Verdict) -> Finding:
    progress = seen.answer.progress
    reduces = progress.reduces if progress is not None else seen.job.status.reduces
    if reduces.total and reduces.committed >= reduces.total:
        return Finding.true("AllCommitted")
    is_complete = verdict.outcome is not None and verdict.outcome.kind == "Complete"
    if is_complete:
        return Finding.true("AllCommitted" if reduces.total else "MapOnly")
    return Finding.false("Running" if reduces.total else "Pending")


def _suspended(seen: Observed, verdict: Verdict) -> Finding:
    if verdict.is_suspending:
        return Finding.true("SuspendedByUser") if verdict.is_suspended else _draining(seen)
    before = seen.job.condition("Suspended")
    was = before is not None and (before.status == "True" or before.reason == "Resumed")
    return Finding.false("Resumed" if was else "NotSuspended")


def _draining(seen: Observed) -> Finding:
    report = seen.answer.report
    if report is None or not report.replicas_pending or not seen.children.live_workers:
        return Finding.false("Draining")
    return Finding.false("ReplicasPending", f"{report.replicas_pending} are left; their workers stay meanwhile.")


def _degraded(seen: Observed, verdict: Verdict) -> Finding:
    if verdict.outcome is not None or verdict.is_suspending or not verdict.is_started:
        return Finding.false("AsExpected")
    report, progress = seen.answer.report, seen.answer.progress
    if report is not None and report.is_short_of_space:
        return Finding.true("DiskFull", _notice(seen, "DiskFull"))
    if report is not None and report.notices:
        first = report.notices[0]
        return Finding.true(first.reason or "OperatorError", _sentence(first.message))
    if problem := problems.out_of_memory(seen):
        return Finding.of("True", problem)
    if progress is not None and progress.maps_remade:
        return Finding.true("MapsRemade", f"{progress.maps_remade} so far.")
    return Finding.false("AsExpected")


def _stalled(seen: Observed, verdict: Verdict, coordinator: Finding, workers: Finding) -> Finding:
    if verdict.outcome is not None:
        return Finding.false("AsExpected")
    if seen.trouble is not None:
        return Finding.of("True", seen.trouble)
    if verdict.is_suspending:
        return Finding.false("AsExpected")
    if verdict.blocker is not None:
        return (
            Finding.of("True", verdict.blocker) if verdict.blocker.reason != "Checking" else Finding.false("AsExpected")
        )
    if seen.answer.report is not None and seen.answer.report.is_short_of_space:
        return Finding.true("DiskFull", _notice(seen, "DiskFull"))
    if seen.wanted.replicas == 0 and verdict.is_started:
        return Finding.true("WorkersScaledDown")
    since = times.seconds(seen.job.status.pending_since)
    if since is None or seen.now_s - since < _STALLED_AFTER_S or seen.can_work:
        return Finding.false("AsExpected")
    for finding in (coordinator, *(() if seen.ready_workers else (workers,))):
        if finding.status == "False" and finding.reason not in _PASSING | {"Starting", "Pending"}:
            return Finding("True", finding.reason, finding.message)
    return Finding.false("AsExpected")


def _drift(seen: Observed) -> Finding:
    problem = drift.of(seen)
    return Finding.of("True", problem) if problem is not None else Finding.false("InSync")


def _notice(seen: Observed, reason: str) -> str:
    report = seen.answer.report
    found = next((one.message for one in report.notices if one.reason == reason), "") if report is not None else ""
    return _sentence(found)


def _sentence(words: str) -> str:
    return words.strip().rstrip(".") + "." if words.strip() else ""
