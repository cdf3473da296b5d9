"""The one sentence about a job: what it waits for, what slows it, how it ended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mapreduce
from mapreduce.diagnosis.facts import JobFacts, RunningTask
from mapreduce.diagnosis.headline import headline
from mapreduce.diagnosis.remedies import REMEDIES
from mapreduce.diagnosis.skew import Quantiles
from mapreduce.errors import UsageError
from mapreduce.protocol.messages import AttemptId, Failure, FailureSample, JobStatus, TaskCounts
from mapreduce.scheduling.decide_attempts import REASONS

EVEN = Quantiles(count=60, least=1.0, p25=1.0, median=1.0, p75=1.2, most=1.5)
SKEWED = Quantiles(count=60, least=1.0, p25=1.0, median=1.0, p75=2.0, most=30.0)
HEAVY = (4 << 20, *[1 << 18] * 7)


def status(state: str, **fields: Any) -> JobStatus:
    usual: dict[str, Any] = {
        "job": 1,
        "name": "words",
        "state": state,
        "maps": TaskCounts(total=64, committed=10, running=4),
        "reduces": TaskCounts(total=8),
        "workers": 2,
        "submitted_at": 100.0,
        "started_at": 100.0,
    }
    return JobStatus(**(usual | fields))


def facts(told: JobStatus, **fields: Any) -> JobFacts:
    usual: dict[str, Any] = {"status": told, "now_at": 200.0, "slots": 4}
    return JobFacts(**(usual | fields))


def failure(message: str, kind: Any = "user") -> FailureSample:
    name = AttemptId(job=1, kind="map", index=3, attempt=4, epoch=1)
    return FailureSample(id=name, failure=Failure(failure_class=kind, message=message), at=150.0, worker="a")


def test_a_job_that_goes_well_says_how_far_it_is() -> None:
    found = headline(facts(status("Mapping")))
    assert (found.sentence, found.severity) == ("Maps: 10 of 64 committed, 4 leased", "info")


def test_a_complete_job_says_how_long_it_took_and_what_was_retried() -> None:
    done = status("Complete", finished_at=165.0, maps=TaskCounts(total=64, committed=64, attempts_failed=2))
    found = headline(facts(done))
    assert (found.sentence, found.severity) == ("Complete in 1m05s; 2 failed attempts on the way", "good")


def test_a_complete_job_that_skew_has_slowed_says_so() -> None:
    done = status("Complete", finished_at=165.0)
    found = headline(facts(done, partition_bytes=HEAVY, durations={"reduce": SKEWED}))
    assert found.sentence == "Complete in 1m05s, but 1 of 8 reduce tasks holds 70 % of the bytes"
    assert found.severity == "warning"
    assert "combiner" in found.fix


def test_skew_that_cost_nothing_is_not_told_of_a_complete_job() -> None:
    done = status("Complete", finished_at=165.0)
    assert headline(facts(done, partition_bytes=HEAVY, durations={"reduce": EVEN})).severity == "good"


def test_a_failed_job_says_why_and_what_to_do() -> None:
    message = "map-3 failed 4 times: the mapper raised KeyError: 'age'\nand more"
    failed = status("Failed", finished_at=130.0, reason="TaskFailed", message=message, failures=(failure("KeyError"),))
    found = headline(facts(failed))
    assert found.sentence == "Failed after 30 s: map-3 failed 4 times: the mapper raised KeyError: 'age'"
    assert (found.severity, "map-3" in found.fix) == ("bad", True)


@pytest.mark.parametrize(("source", "named"), [("out", "mr replay out map-3"), ("", "mr replay 1 map-3")])
def test_the_command_that_runs_a_failed_task_again_names_the_job(source: str, named: str) -> None:
    failed = status("Failed", finished_at=130.0, reason="TaskFailed", failures=(failure("KeyError"),))
    assert f"`{named}`" in headline(facts(failed, source=source)).fix


@pytest.mark.parametrize(
    ("reason", "word"),
    [("OutOfMemory", "memory"), ("TaskTimedOut", "taskTimeoutSeconds"), ("BadInput", "input"), ("Newer", "")],
)
def test_each_reason_of_a_failure_has_its_own_remedy(reason: str, word: str) -> None:
    assert word in headline(facts(status("Failed", finished_at=130.0, reason=reason, message="no"))).fix


def test_every_reason_by_which_the_engine_can_end_a_job_has_a_remedy() -> None:
    engine = Path(mapreduce.__file__).parent
    sources = [path.read_text() for folder in ("scheduling", "coordinator") for path in engine.glob(f"{folder}/*.py")]
    written = {reason for source in sources for reason in re.findall(r'"Failed",\s*"(\w+)"', source)}
    assert {"NonDeterministicMap", "PlanLost"} <= written
    refusals = {UsageError.__name__, *(kind.__name__ for kind in UsageError.__subclasses__())}
    assert set(REASONS.values()) | written | refusals <= set(REMEDIES)


def test_a_queued_job_says_behind_whom_it_waits() -> None:
    assert "behind other" in headline(facts(status("Queued", started_at=0.0), waits_behind="other")).sentence


def test_without_workers_the_job_says_that_it_waits_for_them_but_not_in_its_first_seconds() -> None:
    lonely = status("Mapping", workers=0)
    assert headline(facts(lonely, now_at=101.0)).severity == "info"
    found = headline(facts(lonely))
    assert found.sentence == "Waits for workers: 62 tasks left and no worker is registered"
    assert found.severity == "warning"


def test_a_full_disk_comes_before_everything_that_follows_from_it() -> None:
    found = headline(facts(status("Mapping", workers=0), is_paused=True))
    assert found.sentence.startswith("Waits for disk space")


def test_many_failures_are_told_while_the_job_still_runs() -> None:
    failing = status(
        "Mapping",
        maps=TaskCounts(total=64, committed=10, running=4, attempts_failed=5),
        failures=(failure("KeyError"),),
    )
    assert headline(facts(failing)).sentence == "5 attempts failed so far: KeyError"


def test_few_failures_among_many_successes_are_not_the_headline() -> None:
    going = status("Mapping", maps=TaskCounts(total=900, committed=800, running=4, attempts_failed=5))
    assert headline(facts(going)).severity == "info"


def test_the_last_task_that_runs_long_is_named_with_its_worker() -> None:
    tail = status("Mapping", maps=TaskCounts(total=64, committed=63, running=1))
    slow = RunningTask("map-17", 1, "worker-b", 45.0)
    found = headline(facts(tail, oldest=slow, durations={"map": EVEN}))
    assert found.sentence == "Waits for map-17, running for 45 s on worker-b, 45 times the median"


def test_a_long_task_amid_others_is_no_headline_yet() -> None:
    slow = RunningTask("map-17", 1, "worker-b", 45.0)
    assert headline(facts(status("Mapping"), oldest=slow, durations={"map": EVEN})).severity == "info"


def test_skew_is_told_before_the_reduces_begin() -> None:
    found = headline(facts(status("Mapping"), partition_bytes=HEAVY))
    assert found.sentence == "Maps: 10 of 64 committed, 4 leased; 1 of 8 reduce tasks holds 70 % of the bytes"


def test_skew_of_a_few_bytes_is_nobodys_business() -> None:
    assert headline(facts(status("Mapping"), partition_bytes=(400, 1, 1, 1))).severity == "info"


def test_maps_that_are_made_again_are_told() -> None:
    remaking = status("Mapping", maps=TaskCounts(total=64, committed=61, running=3), maps_remade=3)
    assert headline(facts(remaking)).sentence == "Makes 3 maps again whose output was lost or went with its worker"


@pytest.mark.parametrize("state", ["Planning", "Committing", "Cancelled"])
def test_every_other_state_has_a_sentence_too(state: str) -> None:
    assert headline(facts(status(state, finished_at=120.0 if state == "Cancelled" else 0.0))).sentence
