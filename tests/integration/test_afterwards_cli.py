"""What `mr` tells of a job from its log alone (report, trace, replay, diff), and of one that runs (top, page)."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mrruns import WORD_COUNT, GatedJob, Running, mr, mr_command, parts, until

FAILING = """
def mapper(line):
    for word in line.split():
        yield word, int(word)

def reducer(word, numbers):
    yield word, sum(numbers)
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job that is complete in `out`, and one that has failed in `bad`."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "wc.py").write_text(WORD_COUNT)
    (folder / "failing.py").write_text(FAILING)
    (folder / "a.txt").write_text("one two\ntwo three\n" * 50)
    (folder / "b.txt").write_text("1 2\n3 x\n")
    mr("run", "wc.py", "a.txt", "-o", "out", "--workers", "1", "--reducers", "2", "--split-size", "400", cwd=folder)
    mr("run", "failing.py", "b.txt", "-o", "bad", "--workers", "1", cwd=folder, check=1)
    return folder


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[tuple[GatedJob, Running]]:
    job = GatedJob(tmp_path)
    running = job.start()
    yield job, running
    job.end()
    running.process.communicate()


def test_a_report_is_one_file_made_from_the_log(done: Path) -> None:
    said = mr("report", "out", "-o", "report.html", cwd=done)
    assert "wc: Complete in" in said.stdout
    page = (done / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert '"state":"Complete"' in page
    assert mr("report", "out", "-o", "-", cwd=done).stdout.startswith("<!doctype html>")


def test_a_report_of_a_failed_job_holds_its_traceback(done: Path) -> None:
    mr("report", "bad", cwd=done)
    page = (done / "failing-report.html").read_text()
    assert "invalid literal for int()" in page
    assert '"severity":"bad"' in page


def test_a_trace_is_json_that_perfetto_opens(done: Path) -> None:
    trace = json.loads(mr("trace", "out", cwd=done).stdout)
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert {event["name"] for event in events} >= {"map-0", "reduce-0", "reduce-1"}


def test_a_replayed_task_makes_the_same_bytes_and_changes_nothing(done: Path) -> None:
    before = parts(done / "out")
    assert "the same bytes as the job's own" in mr("replay", "out", "map-1", cwd=done).stdout
    reduced = mr("replay", "out", "reduce-1", cwd=done)
    assert "the same bytes as the job's own" in reduced.stdout
    assert "runs are gone" in reduced.stderr
    assert parts(done / "out") == before


def test_a_replayed_failure_comes_through_as_it_was(done: Path) -> None:
    said = mr("replay", "bad", "map-0", cwd=done, check=1)
    assert "attempt 4 failed: the mapper raised ValueError" in said.stderr
    assert "ValueError: invalid literal for int() with base 10: 'x'" in said.stderr
    assert "record: " in said.stderr
    assert "failing.py" in said.stderr


def test_a_corrected_file_runs_on_the_recorded_input(done: Path) -> None:
    (done / "fixed.py").write_text(FAILING.replace("int(word)", "int(word) if word.isdigit() else 0"))
    said = mr("replay", "bad", "map-0", "--edited", "fixed.py", cwd=done)
    assert "map-0 ran to its end" in said.stdout


def test_on_a_terminal_a_failure_stops_in_the_debugger(done: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        mr_command("replay", "bad", "map-0"), cwd=done, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    said = b""
    while b"(Pdb)" not in said:
        said += os.read(leader, 4_096)
    os.write(leader, b"p word\nq\n")
    while process.poll() is None:
        try:
            said += os.read(leader, 4_096)
        except OSError:  # the other side has closed
            break
    os.close(leader)
    assert process.wait(30) == 1
    assert b"'x'" in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["replay", "out", "map-99"], "has 3 map tasks"),
        (["replay", "out", "fold-1"], "tasks are called map-3 or reduce-0"),
        (["replay", "out", "map-0", "--edited", "nothing.py"], "there is no such file"),
        (["report", "nowhere/"], "nowhere"),
        (["trace", "."], "holds no job of ours"),
        (["diff", "out", "bad"], "no finished result"),
        (["page", "out"], "mr report out"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(done: Path, arguments: list[str], word: str) -> None:
    said = mr(*arguments, cwd=done, check=2)
    assert word in said.stderr
    assert said.stderr.count("\n") == 1


def test_two_runs_of_one_job_have_the_same_output(done: Path) -> None:
    mr("run", "wc.py", "a.txt", "-o", "again", "--workers", "1", "--reducers", "2", cwd=done)
    assert mr("diff", "out", "again", cwd=done).stdout == "the same: 2 parts, 3 records\n"
    mr("run", "wc.py", "b.txt", "-o", "other", "--workers", "1", "--reducers", "2", cwd=done)
    said = mr("diff", "out", "other", cwd=done, check=1).stdout
    assert "differs from record 1 on" in said
    assert "parts differ" in said
    assert mr("diff", "out", "other", "--quiet", cwd=done, check=1).stdout == ""


def test_top_of_what_has_ended_says_what_still_tells_of_it(done: Path) -> None:
    said = mr("top", "out", cwd=done, check=3)
    assert said.stderr == "mr: nothing serves out now; `mr why out` says how it went, `mr report out` shows it\n"


def test_top_follows_a_run_line_by_line_where_there_is_no_terminal(gated: tuple[GatedJob, Running]) -> None:
    job, running = gated
    until(lambda: running.committed_maps() == 7, "seven committed maps", running.story)
    watching = subprocess.Popen(
        mr_command("top", "out"), cwd=job.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()
    assert "Mapping" in first
    assert "maps 7/8" in first
    job.open_gate()
    rest, problem = watching.communicate(timeout=60)
    assert watching.returncode == 0, problem
    assert "Complete" in rest


def test_top_draws_a_screen_on_a_terminal(gated: tuple[GatedJob, Running]) -> None:
    job, running = gated
    until(lambda: running.committed_maps() == 7, "seven committed maps", running.story)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "40"}
    process = subprocess.Popen(
        mr_command("top", "out"), cwd=job.folder, stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    said = b""
    while b"7/8" not in said or b"WORKER" not in said:
        said += os.read(leader, 65_536)
    job.open_gate()
    while process.poll() is None:
        try:
            said += os.read(leader, 65_536)
        except OSError:
            break
    os.close(leader)
    assert process.wait(30) == 0
    assert b"Complete" in said


def test_a_report_can_be_made_of_a_job_that_still_runs(gated: tuple[GatedJob, Running]) -> None:
    job, running = gated
    until(lambda: running.committed_maps() == 7, "seven committed maps", running.story)
    assert "gated: " in mr("report", "out", "-o", "r.html", cwd=job.folder).stdout
    assert '"state":"Mapping"' in (job.folder / "r.html").read_text()
