"""Tables, progress lines, summaries and failure stories: text only."""

import io
import json
import os
import re

import msgspec
import pytest
import yaml

from mapreduce.local.hosting import describe_resumed
from mapreduce.local.progress import BarsWatcher, PlainWatcher, describe_progress
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.messages import AttemptId, FailureSample, JobState, JobStatus, TaskCounts
from mapreduce_cli.commands.logs import show_remote
from mapreduce_cli.summary import describe_done, describe_failure
from mapreduce_cli.tables import Column, render

RUNNING = JobStatus(
    job=1,
    name="wc",
    state="Mapping",
    maps=TaskCounts(total=64, running=2, committed=37),
    reduces=TaskCounts(total=4),
    workers=2,
)


class Row(msgspec.Struct):
    name: str
    size: int


ROWS = [Row("a", 1), Row("longer", 22)]
COLUMNS: list[Column[Row]] = [
    Column("NAME", lambda row: row.name),
    Column("SIZE", lambda row: str(row.size), is_wide=True),
]


def shown(format_: str) -> str:
    return render(ROWS, COLUMNS, format_, name=lambda row: row.name)


def test_a_table_is_aligned_and_shows_wide_columns_only_when_asked() -> None:
    assert shown("table") == "NAME\na\nlonger\n"
    assert shown("wide") == "NAME     SIZE\na        1\nlonger   22\n"


def test_json_and_yaml_hold_everything() -> None:
    whole = [{"name": "a", "size": 1}, {"name": "longer", "size": 22}]
    assert json.loads(shown("json")) == whole
    assert yaml.safe_load(shown("yaml")) == whole


def test_json_and_yaml_show_what_is_zero() -> None:
    for read, format_ in ((json.loads, "json"), (yaml.safe_load, "yaml")):
        [row] = read(render([RUNNING], [], format_, name=lambda job: job.name))
        assert row["reduces"] == {"total": 4, "running": 0, "committed": 0, "attempts_failed": 0, "backups": 0}
        assert (row["output_records"], row["failures"], row["counters"]) == (0, [], {})


def test_what_a_resumed_job_has_and_what_went_with_its_workers_is_told() -> None:
    status = msgspec.structs.replace(RUNNING, maps=TaskCounts(total=12, committed=9), resumed_maps=9)
    assert describe_resumed(status) == "resuming, 9 of 12 maps already committed"
    lost = msgspec.structs.replace(status, maps=TaskCounts(total=12, committed=2))
    assert describe_resumed(lost) == (
        "resuming, 9 of 12 maps already committed; 7 of these maps have to be made again: "
        "the workers that served their runs have ended"
    )


def test_names_alone_are_one_a_line() -> None:
    assert shown("name") == "a\nlonger\n"


def test_progress_is_one_line_that_says_what_runs() -> None:
    assert describe_progress(RUNNING) == "Mapping: maps 37/64 (2 running), reduces 0/4, 2 workers"


def test_failed_attempts_are_part_of_the_progress() -> None:
    counts = TaskCounts(total=2, attempts_failed=1)
    status = JobStatus(job=1, name="wc", state="Mapping", maps=counts, workers=1)
    assert describe_progress(status) == "Mapping: maps 0/2, 1 worker, 1 failed attempt"


def test_without_a_terminal_there_is_one_line_each_five_seconds() -> None:
    stream, times_s = io.StringIO(), iter((100.0, 101.0, 104.9, 105.0, 109.9, 110.1))
    watcher = PlainWatcher(stream, now_s=lambda: next(times_s))
    for _ in range(5):
        watcher.progress(RUNNING)
    lines = stream.getvalue().splitlines()
    assert [line.split("]")[0] for line in lines] == ["mr: [5.0 s", "mr: [10 s"]


def test_bars_show_both_phases_and_leave_no_colour_when_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    watcher = BarsWatcher(stream)
    watcher.progress(RUNNING)
    watcher.notice("a worker died")
    watcher.close()
    text = stream.getvalue()
    assert "37/64" in text
    assert "shuffle/reduce" in text
    assert "mr: a worker died" in text
    assert "\x1b[3" not in text


