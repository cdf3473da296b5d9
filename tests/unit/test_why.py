"""`mr why`: the first cause that explains everything after it, with its remedy, from whoever knows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mapreduce_operator.reasons import REASONS
from tests.support.clustercommands import COMPLETE, FAILED, Person, condition, person

__all__ = ["person"]

#: Reasons that a condition may have while something is wrong, by a condition that has them.
TROUBLE = {
    "Validated": ["InvalidSpec", "ClaimMissing", "SecretMissing", "ConfigMapMissing"],
    "CoordinatorReady": ["ImagePullFailed", "Unschedulable", "ClaimPending", "CoordinatorUnreachable", "CrashLoop"],
    "WorkersReady": ["QuotaExceeded", "VolumeNotMounted", "OutOfMemory", "WorkersScaledDown", "ContainerCannotStart"],
}


@pytest.mark.parametrize(("type_", "name"), [(type_, name) for type_, names in TROUBLE.items() for name in names])
def test_what_keeps_a_job_is_told_with_its_remedy(person: Person, type_: str, name: str) -> None:
    message = REASONS[name].message("The fact: 42.")
    person.cluster.job("wc", status={"state": "Starting", "conditions": [condition(type_, "False", name, message)]})
    answer = json.loads(person.mr("why", "wc", "-n", "team-a", "-o", "json").out)
    assert answer["reason"] == name
    assert answer["sentence"] == f"{REASONS[name].sentence} The fact: 42."
    assert answer["fix"] == REASONS[name].fix


@pytest.mark.parametrize("name", sorted(name for name, reason in REASONS.items() if reason.fix))
def test_every_reason_that_has_a_remedy_is_told_with_it(person: Person, name: str) -> None:
    stalled = condition("Stalled", "True", name, REASONS[name].message("The fact: 42."))
    person.cluster.job("wc", status={"conditions": [stalled]})
    out = person.mr("why", "wc", "-n", "team-a").out
    assert out == f"wc: {REASONS[name].sentence} The fact: 42.\n  fix      {REASONS[name].fix}\n"


def test_a_message_without_its_remedy_gets_it(person: Person) -> None:
    stuck = condition("WorkersReady", "False", "Unschedulable", "0/3 nodes are available: insufficient memory.")
    person.cluster.job("wc", status={"state": "Starting", "conditions": [stuck]})
    out = person.mr("why", "wc", "-n", "team-a").out
    assert out.startswith("wc: 0/3 nodes are available: insufficient memory.\n")
    assert f"fix      {REASONS['Unschedulable'].fix}" in out


def test_a_stalled_job_is_told_before_its_pods(person: Person) -> None:
    conditions = [
        condition("WorkersReady", "False", "QuotaExceeded", "No more pods."),
        condition("Stalled", "True", "ClaimMissing", "There is no claim books."),
    ]
    person.cluster.job("wc", status={"conditions": conditions})
    assert person.mr("why", "wc", "-n", "team-a").out.startswith("wc: There is no claim books.")


def test_a_failure_is_told_by_cause_however_many_tasks_met_it(person: Person) -> None:
    person.cluster.job("wc", status=FAILED)
    out = person.mr("why", "wc", "-n", "team-a").out
    assert out.count("Traceback") == 0  # of the condition's message: each group has its own
    assert out.count("'x3'") == 1
    assert "failed   2 attempts of map-1, map-3" in out
    assert "log      mr logs wc -n team-a --task map-3" in out
    assert "retry    correct it, then `mr rm wc -n team-a`" in out
    assert 'File "job.py", line 2, in mapper' in out


def test_a_job_that_no_operator_looks_at_says_so(person: Person) -> None:
    person.cluster.job("wc")
    answer = json.loads(person.mr("why", "wc", "-n", "team-a", "-o", "json").out)
    assert answer["reason"] == "OperatorMissing"
    assert "`mr doctor -n team-a`" in answer["fix"]


def test_a_job_that_is_new_is_given_time(person: Person) -> None:
    raw = person.cluster.job("wc")
    raw["metadata"]["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert person.mr("why", "wc", "-n", "team-a").out == "wc: It has only just been created.\n"


def test_a_suspended_job_says_how_it_goes_on(person: Person) -> None:
    suspended = condition("Suspended", "True", "SuspendedByUser", REASONS["SuspendedByUser"].message())
    person.cluster.job("wc", status={"state": "Suspended", "conditions": [suspended]})
    assert "Set spec.suspend to false to go on" in person.mr("why", "wc", "-n", "team-a").out


def test_without_its_coordinator_a_job_that_goes_its_way_is_told_by_its_status(person: Person) -> None:
    person.cluster.job("wc", status=COMPLETE)
    assert person.mr("why", "wc", "-n", "team-a").out == "wc: The whole output is in place.\n"


def test_a_run_that_failed_is_explained_by_its_log_alone_in_the_words_that_were_typed(person: Person) -> None:
    Path("job.py").write_text("def mapper(line):\n    yield int(line), 1\n")
    Path("in.txt").write_text("1\nx\n")
    ran = person.mr("run", "job.py", "in.txt", "-o", "out", "--max-attempts", "2", "--no-page")
    assert ran.code == 1
    out = person.mr("why", "out").out
    assert "as often as --max-attempts allows" in out
    assert "invalid literal for int() with base 10: 'x'" in out
    assert "failed   2 attempts of map-0" in out
    assert "in.txt, byte 2" in out
    assert "mr logs out --task map-0" in out
    for line in ran.err.splitlines():
        if line.startswith(("  cause", "  task", "  record", "  log")):
            assert line in out, "a failure explains itself alike wherever it is shown"


@pytest.mark.parametrize("mode", ["--inline", "--sequential"])
def test_a_run_in_one_process_is_said_to_keep_no_log_by_whoever_is_asked_for_it(person: Person, mode: str) -> None:
    Path("job.py").write_text("def mapper(line):\n    yield line, 1\n")
    Path("in.txt").write_text("1\nx\n")
    assert person.mr("run", "job.py", "in.txt", "-o", "out", mode).code == 0
    for command in ("why", "logs", "report", "trace"):
        asked = person.mr(command, "out/")
        assert (asked.code, f"of a run with {mode}, which keeps no log" in asked.err) == (2, True), asked
    assert person.mr("run", "job.py", "in.txt", "-o", "out", "--overwrite", "--no-page").code == 0
    assert person.mr("why", "out/").code == 0


def test_a_folder_of_nobody_is_refused(person: Person) -> None:
    Path("other").mkdir()
    ran = person.mr("why", "other/")
    assert (ran.code, "holds no job of ours" in ran.err) == (2, True)
