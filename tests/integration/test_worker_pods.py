"""Agent and executors as two containers: real processes, joined by folders only, under a fake coordinator."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mapreduce.protocol.messages import Assignment, Commit, Fail, Release, RunRef
from tests.support.attempts import SUM
from tests.support.hosts import short_folder
from tests.support.mrruns import is_alive
from tests.support.pods import AGENT_USER, EXECUTOR_USER, Pod, interpreter_for_others, share
from tests.support.workers import Setting, eventually, setting_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

WAITING = """
import os, pathlib, time
def mapper(line):
    if line.startswith("/"):
        pathlib.Path(line + ".pid").write_text(str(os.getpid()))
        while not pathlib.Path(line).exists():
            time.sleep(0.01)
    yield line, 1
"""


class Stage:
    """A coordinator, and pods for it."""

    def __init__(self, setting: Setting, stack: ExitStack) -> None:
        self.setting, self.coordinator, self._stack = setting, setting.coordinator, stack

    def pod(self, *options: str, has_users: bool = False, by_coordinator: bool = False) -> Pod:
        folder = self._stack.enter_context(short_folder())
        pod = Pod(self.coordinator.folder, folder, *options, has_users=has_users, by_coordinator=by_coordinator)
        self._stack.callback(pod.close)
        return pod

    def gated(self, *behind: Assignment) -> tuple[Assignment, Path]:
        """A task that runs until the file is there; it runs when this returns, and others wait behind it."""
        self.setting.job(WAITING)
        gate = self.setting.folder / "gate"
        task = self.setting.map_task(0, f"{gate}\n")
        self.coordinator.grant(task, *behind)
        self.coordinator.wait_for(lambda: self.coordinator.is_running(task.id), "it runs", within_s=30)
        return task, gate

    def fine(self, index: int) -> None:
        """The worker runs another task."""
        task = self.setting.map_task(index, "fine\n")
        self.coordinator.grant(task)
        assert isinstance(self.coordinator.result(task.id, within_s=30), Commit)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        setting = stack.enter_context(setting_in(tmp_path))
        yield Stage(setting, stack)


def test_runs_and_outputs_are_moved_from_the_work_folder_before_they_are_committed(stage: Stage) -> None:
    setting = stage.setting
    setting.job(SUM)
    pod = stage.pod()
    task = setting.map_task(0, "a\nb\na\n")
    stage.coordinator.grant(task)
    made = stage.coordinator.result(task.id, within_s=30)
    assert isinstance(made, Commit)
    assert (setting.folder / "runs-1" / f"{task.id.stem}.run").stat().st_size == made.output.bytes
    stage.coordinator.runs = [RunRef(map=task.id, bytes=made.output.bytes, digest=made.output.digest)]
    reduce = setting.reduce_task(0)
    stage.coordinator.grant(reduce)
    assert isinstance(stage.coordinator.result(reduce.id), Commit)
    assert (setting.folder / "attempts-1" / f"{reduce.id.stem}.out").read_text() == "a\t2\nb\t1\n"
    assert [path.name for path in pod.work.rglob("*") if path.is_file()] == []
    stage.coordinator.finish()
    assert pod.agent.exit_code() == 0


def test_two_users_of_one_group_work_together_and_neither_reads_what_is_the_others() -> None:
    if interpreter_for_others() is None:
        pytest.skip("needs root, setpriv, and an interpreter that other users can read")
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())  # pytest's own folders are closed to other users
        stage = Stage(stack.enter_context(setting_in(folder)), stack)
        setting = stage.setting
        setting.job(
            f"""
            import os
            print("user", os.getuid())
            try:
                print(open({str(folder / "state" / "token")!r}).read())
            except PermissionError:
                print("no token")
            def mapper(line):
                yield line, 1
            """
        )
        _open_to_group(setting)
        stage.pod(has_users=True)
        task = setting.map_task(0, "a\n")
        stage.coordinator.grant(task)
        made = stage.coordinator.result(task.id, within_s=30)
        assert isinstance(made, Commit), made
        run = setting.folder / "runs-1" / f"{task.id.stem}.run"
        assert run.stat().st_uid == EXECUTOR_USER
        log = stage.coordinator.logs[task.id.stem].decode()
        assert f"user {EXECUTOR_USER}" in log
        assert "no token" in log


def _open_to_group(setting: Setting) -> None:
    """Folders of the job are shared as volumes are; the token is the agent's."""
    setting.folder.chmod(0o755)
    for name in ("runs-1", "attempts-1", "traces-1"):
        (setting.folder / name).mkdir()
        share(setting.folder / name)
    token = setting.coordinator.folder / "token"
    os.chown(token, AGENT_USER, 0)
    token.chmod(0o400)


def test_when_the_executors_container_is_killed_its_attempt_fails_with_the_likely_reason_and_work_goes_on(
    stage: Stage,
) -> None:
    pod = stage.pod()
    task, _ = stage.gated()
    pod.host.close()
    result = stage.coordinator.result(task.id)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "crash"
    assert "out of memory" in result.failure.message
    pod.host = pod.start_host()
    stage.fine(1)


