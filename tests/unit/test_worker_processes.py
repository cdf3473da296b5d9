"""Starting, replacing and ending the worker processes of a local run, with a stand-in for the worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mapreduce.errors import JobFailed
from mapreduce.local import processes
from mapreduce.local.processes import Death, WorkerProcesses, WorkerSettings, describe_exit
from mapreduce.local.supervising import stop, supervise, wait_until_gone
from tests.support.mrruns import is_alive

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc")

#: A stand-in: waits for the end of its parent's pipe, or for SIGTERM.
WAITING = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
descriptor = int(sys.argv[sys.argv.index("--parent-fd") + 1])
open(os.path.join(sys.argv[sys.argv.index("--dir") + 1], f"up-{os.getpid()}"), "w").close()
os.read(descriptor, 1)
os._exit(7)
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkerProcesses]]:
    """Starts workers whose module is the given source."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    made: list[WorkerProcesses] = []

    def make(source: str, count: int = 1, at_once: int | None = None) -> WorkerProcesses:
        package = tmp_path / "modules" / "mapreduce_worker"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(source)
        (tmp_path / "state").mkdir()
        settings = WorkerSettings(
            state=tmp_path / "state", count=count, slots=1, scratch=tmp_path / "scratch", logs=tmp_path / "logs"
        )
        workers = WorkerProcesses(settings)
        made.append(workers)
        workers.start(at_once)
        return workers

    yield make
    for workers in made:
        workers.kill()


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it took too long"
        await asyncio.sleep(0.01)


def tell(told: list[Death]) -> Callable[[Death], Awaitable[None]]:
    async def on_death(death: Death) -> None:
        told.append(death)

    return on_death


def up(tmp_path: Path) -> list[int]:
    return sorted(int(path.name[3:]) for path in (tmp_path / "state").glob("up-*"))


def test_a_worker_that_dies_is_replaced_and_noted(start: Callable[..., WorkerProcesses], tmp_path: Path) -> None:
    async def story() -> None:
        workers = start(WAITING, count=2)
        await until(lambda: len(up(tmp_path)) == 2)
        told: list[Death] = []
        names = workers.names
        supervising = asyncio.create_task(supervise(workers, tell(told)))
        os.kill(workers.pids[0], signal.SIGKILL)
        await until(lambda: len(up(tmp_path)) == 3)
        supervising.cancel()
        assert [death.worker for death in told] == list(names - workers.names)
        assert "was killed by SIGKILL" in told[0].sentence
        assert workers.running == 2
        await stop(workers, grace_s=10)
        assert workers.running == 0

    asyncio.run(story())


def test_workers_that_shall_wait_start_when_they_are_looked_after(
    start: Callable[..., WorkerProcesses], tmp_path: Path
) -> None:
    async def story() -> None:
        workers = start(WAITING, count=3, at_once=1)
        assert workers.running == 1
        supervising = asyncio.create_task(supervise(workers, tell([])))
        await until(lambda: len(up(tmp_path)) == 3)
        supervising.cancel()
        assert workers.running == 3
        await stop(workers, grace_s=10)

    asyncio.run(story())


def test_workers_that_die_right_after_their_start_again_and_again_end_the_run_with_their_last_words(
    start: Callable[..., WorkerProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE_S", 0.001)
    workers = start("import sys; sys.exit('no such library')")
    with pytest.raises(JobFailed, match=r"exit code 1 right after its start, 4 times in a row.*\n.*no such library"):
        asyncio.run(supervise(workers, tell([])))


def test_a_worker_that_was_told_to_end_is_not_replaced(start: Callable[..., WorkerProcesses]) -> None:
    async def story() -> None:
        workers = start("")
        supervising = asyncio.create_task(supervise(workers, tell([])))
        await until(lambda: workers.running == 0)
        await asyncio.sleep(processes.FIRST_PAUSE_S * 2)
        assert workers.running == 0
        supervising.cancel()
        await wait_until_gone(workers, grace_s=1)

    asyncio.run(story())


def test_a_worker_that_ignores_the_end_is_killed_with_all_it_started(
    start: Callable[..., WorkerProcesses], tmp_path: Path
) -> None:
    stubborn = WAITING.replace("lambda *_: os._exit(143)", "signal.SIG_IGN").replace("os.read", "os.fork(); os.read")

    async def story() -> None:
        workers = start(stubborn)
        await until(lambda: len(up(tmp_path)) == 1)
        (pid,) = workers.pids
        await stop(workers, grace_s=0.05)
        assert workers.running == 0
        await until(lambda: not _group_exists(pid))

    asyncio.run(story())


def test_workers_that_are_asked_to_end_are_not_replaced(start: Callable[..., WorkerProcesses], tmp_path: Path) -> None:
    async def story() -> None:
        workers = start(WAITING, count=2)
        supervising = asyncio.create_task(supervise(workers, tell([])))
        await until(lambda: len(up(tmp_path)) == 2)
        await stop(workers, grace_s=20)
        await asyncio.sleep(processes.FIRST_PAUSE_S * 2)
        assert workers.running == 0
        assert len(up(tmp_path)) == 2
        supervising.cancel()

    asyncio.run(story())


def test_orphans_see_the_end_of_their_parent_and_go(tmp_path: Path) -> None:
    package = tmp_path / "modules" / "mapreduce_worker"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(WAITING)
    (tmp_path / "state").mkdir()
    parent = (
        "import sys, time; from pathlib import Path\n"
        "from mapreduce.local.processes import WorkerProcesses, WorkerSettings\n"
        "top = Path(sys.argv[1])\n"
        "workers = WorkerProcesses(WorkerSettings(state=top / 'state', count=2, slots=1, scratch=top, logs=top))\n"
        "workers.start()\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
    process = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], env=environment)

    async def story() -> None:
        await until(lambda: len(up(tmp_path)) == 2)
        process.kill()
        process.wait()
        await until(lambda: not any(is_alive(pid) for pid in up(tmp_path)))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "ended with exit code 3"), (-9, "was killed by SIGKILL"), (-200, "was killed by signal 200")],
)
def test_an_exit_is_described_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def _group_exists(group: int) -> bool:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False