def test_the_summary_says_what_was_done_and_where_the_result_is() -> None:
    status = JobStatus(
        job=1,
        name="wc",
        state="Complete",
        maps=TaskCounts(total=64, committed=64, attempts_failed=1),
        reduces=TaskCounts(total=1, committed=1),
        counters={"empty_lines": 1234},
        warnings={"text_separator_in_key": 3},
        input_bytes=5 << 20,
        output_records=40_000,
        output_bytes=1 << 20,
        resumed_maps=37,
    )
    text = describe_done(status, output="out", total_s=4.2, phase_s={"map": 3.0, "end": 0.1}, workers=2, parts=1)
    assert text.splitlines() == [
        "job 'wc' done in 4.2 s (resumed: 37 maps had been committed before)",
        "  input    5.0 MiB in 64 maps, 1 reduce, 2 workers",
        "  output   40,000 records, 1.0 MiB, 1 part in out",
        "  time     map 3.00 s",
        "  retried  1 failed attempt; `mr logs out` shows them",
        "  counters",
        "    empty_lines  1,234",
        "  warnings",
        "    text_separator_in_key  3  keys hold a tab or a newline, which text output cannot tell from its own; "
        "--output-format jsonl is exact",
    ]


def sample(index: int, failure_class: str = "user", **failure: str) -> FailureSample:
    return msgspec.convert(
        {
            "id": msgspec.to_builtins(AttemptId(job=1, kind="map", index=index, attempt=4, epoch=1)),
            "failure": {"failure_class": failure_class, "message": "ValueError: no number", **failure},
            "at": 1.0,
            "worker": "w1",
        },
        FailureSample,
    )


class Failing(CoordinatorClient):
    """A coordinator elsewhere with a job of which some tasks failed."""

    def __init__(self, *failures: FailureSample) -> None:
        self._failures = failures

    def status(self, job: int, *, wait_s: float = 0.0, after_sequence: int = 0) -> tuple[JobStatus, int]:
        return msgspec.structs.replace(RUNNING, job=job, failures=self._failures), 1

    def logs(self, job: int, task: str) -> bytes:
        return f"{job} {task}\n".encode()


def test_logs_from_elsewhere_are_those_of_failed_tasks_in_order(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert show_remote(Failing(sample(10), sample(2), sample(10)), 3, None) == 0
    assert capfdbinary.readouterr().out == b"3 map-2\n3 map-10\n"


def test_a_failure_ends_with_cause_task_record_traceback_log_and_the_command_to_retry() -> None:
    failure = sample(3, traceback='File "wc.py", line 2\nValueError: no number\n', record="a.txt, byte 12: 'x'")
    status = JobStatus(
        job=1,
        name="wc",
        state="Failed",
        reason="UserError",
        message="map-3 failed 4 times: ValueError: no number",
        failures=(failure,),
    )
    assert describe_failure(status, logs="mr logs out", retry="mr run wc.py a.txt -o out").splitlines() == [
        "job 'wc' failed: UserError",
        "  cause    ValueError: no number",
        "  task     map-3, attempt 4, worker w1",
        "  record   a.txt, byte 12: 'x'",
        "  traceback, from your code:",
        '    File "wc.py", line 2',
        "    ValueError: no number",
        "  log      mr logs out --task map-3",
        "  retry    mr run wc.py a.txt -o out",
    ]


def test_the_users_own_failure_is_shown_before_a_worker_that_was_lost_later() -> None:
    status = JobStatus(job=1, name="wc", state="Failed", failures=(sample(3), sample(5, "lost")))
    assert "task     map-3" in describe_failure(status, logs="mr logs out", retry="")


@pytest.mark.parametrize(("state", "stays"), [("Mapping", False), ("Complete", True)])
def test_bars_stay_only_of_a_job_that_has_ended(state: JobState, stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reading, writing = os.openpty()
    with os.fdopen(writing, "w") as terminal:
        watcher = BarsWatcher(terminal)
        watcher.progress(RUNNING)
        watcher.progress(msgspec.structs.replace(RUNNING, state=state))
        watcher.close()
        terminal.flush()
        text = _shown(reading)
    os.close(reading)
    erased = text.rpartition("\x1b[2K")[2]
    assert ("37/64" in erased) == stays


def test_bars_leave_room_for_what_ctrl_c_echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reading, writing = os.openpty()
    with os.fdopen(writing, "w") as terminal:
        watcher = BarsWatcher(terminal)
        watcher.progress(RUNNING)
        watcher.close()
        terminal.flush()
        text = _shown(reading)
    os.close(reading)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n").split("\n")
    assert 90 < max(map(len, lines)) <= 97


def _shown(reading: int) -> str:
    """All that was written to a terminal, which hands out some 4 KiB at a time."""
    os.set_blocking(reading, False)
    shown = b""
    while True:
        try:
            shown += os.read(reading, 1 << 16)
        except BlockingIOError:
            return shown.decode()