def test_what_waits_is_given_back_while_the_executors_container_stays_away(stage: Stage) -> None:
    pod = stage.pod()
    waiting = stage.setting.map_task(1)
    task, _ = stage.gated(waiting)
    pod.host.close()
    assert isinstance(stage.coordinator.result(task.id), Fail)
    assert stage.coordinator.result(waiting.id, within_s=30) == Release(id=waiting.id, was_started=False)
    pod.host = pod.start_host()
    stage.fine(2)


def test_when_the_agent_is_killed_the_host_ends_what_it_ran(stage: Stage) -> None:
    pod = stage.pod()
    _, gate = stage.gated()
    executor = int(Path(f"{gate}.pid").read_text())
    pod.agent.signal(signal.SIGKILL)
    eventually(lambda: not is_alive(executor), "the executor is ended")
    assert pod.host.process.poll() is None


def test_an_executor_that_outgrows_its_memory_is_ended_by_the_agent(stage: Stage) -> None:
    stage.setting.job(
        """
        import time
        kept = []
        def mapper(line):
            kept.append(b"x" * 200_000_000)
            time.sleep(60)
            yield line, 1
        """,
        memory_limit_bytes=100_000_000,
    )
    stage.pod()
    task = stage.setting.map_task(0)
    stage.coordinator.grant(task)
    result = stage.coordinator.result(task.id, within_s=30)
    assert isinstance(result, Fail)
    assert result.failure.failure_class == "memory"


def test_the_agent_waits_for_its_executors_before_it_takes_anything(stage: Stage) -> None:
    pod = stage.pod()
    pod.close()
    other = stage.pod()
    other.host.close()
    other.host = other.start_host()
    stage.setting.job(WAITING)
    stage.fine(0)
    stage.coordinator.finish()
    assert other.agent.exit_code() == 0


def test_the_record_at_fault_is_found_in_the_trace_of_an_executor_elsewhere(stage: Stage) -> None:
    stage.setting.job("import os\ndef mapper(line):\n    if line == 'bad': os._exit(1)\n    yield line, 1\n")
    stage.pod()
    task = stage.setting.map_task(0, "good\nbad\n", is_traced=True)
    stage.coordinator.grant(task)
    result = stage.coordinator.result(task.id, within_s=30)
    assert isinstance(result, Fail)
    assert "bad" in result.failure.record


@pytest.mark.parametrize("trick", ["symlink('/etc/passwd', path)", "mkfifo(path)"], ids=["link", "fifo"])
def test_only_the_file_that_the_task_wrote_is_taken(stage: Stage, trick: str) -> None:
    stage.setting.job(
        f"""
        import os
        from mapreduce_worker.executor import tasks
        honest = tasks.run_map
        def dishonest(work):
            output = honest(work)
            path = work.target
            os.unlink(path)
            os.{trick}
            return output
        tasks.run_map = dishonest
        def mapper(line):
            yield line, 1
        """
    )
    pod = stage.pod()
    task = stage.setting.map_task(0)
    stage.coordinator.grant(task)
    result = stage.coordinator.result(task.id, within_s=30)
    pod.close()
    assert isinstance(result, Fail)
    assert "is not the file" in result.failure.message
    left = stage.setting.folder / "runs-1" / f"{task.id.stem}.run"
    assert not left.is_symlink()
    assert not left.exists()


def test_orphans_of_user_code_are_reaped_and_services_that_left_their_group_end_with_the_host(stage: Stage) -> None:
    note = stage.setting.folder / "service"
    stage.setting.job(
        f"""
        import subprocess
        def mapper(line):
            subprocess.run(["sh", "-c", "sleep 0 & setsid sleep 600 & echo $! > {note}"], check=True)
            yield line, 1
        """
    )
    pod = stage.pod()
    task = stage.setting.map_task(0)
    stage.coordinator.grant(task)
    assert isinstance(stage.coordinator.result(task.id, within_s=30), Commit)
    service = int(note.read_text())
    eventually(lambda: not _zombies_of(pod.host.pid), "orphans are reaped")
    pod.host.process.send_signal(signal.SIGTERM)
    assert pod.host.process.wait(10) == 143
    eventually(lambda: not is_alive(service), "the service is ended")


def _zombies_of(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if not is_alive(int(pid))]


def test_livez_answers_without_a_token_while_the_main_loop_turns(stage: Stage) -> None:
    port = _free_port()
    pod = stage.pod("--serve-port", str(port))
    url = f"http://127.0.0.1:{port}/livez"

    def is_live() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    eventually(is_live, "it is alive", within_s=30)
    pod.agent.signal(signal.SIGTERM)
    assert pod.agent.exit_code() == 143


def test_sigterm_twice_ends_the_worker_at_once(stage: Stage) -> None:
    pod = stage.pod("--grace-s", "60")
    waiting = stage.setting.map_task(1)
    stage.gated(waiting)
    pod.agent.signal(signal.SIGTERM)
    assert isinstance(stage.coordinator.result(waiting.id), Release)
    pod.agent.signal(signal.SIGTERM)
    assert pod.agent.exit_code(within_s=10) == 143


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
