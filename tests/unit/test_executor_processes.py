"""What a slot relies on in its executor's process: the same for a child of the agent and for one of a host's."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mapreduce_worker.agent.executors import Ending, Executor, Executors
from mapreduce_worker.agent.processes import LocalExecutors
from mapreduce_worker.agent.remote import RemoteExecutors
from tests.support.hosts import Called, HostProcess, short_folder
from tests.support.mrruns import is_alive
from tests.support.workers import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc; the host is for Linux")


@pytest.fixture(params=["local", "remote"])
def executors(request: pytest.FixtureRequest) -> Iterator[Executors]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        if request.param == "local":
            local = LocalExecutors(folder)
            stack.callback(local.close)
            yield local
            return
        remote = RemoteExecutors(folder)
        host = HostProcess(folder)
        stack.callback(host.close)
        stack.callback(remote.close)
        meet(remote)
        yield remote


@pytest.fixture
def call(executors: Executors) -> Iterator[Callable[[Executor], Called]]:
    """Waits until an executor has called."""
    called: list[Called] = []

    def wait(executor: Executor) -> Called:
        called.append(Called(executor))
        return called[-1]

    yield wait
    for one in called:
        one.close()


def meet(remote: RemoteExecutors) -> None:
    """Wait for a host, as the agent's main loop does."""
    remote.attach(Waiting())
    eventually(lambda: _turn(remote), "a host comes", within_s=30)


class Waiting:
    """Watches nothing: the test looks when it wants to."""

    def watch(self, source: object, events: int, call: object) -> None:
        """Does nothing."""

    def unwatch(self, source: object) -> None:
        """Does nothing."""


def _turn(remote: RemoteExecutors) -> bool:
    remote._on_host(0)
    remote.look(0.1)
    return remote.is_ready


def test_an_executor_calls_at_its_listener_and_runs_until_it_is_ended(
    executors: Executors, call: Callable[[Executor], Called]
) -> None:
    executor = executors.start(0)
    pid = call(executor).pid
    assert not executor.has_ended()
    assert executor.end() == Ending(-signal.SIGKILL)
    assert not is_alive(pid)
    assert executor.has_ended()
    assert executor.end() == Ending(-signal.SIGKILL)


def test_its_death_is_seen_and_told_as_it_was(executors: Executors, call: Callable[[Executor], Called]) -> None:
    executor = executors.start(0)
    os.kill(call(executor).pid, signal.SIGSEGV)
    eventually(executor.has_ended, "its end is seen")
    assert executor.end() == Ending(-signal.SIGSEGV)


def test_an_executor_that_is_given_time_ends_by_itself(
    executors: Executors, call: Callable[[Executor], Called]
) -> None:
    executor = executors.start(0)
    called = call(executor)
    called.channel.socket.close()  # the agent's end of the channel: the executor ends its whole group
    assert executor.end_after(20.0).code == -signal.SIGKILL
    assert not is_alive(called.pid)


def test_one_that_is_aborted_first_says_where_it_is(executors: Executors, call: Callable[[Executor], Called]) -> None:
    executor = executors.start(0)
    called = call(executor)
    eventually(lambda: _has_redirected(called.pid), "its output goes to the agent")
    assert executor.abort().code in {-signal.SIGABRT, -signal.SIGKILL}
    assert b"Fatal Python error: Aborted" in called.printed()


def _has_redirected(pid: int) -> bool:
    """Whether crashes are told on its pipe: `faulthandler` has its own stack for signals, seen as a handler."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return bool(caught >> (signal.SIGABRT - 1) & 1)


def test_each_slot_has_a_folder_for_temporary_files_which_its_executor_is_told(
    executors: Executors, call: Callable[[Executor], Called]
) -> None:
    started = [executors.start(slot) for slot in range(2)]
    for executor in started:
        environment = Path(f"/proc/{call(executor).pid}/environ").read_bytes().split(b"\0")
        assert f"TMPDIR={executor.temporary}".encode() in environment
        assert Path(executor.temporary).is_dir()
    assert started[0].temporary != started[1].temporary
    for executor in started:
        executor.end()


def test_its_memory_is_measured(executors: Executors, call: Callable[[Executor], Called]) -> None:
    executor = executors.start(0)
    call(executor)
    eventually(lambda: not executor.has_ended() and executor.private_bytes() > 1 << 20, "it is measured")
    executor.end()


def test_what_it_may_ask_the_system_for_is_limited(executors: Executors, call: Callable[[Executor], Called]) -> None:
    executor = executors.start(0, data_limit_bytes=1 << 30)
    pid = call(executor).pid
    limits = Path(f"/proc/{pid}/limits").read_text()
    (data,) = (line for line in limits.splitlines() if line.startswith("Max data size"))
    (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert str(1 << 30) in data
    assert core.split()[4] == "0"
    executor.end()
