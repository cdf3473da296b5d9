"""Real worker processes for tests, and jobs for them to run under a fake coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mapreduce.bundle import make_bundle
from mapreduce.model import MIB, Code, Input, JobSpec, Output, Storage, Workers
from mapreduce.protocol.messages import Assignment, AttemptId, FileRange, JobDefinition, Split
from tests.support.fakecoordinator import FakeCoordinator
from tests.support.forked import start_module
from tests.support.killing import executors_of


class Worker:
    """A started agent with its executors."""

    def __init__(
        self,
        state: Path | None,
        scratch: Path,
        *options: str,
        prefix: Sequence[str] = (),
    ) -> None:
        self.scratch = scratch
        self._parent_read, self.parent_write = os.pipe()
        where = () if state is None else ("--dir", state)
        self.process = start_module(
            "mapreduce_worker",
            *(*where, "--scratch", scratch, "--parent-fd", self._parent_read, *options),
            prefix=prefix,
            pass_fds=(self._parent_read,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(self._parent_read)

    def executors(self) -> list[int]:
        """Process ids of its executors."""
        return executors_of(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, within_s: float = 15.0) -> int:
        return self.process.wait(within_s)

    def orphan(self) -> None:
        """Close the pipe that only its parent holds."""
        os.close(self.parent_write)
        self.parent_write = -1

    def close(self) -> None:
        if self.parent_write >= 0:
            self.orphan()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Setting:
    """A fake coordinator with one job, and workers that run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coordinator = FakeCoordinator(folder / "state")
        self.spec = JobSpec(code=Code(module="x"), inputs=(Input(uri="in"),), output=Output(uri="out"))
        self.workers: list[Worker] = []

    def job(
        self,
        source: str,
        *,
        partitions: int = 1,
        timeout_s: int = 60,
        memory_limit_bytes: int = 0,
        shuffle: str = "Shared",
        number: int = 1,
        maps: int = 1,
    ) -> None:
        """Define a job with this code."""
        bundle = make_bundle(Code(inline=textwrap.dedent(source)))
        self.coordinator.bundles[bundle.sha256] = bundle.data
        spec = JobSpec(
            code=Code(inline="given as a bundle"),
            inputs=(Input(uri="in"),),
            output=Output(uri="out"),
            reducers=partitions,
            task_timeout_seconds=timeout_s,
            workers=Workers(memory_limit_bytes=memory_limit_bytes, memory_budget_bytes=16 * MIB),
            storage=Storage(shuffle="Peer" if shuffle == "Peer" else "Shared"),
        )
        self.coordinator.definitions[number] = JobDefinition(
            job=number,
            name="test",
            spec=spec,
            code=bundle.sha256,
            maps=maps,
            partitions=partitions,
            runs_dir=str(self.folder / f"runs-{number}"),
            attempts_dir=str(self.folder / f"attempts-{number}"),
            trace_dir=str(self.folder / f"traces-{number}"),
        )

    def worker(self, *options: str) -> Worker:
        worker = Worker(self.coordinator.folder, self.folder / f"scratch-{len(self.workers)}", *options)
        self.workers.append(worker)
        return worker

    def map_task(
        self, index: int, text: str = "one\n", *, attempt: int = 1, is_traced: bool = False, job: int = 1
    ) -> Assignment:
        """A map task over a file of its own with this content."""
        path = self.folder / f"input-{job}-{index}.txt"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        size = path.stat().st_size
        part = FileRange(path=str(path), start=0, end=size, size=size, mtime_ns=path.stat().st_mtime_ns)
        return Assignment(
            id=AttemptId(job=job, kind="map", index=index, attempt=attempt, epoch=self.coordinator.epoch),
            split=Split(input=0, files=(part,)),
            budget_bytes=16 * MIB,
            is_traced=is_traced,
        )

    def reduce_task(self, index: int, *, attempt: int = 1, job: int = 1) -> Assignment:
        return Assignment(
            id=AttemptId(job=job, kind="reduce", index=index, attempt=attempt, epoch=self.coordinator.epoch),
            budget_bytes=16 * MIB,
        )

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.coordinator.stop()


@contextmanager
def setting_in(folder: Path) -> Iterator[Setting]:
    """A setting that is taken down whatever happens."""
    setting = Setting(folder)
    setting.coordinator.start()
    try:
        yield setting
    finally:
        setting.close()


def eventually(condition: Callable[[], bool], what: str, *, within_s: float = 10.0) -> None:
    """Wait for something of the operating system that cannot notify."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}"
        time.sleep(0.01)
