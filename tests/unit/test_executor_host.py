"""The host of executors in a container of its own: what it does when its agent, its executors or it itself goes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mapreduce.userenvironment import container_environment
from mapreduce_worker.agent.executors import Ending
from mapreduce_worker.agent.remote import RemoteExecutors
from mapreduce_worker.executor.cgroup import killed_for_memory_count, memory_limit_bytes
from tests.support.hosts import Called, HostProcess, short_folder
from tests.support.mrruns import is_alive
from tests.support.workers import eventually
from tests.unit.test_executor_processes import meet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the host is for containers, which are Linux")


class Pair:
    """An agent's end in this process, and a host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = RemoteExecutors(folder)
        self.host = HostProcess(folder, extra={"MR_SECRET": "hush", "KUBERNETES_PORT": "1", "FROM_TEMPLATE": "yes"})
        meet(self.remote)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        made = Pair(stack.enter_context(short_folder()))
        stack.callback(lambda: made.host.close())
        stack.callback(lambda: made.remote.close())
        yield made


def test_when_the_host_is_killed_its_executors_go_and_the_agent_knows_it_at_once(pair: Pair) -> None:
    executor = pair.remote.start(0)
    called = Called(executor)
    pair.host.close()
    ending = executor.end()
    assert ending.is_vanished
    assert str(ending) == "went away with its container"
    assert not pair.remote.is_ready
    with pytest.raises(OSError, match="away"):
        pair.remote.start(0)
    eventually(lambda: not is_alive(called.pid), "the executor goes")
    called.close()


def test_a_new_host_takes_the_place_of_one_that_went(pair: Pair) -> None:
    pair.host.close()
    pair.host = HostProcess(pair.folder)
    eventually(lambda: _has_lost_host(pair.remote), "the end of the first one is seen")
    meet(pair.remote)
    executor = pair.remote.start(0)
    Called(executor).close()
    executor.end()


def _has_lost_host(remote: RemoteExecutors) -> bool:
    remote.look()
    return not remote.is_ready


def test_when_the_agent_goes_all_executors_end_and_the_host_waits_for_the_next(pair: Pair) -> None:
    executor = pair.remote.start(0)
    called = Called(executor)
    pair.remote.close()
    eventually(lambda: not is_alive(called.pid), "the executor is ended")
    called.close()
    assert pair.host.process.poll() is None
    pair.remote = RemoteExecutors(pair.folder)
    meet(pair.remote)


def test_sigterm_ends_the_host_with_all_it_has_started(pair: Pair) -> None:
    executor = pair.remote.start(0)
    called = Called(executor)
    pair.host.process.send_signal(signal.SIGTERM)
    assert pair.host.process.wait(10) == 143
    assert not is_alive(called.pid)
    called.close()


def test_executors_see_the_environment_of_their_container_and_nothing_of_ours(pair: Pair) -> None:
    executor = pair.remote.start(0)
    called = Called(executor)
    environment = Path(f"/proc/{called.pid}/environ").read_text().split("\0")
    assert "FROM_TEMPLATE=yes" in environment
    assert not [entry for entry in environment if entry.startswith(("MR_", "KUBERNETES_"))]
    called.close()


def test_the_environment_of_a_container_is_passed_on_without_what_is_ours() -> None:
    own = {"PATH": "/bin", "AWS_REGION": "x", "MR_TOKEN": "hush", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert container_environment(own) == {"PATH": "/bin", "AWS_REGION": "x"}


def test_an_executor_that_cannot_be_started_is_told_with_the_reason(pair: Pair) -> None:
    executor = pair.remote.start(0, data_limit_bytes=1)  # not even the interpreter fits
    eventually(executor.has_ended, "its end is told")
    assert executor.end() != Ending(None)


def test_the_limit_of_a_container_and_kills_in_it_are_read_in_both_versions_of_cgroups(tmp_path: Path) -> None:
    assert (memory_limit_bytes(tmp_path), killed_for_memory_count(tmp_path)) == (0, 0)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{(1 << 63) - 4096}\n")
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert (memory_limit_bytes(tmp_path), killed_for_memory_count(tmp_path)) == (0, 3)
    (tmp_path / "memory.max").write_text("1073741824\n")
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert (memory_limit_bytes(tmp_path), killed_for_memory_count(tmp_path)) == (1 << 30, 1)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").unlink()
    assert memory_limit_bytes(tmp_path) == 0
