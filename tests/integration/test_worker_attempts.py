"""Real agents and executors under a fake coordinator: what becomes of attempts, good and bad."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mapreduce.dataplane.tracing import RecordTrace
from mapreduce.protocol.messages import Commit, Fail, RunRef
from tests.support.attempts import SUM, failure_of, run_one, still_works
from tests.support.mrruns import is_alive
from tests.support.workers import Setting, eventually, setting_in


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with setting_in(tmp_path) as made:
        yield made


def test_maps_are_reduced_to_an_output_file(setting: Setting) -> None:
    setting.job(SUM)
    worker = setting.worker()
    maps = [setting.map_task(index, "a\nb\n") for index in range(2)]
    setting.coordinator.grant(*maps)
    results = [setting.coordinator.result(task.id) for task in maps]
    setting.coordinator.runs = [
        RunRef(map=result.id, bytes=result.output.bytes, digest=result.output.digest)
        for result in results
        if isinstance(result, Commit)
    ]
    reduce = setting.reduce_task(0)
    setting.coordinator.grant(reduce)
    result = setting.coordinator.result(reduce.id)
    assert isinstance(result, Commit)
    assert (setting.folder / "attempts-1" / f"{reduce.id.stem}.out").read_text() == "a\t2\nb\t2\n"
    setting.coordinator.finish()
    assert worker.exit_code() == 0
    assert list(worker.scratch.iterdir()) == []


def test_in_peer_mode_runs_are_fetched_from_the_worker_that_made_them(setting: Setting) -> None:
    setting.job(SUM, shuffle="Peer", partitions=3)
    maker = setting.worker("--name", "maker")
    text = "".join(f"word{index % 5000}\n" for index in range(20_000))
    task = setting.map_task(0, text)
    setting.coordinator.grant(task)
    made = setting.coordinator.result(task.id)
    assert isinstance(made, Commit)
    url = f"{setting.coordinator.serve_urls['maker']}/runs/1/{task.id.stem}.run"
    setting.coordinator.runs = [RunRef(map=task.id, bytes=made.output.bytes, digest=made.output.digest, url=url)]
    maker.signal(signal.SIGSTOP)  # so that the other one gets the reduce tasks
    reader = setting.worker("--name", "reader")
    setting.coordinator.wait_for(lambda: "reader" in setting.coordinator.serve_urls, "the reader joins")
    maker.signal(signal.SIGCONT)
    reduces = [setting.reduce_task(index) for index in range(3)]
    setting.coordinator.grant(*reduces)
    lines: list[str] = []
    for reduce in reduces:
        assert isinstance(setting.coordinator.result(reduce.id), Commit)
        lines += (setting.folder / "attempts-1" / f"{reduce.id.stem}.out").read_text().splitlines()
    assert sorted(lines) == sorted(f"word{index}\t4" for index in range(5000))
    assert reader.process.poll() is None


def test_a_run_that_cannot_be_fetched_is_reported_with_its_map(setting: Setting) -> None:
    setting.job(SUM, shuffle="Peer")
    setting.worker()
    gone = setting.map_task(7).id
    setting.coordinator.runs = [RunRef(map=gone, bytes=500, digest=1, url=f"http://127.0.0.1:9/runs/1/{gone.stem}.run")]
    reduce = setting.reduce_task(0)
    setting.coordinator.grant(reduce)
    result = setting.coordinator.result(reduce.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "run-lost"
    assert [lost.map for lost in result.failure.lost_runs] == [gone]


def test_a_worker_serves_its_runs_though_the_first_attempt_that_it_was_given_could_not_be_prepared(
    setting: Setting,
) -> None:
    setting.job(SUM, shuffle="Peer")
    setting.worker("--name", "maker")
    gone = setting.map_task(7).id
    setting.coordinator.runs = [RunRef(map=gone, bytes=500, digest=1, url=f"http://127.0.0.1:9/runs/1/{gone.stem}.run")]
    reduce = setting.reduce_task(0)
    setting.coordinator.grant(reduce)
    assert isinstance(setting.coordinator.result(reduce.id), Fail)
    task = setting.map_task(0, "a\n")
    setting.coordinator.grant(task)
    assert isinstance(setting.coordinator.result(task.id), Commit)
    place = setting.coordinator.serve_urls["maker"].removeprefix("http://")
    with closing(http.client.HTTPConnection(place, timeout=30)) as connection:
        connection.request("GET", f"/runs/1/{task.id.stem}.run")
        assert connection.getresponse().status == 401  # without a token, but answered


def test_a_run_that_is_missing_on_the_volume_is_reported_with_its_map(setting: Setting) -> None:
    setting.job(SUM)
    setting.worker()
    gone = setting.map_task(7).id
    setting.coordinator.runs = [RunRef(map=gone, bytes=500, digest=1)]
    reduce = setting.reduce_task(0)
    setting.coordinator.grant(reduce)
    result = setting.coordinator.result(reduce.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "run-lost"
    assert [lost.map for lost in result.failure.lost_runs] == [gone]


def test_a_flood_of_output_is_cut_in_the_middle_and_stops_nobody(setting: Setting) -> None:
    result = run_one(
        setting,
        """
        import sys
        def mapper(line):
            print("the beginning")
            for _ in range(200):
                sys.stderr.write("x" * 100_000 + "\\n")
            print("the end")
            yield line, 1
        """,
    )
    assert isinstance(result, Commit)
    log = setting.coordinator.logs["map-00000.e1.a1"]
    assert log.startswith(b"the beginning")
    assert log.endswith(b"the end\n")
    assert b"bytes of output are left out" in log
    assert len(log) < 256 << 10


def test_output_belongs_to_the_attempt_that_printed_it(setting: Setting) -> None:
    setting.job("def mapper(line):\n    print('from', line)\n    yield line, 1\n")
    setting.worker()
    tasks = [setting.map_task(index, f"line-{index}\n") for index in range(50)]
    setting.coordinator.grant(*tasks)
    for index, task in enumerate(tasks):
        setting.coordinator.result(task.id)
        assert setting.coordinator.logs[task.id.stem] == f"from line-{index}\n".encode()


def test_a_fork_in_user_code_makes_no_second_executor(setting: Setting) -> None:
    result = run_one(
        setting,
        """
        import os
        def mapper(line):
            pid = os.fork()   # the child runs on into code that is not its own
            if pid:
                os.waitpid(pid, 0)
            yield line, os.getpid()
        """,
        "a\nb\nc\n",
    )
    assert isinstance(result, Commit)
    assert result.output.input_records == 3
    still_works(setting)
    assert setting.coordinator.result_count == 2


def test_processes_of_user_code_end_with_a_cancelled_attempt(setting: Setting) -> None:
    pid_file = setting.folder / "pid"
    setting.job(
        f"""
        import pathlib, subprocess, time
        def mapper(line):
            if line == "one":
                child = subprocess.Popen(["sleep", "600"])
                pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
                time.sleep(600)
            yield line, 1
        """
    )
    setting.worker()
    task = setting.map_task(0)
    setting.coordinator.grant(task)
    eventually(lambda: pid_file.exists() and bool(pid_file.read_text()), "the child starts")
    child = int(pid_file.read_text())
    setting.coordinator.wait_for(lambda: setting.coordinator.is_running(task.id), "it runs")
    setting.coordinator.order(cancel=(task.id,))
    eventually(lambda: not is_alive(child), "the child is ended")
    still_works(setting)
    assert task.id not in setting.coordinator.results


def test_a_killed_executor_is_a_crash_and_is_replaced(setting: Setting) -> None:
    setting.job("import time\ndef mapper(line):\n    time.sleep(600 * (line == 'one'))\n    yield line, 1\n")
    worker = setting.worker()
    task = setting.map_task(0)
    setting.coordinator.grant(task)
    setting.coordinator.wait_for(lambda: setting.coordinator.is_running(task.id), "it runs")
    (executor,) = worker.executors()
    os.kill(executor, signal.SIGKILL)
    result = setting.coordinator.result(task.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "crash"
    assert "SIGKILL" in result.failure.message
    still_works(setting)


def test_another_job_gets_an_executor_of_its_own(setting: Setting) -> None:
    setting.job("import builtins\nbuiltins.leak = 1\ndef mapper(line):\n    yield line, 1\n")
    setting.job(
        "import builtins\nassert not hasattr(builtins, 'leak')\ndef mapper(line):\n    yield line, 1\n", number=2
    )
    setting.worker()
    first, second = setting.map_task(0), setting.map_task(0, job=2)
    setting.coordinator.grant(first, second)
    assert isinstance(setting.coordinator.result(first.id), Commit)
    assert isinstance(setting.coordinator.result(second.id), Commit)


def test_user_code_sees_neither_token_nor_address_nor_import_path(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MR_TOKEN_FILE", "/secret/token")
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    result = run_one(
        setting,
        """
        import os
        print(sorted(os.environ))
        def mapper(line):
            yield line, 1
        """,
    )
    assert isinstance(result, Commit)
    log = setting.coordinator.logs["map-00000.e1.a1"].decode()
    assert "PATH" in log
    for hidden in ("MR_TOKEN_FILE", "PYTHONPATH", "AWS"):
        assert hidden not in log


def test_counters_that_are_no_numbers_are_the_users_failure(setting: Setting) -> None:
    failure = failure_of(setting, "def mapper(line, ctx):\n    ctx.counters['x'] = object()\n    yield line, 1\n")
    assert failure.failure_class == "user"
    assert "counters" in failure.message


def test_undecodable_input_in_a_failure_does_not_stop_its_report(setting: Setting) -> None:
    failure = failure_of(setting, "def mapper(line):\n    raise ValueError(f'not {line}')\n", "caf\udce9\n")
    assert failure.failure_class == "user"
    assert "udce9" in failure.traceback + failure.message


def test_hundreds_of_trivial_tasks_flow_without_waiting(setting: Setting) -> None:
    setting.job(SUM)
    setting.coordinator.batch = 64
    setting.worker()
    tasks = [setting.map_task(index) for index in range(300)]
    setting.coordinator.grant(*tasks)
    setting.coordinator.wait_for(lambda: setting.coordinator.result_count == 300, "all results", within_s=20)
    assert all(isinstance(result, Commit) for result in setting.coordinator.results.values())


def test_the_trace_of_another_attempt_is_not_read(setting: Setting) -> None:
    folder = setting.folder / "traces-1"
    folder.mkdir()
    with RecordTrace(folder / "map-00000.e1.a1.trace") as trace:
        trace.write("an older record")
    failure = failure_of(setting, "import os\ndef mapper(line):\n    os._exit(1)\n")
    assert failure.record == ""
