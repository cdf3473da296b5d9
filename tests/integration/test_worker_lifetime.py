"""Real agents under a fake coordinator: restarts, lost answers, signals, orphans, and what must go on meanwhile."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.privatefolders import make_private_folder
from mapreduce.protocol.messages import Commit, Release
from tests.support.mrruns import is_alive
from tests.support.workers import Setting, Worker, eventually, setting_in

#: Tasks of this job run until a file of the name in their record appears.
WAITING = """
import pathlib, time
def mapper(line):
    while not pathlib.Path(line).exists():
        time.sleep(0.01)
    yield line, 1
"""


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with setting_in(tmp_path) as made:
        yield made


def gate(setting: Setting, name: str = "gate") -> Path:
    return setting.folder / name


def test_an_attempt_runs_on_while_the_coordinator_restarts_and_is_committed_to_the_new_one(setting: Setting) -> None:
    setting.job(WAITING)
    setting.worker()
    coordinator = setting.coordinator
    task, queued = setting.map_task(0, f"{gate(setting)}\n"), setting.map_task(1, f"{gate(setting)}\n")
    coordinator.grant(task, queued)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    coordinator.stop()
    coordinator.start()
    coordinator.wait_for(lambda: len(coordinator.registrations) == 2, "the worker comes back")
    assert set(coordinator.registrations[-1].held) == {task.id, queued.id}
    gate(setting).touch()
    for done in (task, queued):
        result = coordinator.result(done.id)
        assert isinstance(result, Commit)
        assert result.id.epoch == 1
    assert len(coordinator.logs) == 0


def test_what_ended_while_the_coordinator_was_away_is_committed_when_it_is_back(setting: Setting) -> None:
    setting.job(WAITING)
    setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    coordinator.stop()
    gate(setting).touch()
    eventually(lambda: (setting.folder / "runs-1" / f"{task.id.stem}.run").exists(), "it ends")
    coordinator.start()
    assert isinstance(coordinator.result(task.id), Commit)


def test_an_attempt_that_the_new_coordinator_does_not_keep_is_ended(setting: Setting) -> None:
    setting.job(WAITING)
    worker = setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    (executor,) = worker.executors()
    coordinator.stop()
    coordinator.leased.clear()
    coordinator.start()
    eventually(lambda: not is_alive(executor), "its executor is ended")
    gate(setting).touch()
    other = setting.map_task(1, f"{gate(setting)}\n")
    coordinator.grant(other)
    assert isinstance(coordinator.result(other.id), Commit)
    assert task.id not in coordinator.results


def test_lost_answers_lose_and_double_nothing(setting: Setting) -> None:
    gate(setting).touch()
    setting.job(WAITING)
    setting.worker()
    coordinator = setting.coordinator
    coordinator.answers_to_lose = 4
    coordinator.batch = 2
    tasks = [setting.map_task(index, f"{gate(setting)}\n") for index in range(10)]
    coordinator.grant(*tasks)
    for task in tasks:
        assert isinstance(coordinator.result(task.id), Commit)
    assert coordinator.result_count == 10


def test_unstarted_attempts_are_given_back_when_asked_for_and_the_running_one_is_not(setting: Setting) -> None:
    setting.job(WAITING)
    setting.worker()
    coordinator = setting.coordinator
    tasks = [setting.map_task(index, f"{gate(setting)}\n") for index in range(4)]
    coordinator.grant(*tasks)
    coordinator.wait_for(lambda: coordinator.is_running(tasks[0].id), "the first one runs")
    coordinator.order(take_back=tuple(task.id for task in tasks))
    for task in tasks[1:]:
        assert coordinator.result(task.id) == Release(id=task.id, was_started=False)
    gate(setting).touch()
    assert isinstance(coordinator.result(tasks[0].id), Commit)


def test_quick_tasks_sent_ahead_can_still_be_given_back(setting: Setting) -> None:
    open_gate = gate(setting, "open")
    open_gate.touch()
    setting.job(WAITING)
    setting.worker()
    coordinator = setting.coordinator
    quick = [setting.map_task(index, f"{open_gate}\n") for index in range(200)]
    slow = setting.map_task(200, f"{gate(setting)}\n")
    behind = [setting.map_task(index, f"{open_gate}\n") for index in range(201, 240)]
    coordinator.grant(*quick, slow, *behind)
    coordinator.wait_for(lambda: coordinator.is_running(slow.id), "the slow one runs")
    coordinator.order(take_back=tuple(task.id for task in behind))
    for task in behind:
        assert coordinator.result(task.id) == Release(id=task.id, was_started=False)


def test_on_sigterm_the_worker_gives_everything_back_and_ends_with_143(setting: Setting) -> None:
    setting.job(WAITING)
    worker = setting.worker("--grace-s", "0.3")
    coordinator = setting.coordinator
    running, queued = (setting.map_task(index, f"{gate(setting)}\n") for index in range(2))
    coordinator.grant(running, queued)
    coordinator.wait_for(lambda: coordinator.is_running(running.id), "it runs")
    executors = worker.executors()
    worker.signal(signal.SIGTERM)
    assert coordinator.result(queued.id) == Release(id=queued.id, was_started=False)
    assert coordinator.result(running.id) == Release(id=running.id, was_started=True)
    assert worker.exit_code() == 143
    assert not any(is_alive(executor) for executor in executors)
    assert list(worker.scratch.iterdir()) == []


def test_an_attempt_that_ends_within_the_grace_is_still_committed(setting: Setting) -> None:
    setting.job(WAITING)
    worker = setting.worker("--grace-s", "20")
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    worker.signal(signal.SIGTERM)
    gate(setting).touch()
    assert isinstance(coordinator.result(task.id), Commit)
    assert worker.exit_code() == 143


def test_an_idle_worker_ends_at_once_on_sigterm(setting: Setting) -> None:
    worker = setting.worker()
    setting.coordinator.wait_for(lambda: bool(setting.coordinator.registrations), "it joins")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(within_s=3) == 143


def test_sigterm_ends_a_worker_whose_coordinator_is_away(setting: Setting) -> None:
    setting.job(WAITING)
    worker = setting.worker("--grace-s", "0.1")
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    coordinator.stop()
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(within_s=5) == 143


def test_ctrl_c_does_not_reach_a_worker_that_another_process_started(setting: Setting) -> None:
    setting.job(WAITING)
    worker = setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    for pid in (worker.process.pid, *worker.executors()):
        subprocess.run(["kill", "-INT", str(pid)], check=True)
    gate(setting).touch()
    assert isinstance(coordinator.result(task.id), Commit)


@pytest.mark.parametrize("how", ["killed", "orphaned"])
def test_nothing_is_left_of_a_worker_whose_agent_or_parent_dies(setting: Setting, how: str) -> None:
    setting.job(WAITING)
    worker = setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0, f"{gate(setting)}\n")
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    executors = worker.executors()
    if how == "killed":
        worker.signal(signal.SIGKILL)
    else:
        worker.orphan()
    worker.exit_code(within_s=5)
    eventually(lambda: not any(is_alive(executor) for executor in executors), "the executors go", within_s=5)


@pytest.mark.parametrize(
    "code",
    [
        "import re\ndef stuck():\n    re.match(r'(a+)+$', 'a' * 60 + 'b')\n",
        "import ctypes\ndef stuck():\n    ctypes.PyDLL(None).sleep(60)\n",
    ],
    ids=["regular expression", "compiled code that holds the lock"],
)
def test_an_executor_stuck_in_compiled_code_goes_with_its_agent(setting: Setting, code: str) -> None:
    setting.job(f"{code}def mapper(line):\n    stuck()\n    yield line, 1\n")
    worker = setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0)
    coordinator.grant(task)
    coordinator.wait_for(lambda: coordinator.is_running(task.id), "it runs")
    executors = worker.executors()
    worker.signal(signal.SIGKILL)
    eventually(lambda: not any(is_alive(executor) for executor in executors), "the executors go", within_s=5)


def test_heartbeats_go_on_while_user_code_holds_the_interpreter(setting: Setting) -> None:
    setting.job("import ctypes\ndef mapper(line):\n    ctypes.PyDLL(None).sleep(2)\n    yield line, 1\n")
    setting.worker()
    coordinator = setting.coordinator
    task = setting.map_task(0)
    coordinator.grant(task)
    assert isinstance(coordinator.result(task.id), Commit)
    times = [at_s for at_s, _ in coordinator.beats]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 1.0
    assert sum(task.id in beat.running for _, beat in coordinator.beats) > 5


def test_a_swallowed_heartbeat_costs_no_lease_however_short(setting: Setting) -> None:
    coordinator = setting.coordinator
    coordinator.lease_s, coordinator.heartbeat_s = 4.0, 4.0 / 3
    setting.worker()
    coordinator.wait_for(lambda: len(coordinator.beats) >= 1, "it beats")
    with coordinator.changed:
        coordinator.beats_to_swallow, before = 1, len(coordinator.beats)
    coordinator.wait_for(lambda: len(coordinator.beats) > before, "it beats again")
    (earlier_s, _), (later_s, _) = coordinator.beats[before - 1 : before + 1]
    assert coordinator.beats_to_swallow == 0
    assert later_s - earlier_s < coordinator.lease_s


def test_a_worker_gives_up_when_its_coordinator_stays_away(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "state", tmp_path / "scratch", "--reconnect-s", "0.5")
    try:
        assert worker.exit_code() == 3
    finally:
        worker.close()


def test_a_worker_waits_for_a_coordinator_that_starts_later(tmp_path: Path) -> None:
    with setting_in(tmp_path) as setting:
        setting.coordinator.stop()
        (setting.coordinator.folder / "endpoint.json").unlink()
        gate(setting).touch()
        setting.job(WAITING)
        setting.worker()
        setting.coordinator.start()
        task = setting.map_task(0, f"{gate(setting)}\n")
        setting.coordinator.grant(task)
        assert isinstance(setting.coordinator.result(task.id), Commit)


@pytest.mark.parametrize(
    "options", [[], ["--coordinator", "nonsense", "--token-file", "x"], ["--dir", "x", "--slots", "0"]]
)
def test_wrong_usage_ends_with_2(options: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mapreduce_worker", *options], capture_output=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr


def test_an_executor_whose_agent_died_before_it_called_removes_what_was_made_for_its_call(tmp_path: Path) -> None:
    folder = make_private_folder(tmp_path / "scratch", tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "x1.sock"))  # and never listens
    command = [sys.executable, "-m", "mapreduce_worker.executor", "--socket", str(folder / "x1.sock")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"does not listen" in done.stderr
    assert not folder.exists()


def test_a_folder_too_deep_for_a_socket_is_no_hindrance_and_nothing_is_left_elsewhere(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    gate(setting).touch()
    setting.job(WAITING)
    deep = tmp_path / ("deep" * 20)
    worker = setting.worker("--scratch", str(deep))
    task = setting.map_task(0, f"{gate(setting)}\n")
    setting.coordinator.grant(task)
    assert isinstance(setting.coordinator.result(task.id), Commit)
    assert list(temporary.iterdir()) == []
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 143
    assert list(deep.iterdir()) == []
