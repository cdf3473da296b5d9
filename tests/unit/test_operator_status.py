"""What is reported of a job: conditions with the cluster's own words, counts, one sentence, within bounds."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from mapreduce.protocol.messages import AttemptId, Failure, FailureSample, TaskCounts
from mapreduce_operator import announcing, findings, status, times
from mapreduce_operator.conditions import Finding, cut, merged
from mapreduce_operator.coordinatorreport import CoordinatorReport, Notice
from mapreduce_operator.facts import Container, EventFact, Node
from mapreduce_operator.manifests import volumes
from mapreduce_operator.planning.observed import Answer, Observed
from mapreduce_operator.planning.plan import decide, plan
from mapreduce_operator.reasons import CONDITIONS, REASONS
from mapreduce_operator.statusmodel import Condition, JobStatus
from tests.support.operatorjobs import (
    NOW_S,
    actions_of,
    answer,
    batch,
    claim,
    condition,
    conditions_of,
    coordinator,
    ended,
    message_of,
    new,
    reported,
    running,
    started,
    waiting,
    worker,
)

IMAGE = waiting("agent", "ImagePullBackOff", 'Back-off pulling image "nope:1"')
LOOP = waiting("agent", "CrashLoopBackOff", ending=ended("x", 1, "Traceback: no module").ending, restarts=4)
KILLED = waiting("executor", "CrashLoopBackOff", ending=ended("x", 137, reason="OOMKilled").ending, restarts=3)
CONFIG = waiting("agent", "CreateContainerConfigError", 'secret "x" not found')


def _stuck(container: Container) -> Observed:
    return started(pods=(coordinator(), worker(0, is_ready=False, phase="Pending", containers=(container,))))


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        (IMAGE, "ImagePullFailed", "nope:1"),
        (LOOP, "CrashLoop", "exit code 1: Traceback: no module"),
        (KILLED, "OutOfMemory", "killed 3 times"),
        (CONFIG, "ContainerCannotStart", 'secret "x" not found'),
        (waiting("agent", "InvalidImageName", "bad"), "ImagePullFailed", "bad"),
    ],
)
def test_a_container_that_does_not_start_is_said_in_the_kubelets_words(
    container: Container, reason: str, words: str
) -> None:
    seen = _stuck(container)
    assert conditions_of(seen)["WorkersReady"] == ("False", reason)
    assert words in message_of(seen, "WorkersReady")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("0/3 nodes are available: 3 Insufficient memory.", "Unschedulable"),
        ("pod has unbound immediate PersistentVolumeClaims", "ClaimPending"),
        ('persistentvolumeclaim "fast" not found', "ClaimMissing"),
        ("1 node(s) had volume node affinity conflict", "VolumeNodeLost"),
    ],
)
def test_a_pod_without_a_node_is_said_in_the_schedulers_words(words: str, reason: str) -> None:
    stuck = worker(0, is_ready=False, phase="Pending", node="", unschedulable=words)
    seen = started(pods=(coordinator(), stuck))
    assert conditions_of(seen)["WorkersReady"] == ("False", reason)
    assert words.rstrip(".") in message_of(seen, "WorkersReady")
    dead = coordinator(is_ready=False, phase="Pending", node="", unschedulable=words)
    assert conditions_of(started(pods=(dead,), fields={"answer": Answer()}))["CoordinatorReady"] == ("False", reason)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("pods is forbidden: exceeded quota: small, requested: pods=1", "QuotaExceeded"),
        ("pods is forbidden: violates PodSecurity", "PodRefused"),
    ],
)
def test_pods_that_are_not_made_are_said_in_the_words_of_who_refuses_them(message: str, reason: str) -> None:
    seen = started(pods=(coordinator(),))
    event = EventFact(kind="Job", name=seen.names.workers, reason="FailedCreate", message=message, at_s=NOW_S)
    seen = dataclasses.replace(seen, events=(event,))
    assert conditions_of(seen)["WorkersReady"] == ("False", reason)
    assert message in message_of(seen, "WorkersReady")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Multi-Attach error", "VolumeNotMounted"),
        ('MountVolume.SetUp failed for volume "mr-secret-0" : secret "headers" not found', "SecretMissing"),
        ('MountVolume.SetUp failed for volume "mr-configmap-0" : configmap "words" not found', "ConfigMapMissing"),
    ],
)
def test_a_volume_that_is_not_mounted_is_said_in_the_kubelets_words(words: str, reason: str) -> None:
    slow = worker(0, is_ready=False, phase="Pending", containers=())
    event = EventFact(kind="Pod", name=slow.name, reason="FailedMount", message=words, at_s=NOW_S)
    seen = started(pods=(coordinator(), slow), fields={"events": (event,)})
    assert conditions_of(seen)["WorkersReady"] == ("False", reason)
    assert words in message_of(seen, "WorkersReady")


def test_what_a_coordinator_says_when_it_ends_again_and_again_is_its_reason_and_no_json() -> None:
    said = ended("coordinator", 1, '{"reason": "CoordinatorFailed", "message": "the disk is gone"}\n').ending
    loop = waiting("coordinator", "CrashLoopBackOff", ending=said, restarts=4)
    seen = started(pods=(coordinator(is_ready=False, containers=(loop,)),), fields={"answer": Answer()})
    assert conditions_of(seen)["CoordinatorReady"] == ("False", "CoordinatorFailed")
    assert "the disk is gone" in message_of(seen, "CoordinatorReady")
    assert "{" not in message_of(seen, "CoordinatorReady")


def test_an_error_of_planning_is_one_of_the_reasons() -> None:
    said = answer("Failed", reason="OutputRefused", message="pvc://results/count holds a result.")
    assert conditions_of(started(fields={"answer": said}))["Failed"] == ("True", "OutputExists")


def test_why_a_claim_has_no_volume_is_said_in_the_provisioners_words() -> None:
    stuck = worker(0, is_ready=False, node="", unschedulable="pod has unbound immediate PersistentVolumeClaims")
    event = EventFact(
        kind="PersistentVolumeClaim", name="x", reason="ProvisioningFailed", message="no such class", at_s=NOW_S
    )
    assert "no such class" in message_of(started(pods=(stuck,), fields={"events": (event,)}), "WorkersReady")


def test_a_silent_node_is_named() -> None:
    silent = {"node-a": Node(name="node-a", exists=True, silent_since_s=NOW_S - 1)}
    seen = started(pods=(coordinator(), worker(0, is_ready=False)), fields={"nodes": silent})
    assert conditions_of(seen)["WorkersReady"] == ("False", "NodeLost")
    assert "node-a" in message_of(seen, "WorkersReady")


def test_agents_that_end_again_and_again_are_a_crash_loop_but_disruptions_are_not() -> None:
    crashed = [worker(number, phase="Failed", is_ready=False, containers=(ended("agent", 1),)) for number in (0, 1)]
    assert conditions_of(started(pods=tuple(crashed)))["WorkersReady"] == ("False", "CrashLoop")
    moved = [dataclasses.replace(one, disruption="PreemptionByScheduler") for one in crashed]
    assert conditions_of(started(pods=tuple(moved)))["WorkersReady"] == ("False", "Starting")
    told_to_go = [dataclasses.replace(one, containers=(ended("agent", 143),)) for one in crashed]
    assert conditions_of(started(pods=tuple(told_to_go)))["WorkersReady"] == ("False", "Starting")


def test_an_executor_that_was_killed_for_its_memory_degrades_a_job_that_goes_on() -> None:
    killed = dataclasses.replace(running("executor", restarts=2), ending=ended("x", 137, reason="OOMKilled").ending)
    seen = started(pods=(coordinator(), worker(0, containers=(killed,)), worker(1)))
    assert conditions_of(seen)["WorkersReady"] == ("True", "Ready")
    assert conditions_of(seen)["Degraded"] == ("True", "OutOfMemory")


def test_what_the_coordinator_notices_degrades_the_job_with_its_words() -> None:
    report = CoordinatorReport(epoch=2, notices=(Notice(reason="ReplicasPending", message="3 runs"),))
    seen = started(fields={"answer": answer(report=report)})
    assert conditions_of(seen)["Degraded"] == ("True", "ReplicasPending")
    assert "3 runs" in message_of(seen, "Degraded")
    full = CoordinatorReport(is_short_of_space=True, notices=(Notice(reason="DiskFull", message="the log's volume"),))
    short = started(fields={"answer": answer(report=full)})
    assert conditions_of(short)["Stalled"] == ("True", "DiskFull")
    assert "the log's volume" in message_of(short, "Stalled")


def test_a_volume_for_one_node_is_said_in_workers_ready() -> None:
    seen = started()
    found = seen.job.spec
    assert found is not None
    log = volumes.sources(found, seen.names).log
    seen = dataclasses.replace(seen, claims={log: claim(log, "ReadWriteOnce")})
    assert conditions_of(seen)["WorkersReady"] == ("True", "SingleNodeStorage")
    assert log in message_of(seen, "WorkersReady")


def test_a_job_that_waits_for_somebody_is_stalled_after_a_while() -> None:
    stuck = _stuck(IMAGE)
    assert conditions_of(stuck)["Stalled"] == ("False", "AsExpected")
    pending = {"pendingSince": times.text(NOW_S - 61)}
    long = started(pods=stuck.children.pods, status=pending)
    assert conditions_of(long)["Stalled"] == ("True", "ImagePullFailed")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("pod has unbound immediate PersistentVolumeClaims", "ClaimPending"),
        ("1 node(s) had volume node affinity conflict", "VolumeNodeLost"),
    ],
)
def test_a_job_without_a_coordinator_is_stalled_although_its_workers_are_ready(words: str, reason: str) -> None:
    dead = coordinator(is_ready=False, phase="Pending", node="", unschedulable=words)
    pods, silent = (dead, worker(0), worker(1)), {"answer": Answer()}
    assert conditions_of(started(pods=pods, fields=silent))["Stalled"] == ("False", "AsExpected")
    seen = started(pods=pods, fields=silent, status={"pendingSince": times.text(NOW_S - 61)})
    assert conditions_of(seen)["Stalled"] == ("True", reason)


def test_a_short_absence_of_the_coordinator_stalls_nothing_and_does_not_add_up() -> None:
    restarting = coordinator(is_ready=False, containers=(running("coordinator", ready=False, restarts=1),))
    away = started(pods=(restarting, worker(0), worker(1)), fields={"answer": Answer(problem="refused")})
    assert conditions_of(away)["Stalled"] == ("False", "AsExpected")
    pending = plan(away).status
    assert pending is not None
    assert pending.pending_since == times.text(NOW_S)
    back = started(status={"pendingSince": pending.pending_since})
    assert reported(plan(back)).get("pendingSince") is None


def test_a_claim_whose_class_binds_late_and_fails_is_said_for_a_pod_that_the_scheduler_only_waits_with() -> None:
    stuck = coordinator(is_ready=False, phase="Pending", node="", containers=())
    event = EventFact(
        kind="PersistentVolumeClaim", name="x", reason="ProvisioningFailed", message="no such pool", at_s=NOW_S
    )
    seen = started(pods=(stuck, worker(0)), fields={"answer": Answer(), "events": (event,)})
    assert conditions_of(seen)["CoordinatorReady"] == ("False", "ClaimPending")
    assert "no such pool" in message_of(seen, "CoordinatorReady")


def test_a_coordinator_that_is_started_again_is_said_and_the_counts_stay() -> None:
    restarting = coordinator(is_ready=False, containers=(running("coordinator", ready=False, restarts=1),))
    seen = started(
        pods=(restarting, worker(0), worker(1)),
        fields={"answer": Answer(problem="refused")},
        status={"maps": {"total": 8, "committed": 5, "progress": "5/8"}, "state": "Mapping"},
    )
    assert conditions_of(seen)["CoordinatorReady"] == ("False", "CoordinatorRestarting")
    written = reported(plan(seen))
    assert written["maps"]["progress"] == "5/8"
    assert written["state"] == "Mapping"


# -------------------------------------------------------------------------------------------------------------- counts


def test_counts_come_from_the_coordinator() -> None:
    said = answer("Reducing", maps=TaskCounts(total=8, committed=8, attempts_failed=1), maps_remade=2, input_bytes=5)
    written = reported(plan(started(fields={"answer": said})))
    assert written["maps"] == {"total": 8, "committed": 8, "failed": 1, "remade": 2, "progress": "8/8"}
    assert written["state"] == "Reducing"
    assert written["inputBytes"] == 5
    assert written["workers"] == {
        "desired": 2,
        "ready": 2,
        "selector": "app.kubernetes.io/component=worker,mapreduce.dev/job-uid=0a1b2c3d-1111-2222-3333-444455556666",
    }
    assert written["coordinator"]["service"] == started().names.coordinator


def test_a_status_stays_small_whatever_a_job_says() -> None:
    failure = Failure(failure_class="user", message="m" * 8_000, traceback="t" * 60_000, record="r" * 4_000)
    sample = FailureSample(id=AttemptId(job=1, kind="map", index=1, attempt=1, epoch=1), failure=failure, at=NOW_S)
    said = answer(
        "Failed",
        reason="TaskFailed",
        message="w" * 50_000,
        counters={f"counter-{number}-{'n' * 300}": 1 << 62 for number in range(500)},
        failures=(sample,) * 40,
    )
    made = plan(started(fields={"answer": said}))
    data = msgspec.json.encode(made.status)
    assert len(data) < 24 * 1024
    assert msgspec.json.decode(data, type=JobStatus) == made.status, "within the schema's bounds"


def test_text_that_cannot_be_stored_is_made_storable() -> None:
    assert cut("a\ud800b\0c", 10) == "a?bc"
    assert cut("abcdef", 4) == "abc…"


# ---------------------------------------------------------------------------------------------------------- conditions


def test_every_condition_is_there_from_the_first_pass_with_a_reason_of_the_list() -> None:
    for seen in (new(), started(), new(suspend=True), new(inputs=[{"uri": "x"}]), started(deleted_s=None)):
        found = findings.all_of(seen, decide(seen))
        assert list(found) == list(CONDITIONS)
        assert {one.reason for one in found.values()} <= set(REASONS)


def test_reporting_twice_reports_the_same() -> None:
    seen = started()
    first = plan(seen).status
    assert first is not None
    later = dataclasses.replace(seen, now_s=NOW_S + 60, job=dataclasses.replace(seen.job, status=first))
    assert plan(later).status == first


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    old = Condition(type="Validated", status="True", last_transition_time="2020-01-01T00:00:00Z", reason="A")
    (same,) = merged([old], {"Validated": Finding("True", "B", "words")}, generation=2, now_s=NOW_S)
    assert (same.last_transition_time, same.reason, same.observed_generation) == (old.last_transition_time, "B", 2)
    (turned,) = merged([old], {"Validated": Finding("False", "B", "")}, generation=2, now_s=NOW_S)
    assert turned.last_transition_time == times.text(NOW_S)


def test_resuming_is_said() -> None:
    seen = started(conditions=[condition("Suspended", "True", "SuspendedByUser")])
    assert conditions_of(seen)["Suspended"] == ("False", "Resumed")


def test_a_job_without_reducers_says_so_when_it_is_complete() -> None:
    said = answer("Complete", maps=TaskCounts(total=2, committed=2), reduces=TaskCounts())
    assert conditions_of(started(fields={"answer": said}))["ReducesComplete"] == ("True", "MapOnly")


def test_missing_workers_on_their_way_are_starting_and_nothing_is_done() -> None:
    seen = dataclasses.replace(started(pods=(coordinator(),)))
    assert conditions_of(seen)["WorkersReady"] == ("False", "Starting")
    assert actions_of(seen) == []
    assert batch().parallelism == 2


# -------------------------------------------------------------------------------------------------------------- events


def _events(seen: Observed) -> list[dict[str, Any]]:
    reports = status.report(seen, decide(seen))
    return announcing.changes(seen.job, reports, NOW_S, "operator-0")


def test_events_tell_of_what_has_turned_and_of_nothing_else() -> None:
    first = _events(started())
    assert {one["reason"] for one in first} == {"Answering", "Ready"}
    done = started()
    settled = plan(done).status
    assert settled is not None
    assert _events(dataclasses.replace(done, job=dataclasses.replace(done.job, status=settled))) == []


def test_a_failure_is_a_warning_with_its_words() -> None:
    failed = _events(started(fields={"answer": answer("Failed", reason="TaskFailed", message="map-1: boom")}))
    event = next(one for one in failed if one["reason"] == "TaskFailed")
    assert event["type"] == "Warning"
    assert "map-1: boom" in event["message"]
    assert event["involvedObject"]["uid"] == started().job.uid


def test_the_same_event_has_the_same_name_so_that_a_repeat_is_harmless() -> None:
    assert [one["metadata"]["name"] for one in _events(started())] == [
        one["metadata"]["name"] for one in _events(started())
    ]
