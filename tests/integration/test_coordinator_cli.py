"""`mr coordinator`, `mr worker` and the commands that talk to them, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.coordinator.statefiles import read_endpoint
from tests.support.mrruns import GATED, WORD_COUNT, mr, parts, start_mr, until


class Stage:
    """A folder with jobs, and processes that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "wc.py").write_text(WORD_COUNT)
        (folder / "gated.py").write_text(GATED)
        (folder / "ran").mkdir()
        (folder / "a.txt").write_text("the cat and the dog\n")
        (folder / "gate.txt").write_text("gate of words\n")

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{arguments[0]}-{len(self.processes)}.log").open("wb")
        with log:
            process = start_mr(*arguments, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def start_coordinator(self) -> subprocess.Popen[bytes]:
        process = self.start("coordinator", "--dir", "state")
        until(lambda: self.is_served_by(process), "the coordinator")
        return process

    def is_served_by(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None
        endpoint = read_endpoint(self.state)
        return endpoint is not None and endpoint.pid == process.pid

    def url(self) -> str:
        endpoint = read_endpoint(self.state)
        assert endpoint is not None
        return endpoint.url

    def mr(self, *arguments: object, check: int | None = 0) -> str:
        done = mr(*arguments, cwd=self.folder, check=check)
        return done.stdout + done.stderr

    def submit_gated(self, out: str) -> str:
        args = ["--arg", f"ran={self.folder / 'ran'}", "--arg", f"gate={self.folder / 'gate'}"]
        return mr("submit", "gated.py", "gate.txt", "-o", out, *args, cwd=self.folder).stdout.strip()

    def gated_runs(self) -> bool:
        return (self.folder / "ran" / "map-0").exists()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "work").mkdir()
    stage = Stage(tmp_path / "work")
    yield stage
    for process in reversed(stage.processes):
        process.terminate()
    for process in stage.processes:
        process.wait(timeout=30)


def test_jobs_are_submitted_listed_waited_for_and_read_without_naming_the_coordinator(stage: Stage) -> None:
    stage.start_coordinator()
    assert "has no jobs" in stage.mr("ls")
    assert stage.mr("submit", "wc.py", "a.txt", "-o", "out", "--reducers", "2").strip() == "1"
    stage.start("worker")  # workers may join after the job
    stage.start("worker", "--coordinator", stage.url())
    assert "job 1 'wc' is complete" in stage.mr("wait", "1")
    stage.mr("wait", "out/")
    assert stage.mr("ls", "-o", "name") == "1\n"
    (job,) = json.loads(stage.mr("ls", "-o", "json"))
    assert (job["state"], job["maps"]["committed"], job["output_records"]) == ("Complete", 1, 4)
    assert stage.mr("get", "1", "--merge") == "and\t1\ncat\t1\ndog\t1\nthe\t2\n"
    assert stage.mr("get", "wc", "--top", "1") == "the\t2\n"
    assert "printed nothing" in stage.mr("logs", "1")
    assert "there is no job 77" in stage.mr("logs", "77", check=2)
    assert "--overwrite" in stage.mr("submit", "wc.py", "a.txt", "-o", "out", check=2)
    assert stage.mr("submit", "wc.py", "a.txt", "-o", "out", "--overwrite", "--wait").startswith("2\n")


def test_bad_input_is_refused_before_it_is_submitted(stage: Stage) -> None:
    stage.start_coordinator()
    assert "does not exist" in stage.mr("submit", "wc.py", "b.txt", "-o", "out", check=2)
    assert "has no jobs" in stage.mr("ls")


def test_a_restarted_coordinator_keeps_its_port_its_jobs_and_its_workers(stage: Stage) -> None:
    first = stage.start_coordinator()
    url = stage.url()
    stage.start("worker")
    assert stage.submit_gated("out") == "1"
    until(stage.gated_runs, "the gated map")
    first.kill()
    first.wait()
    stage.start_coordinator()
    assert stage.url() == url
    (stage.folder / "gate").write_text("open")
    stage.mr("wait", "1")
    assert (stage.folder / "ran" / "map-0").read_text() == "1\n"
    assert sorted(parts(stage.folder / "out")) == ["part-00000"]


def test_a_failed_job_makes_wait_exit_with_1_and_its_logs_say_why(stage: Stage) -> None:
    (stage.folder / "bad.py").write_text("def mapper(line):\n    print('about to fail')\n    yield line, 1 // 0\n")
    stage.start_coordinator()
    stage.start("worker")
    story = stage.mr("submit", "bad.py", "a.txt", "-o", "out", "--max-attempts", "1", "--wait", check=1)
    assert "ZeroDivisionError" in story
    assert "retry    mr submit bad.py a.txt -o out" in story
    assert "about to fail" in stage.mr("logs", "1", "--task", "map-0")
    state = str(stage.folder / "state")
    waited = stage.mr("wait", "1", "--dir", state, check=1)
    assert "ZeroDivisionError" in waited
    assert f"mr logs 1 --dir {state} --task map-0" in waited
    assert "then `mr submit` it again" in waited
    assert "Failed" in stage.mr("wait", "out/", check=1)


def test_a_job_that_is_cancelled_ends_without_output_and_the_next_one_runs(stage: Stage) -> None:
    stage.start_coordinator()
    stage.start("worker")
    stage.submit_gated("out")
    until(stage.gated_runs, "the gated map")
    assert stage.mr("submit", "wc.py", "a.txt", "-o", "next").strip() == "2"
    assert "is Cancelled" in stage.mr("cancel", "1")
    stage.mr("wait", "2")
    assert "Cancelled" in stage.mr("wait", "1", check=1)
    assert not (stage.folder / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize("output", ["out", "link/out"])
def test_a_job_that_waited_for_the_folder_of_a_cancelled_one_gets_it(stage: Stage, output: str) -> None:
    (stage.folder / "link").symlink_to(stage.folder)
    stage.start_coordinator()
    stage.start("worker")
    stage.submit_gated("out")
    until(stage.gated_runs, "the gated map")
    assert stage.mr("submit", "wc.py", "a.txt", "-o", output).strip() == "2"
    stage.mr("cancel", "1")
    stage.mr("wait", "2")
    assert (stage.folder / "out" / "_SUCCESS").exists()


def test_one_folder_is_served_by_one_coordinator(stage: Stage) -> None:
    stage.start_coordinator()
    assert "another coordinator serves it" in stage.mr("coordinator", "--dir", "state", check=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_coordinator_that_is_told_to_end_leaves_no_endpoint_and_no_note(stage: Stage, number: signal.Signals) -> None:
    process = stage.start_coordinator()
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    assert not (stage.state / "endpoint.json").exists()
    assert stage.mr("ls", check=3).startswith("mr: no coordinator of yours runs here")
    assert list((Path(os.environ["XDG_RUNTIME_DIR"]) / "mapreduce").iterdir()) == []


def test_a_coordinator_that_is_gone_is_unreachable_with_exit_code_3(stage: Stage) -> None:
    process = stage.start_coordinator()
    process.kill()
    process.wait()
    assert stage.mr("ls", "--dir", "state", check=3).startswith("mr: ")
