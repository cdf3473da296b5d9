"""Whole jobs with the processes of their pods: the real coordinator, and workers of two containers each."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.hosts import short_folder
from tests.support.mrruns import is_alive
from tests.support.podjobs import PodJob
from tests.support.pods import interpreter_for_others
from tests.support.workers import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

WORD_COUNT = """
def mapper(line):
    for word in line.split():
        yield word, 1

def reducer(word, counts):
    yield word, sum(counts)
"""

#: Maps note that they ran; one of them waits until a file is there.
GATED = """
import os, time
def mapper(line, ctx):
    if line.startswith("gate"):
        open(ctx.args["gate"] + ".waits", "w").close()
        while not os.path.exists(ctx.args["gate"]):
            time.sleep(0.01)
    for word in line.split():
        yield word, 1

def reducer(word, counts):
    yield word, sum(counts)
"""

TEXT = "".join(f"word{index % 97} and word{index % 13} again\n" for index in range(4_000))


def spec(**more: Any) -> dict[str, Any]:
    return {
        "inputs": [{"uri": "pvc://data/in"}],
        "output": {"uri": "pvc://data/out"},
        "reducers": 3,
        "splitSizeBytes": 10_000,
        "leaseSeconds": 5,
        **more,
    }


def expected(text: str) -> Counter[str]:
    return Counter(text.split())


def counted(job: PodJob) -> Counter[str]:
    pairs = (line.split("\t") for line in job.output())
    return Counter({word: int(count) for word, count in pairs})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., PodJob]]:
    made: list[PodJob] = []
    stack = ExitStack()

    def make(
        given: dict[str, Any],
        code: str = WORD_COUNT,
        *,
        is_shared: bool,
        has_users: bool = False,
        text: str = TEXT,
    ) -> PodJob:
        # pytest's own folders are closed to other users
        root = stack.enter_context(short_folder()) if has_users else tmp_path
        job = PodJob(root / "mr", given, code, is_shared=is_shared, has_users=has_users)
        made.append(job)
        (job.claim / "in").mkdir()
        (job.claim / "in" / "text.txt").write_text(text)
        return job.start()

    yield make
    for job in made:
        job.close()
    stack.close()


def gated_text() -> str:
    return "".join(TEXT.splitlines(keepends=True)[:2_000]) + "gate of the last\n"


@pytest.mark.parametrize("is_shared", [True, False], ids=["Shared", "Peer"])
def test_a_job_ends_with_the_right_output_and_its_workers_with_0(start: Callable[..., PodJob], is_shared: bool) -> None:
    job = start(spec(), is_shared=is_shared)
    pods = [job.start_pod(f"worker-{index}") for index in range(2)]
    status = job.until_over()
    assert (status.state, status.message) == ("Complete", "")
    assert counted(job) == expected(TEXT)
    assert [pod.agent.exit_code() for pod in pods] == [0, 0]
    for pod in pods:
        assert [path for path in pod.disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("is_shared", [True, False], ids=["Shared", "Peer"])
def test_containers_of_different_users_need_no_more_than_their_group(
    start: Callable[..., PodJob], is_shared: bool
) -> None:
    if interpreter_for_others() is None:
        pytest.skip("needs root, setpriv, and an interpreter that other users can read")
    job = start(spec(), is_shared=is_shared, has_users=True)
    pods = [job.start_pod(f"worker-{index}") for index in range(2)]
    status = job.until_over()
    assert (status.state, status.message) == ("Complete", "")
    assert counted(job) == expected(TEXT)
    assert [pod.agent.exit_code() for pod in pods] == [0, 0]
    assert not list((job.claim / "out").rglob("*.out"))


def test_a_map_only_job_hands_in_its_outputs(start: Callable[..., PodJob]) -> None:
    job = start(spec(reducers=0), "def mapper(line):\n    yield line, 1\n", is_shared=False)
    job.start_pod("worker-0")
    assert job.until_over().state == "Complete"
    assert [line.split("\t")[0] for line in job.output()] == TEXT.splitlines()


def test_runs_of_a_worker_that_is_gone_are_read_from_their_replicas(
    start: Callable[..., PodJob], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = start(spec(args={"gate": str(gate)}), GATED, is_shared=False, text=gated_text())
    first = job.start_pod("first")
    until_only_the_gated_map_is_left(job, gate)
    eventually(lambda: replicas_pending(job) == 0, "all runs have replicas", within_s=60)
    first.close()
    gate.touch()
    job.start_pod("second")
    status = job.until_over()
    assert status.state == "Complete", status
    assert status.maps_remade == 0
    assert counted(job) == expected(gated_text())


def until_only_the_gated_map_is_left(job: PodJob, gate: Path) -> None:
    def is_so() -> bool:
        status = job.status()
        others = status.maps.total - 1 if status is not None else 0
        return status is not None and others > 2 and status.maps.committed == others

    eventually(is_so, "only the gated map is left", within_s=60)
    eventually(Path(f"{gate}.waits").exists, "it runs", within_s=60)


def replicas_pending(job: PodJob) -> int | None:
    found = job.how_is_the_coordinator()
    return None if found is None else found.replicas_pending


def test_a_worker_that_is_told_to_go_first_brings_its_replicas(start: Callable[..., PodJob], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = start(spec(args={"gate": str(gate)}), GATED, is_shared=False, text=gated_text())
    first = job.start_pod("first", "--replica-grace-s", "60")
    until_only_the_gated_map_is_left(job, gate)
    first.agent.signal(signal.SIGTERM)
    gate.touch()
    assert first.agent.exit_code(within_s=30) == 143
    assert replicas_pending(job) == 0
    job.start_pod("second")
    status = job.until_over()
    assert status.state == "Complete", status
    assert status.maps_remade == 0


@pytest.mark.parametrize("is_shared", [True, False], ids=["Shared", "Peer"])
def test_a_killed_coordinator_costs_nothing_that_was_committed(
    start: Callable[..., PodJob], tmp_path: Path, is_shared: bool
) -> None:
    gate = tmp_path / "gate"
    job = start(spec(args={"gate": str(gate)}), GATED, is_shared=is_shared, text=gated_text())
    job.start_pod("only")
    until_only_the_gated_map_is_left(job, gate)
    job.kill_coordinator()
    gate.touch()
    job.start_coordinator()
    status = job.until_over()
    assert status.state == "Complete", status
    assert status.maps_remade == 0
    assert status.resumed_maps == status.maps.total - 1
    assert counted(job) == expected(gated_text())


def test_a_killed_executors_container_costs_one_attempt(start: Callable[..., PodJob], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = start(spec(args={"gate": str(gate)}), GATED, is_shared=True, text=gated_text())
    pod = job.start_pod("only")
    until_only_the_gated_map_is_left(job, gate)
    pod.host.close()
    gate.touch()
    pod.host = pod.start_host()
    status = job.until_over()
    assert status.state == "Complete", status
    assert status.maps.attempts_failed == 1
    assert is_alive(pod.host.pid)
    assert counted(job) == expected(gated_text())
