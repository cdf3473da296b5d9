"""Jobs with very many tasks as records of a log, without running any: for the page, the report and their benchmarks.

Everything is a function of the numbers given; a few attempts fail and one worker is lost on the way, so that there is
something to see.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mapreduce.model import Code, Input, JobSpec, Output, Workers
from mapreduce.protocol.messages import AttemptId, Failure, TaskKind
from mapreduce.scheduling import records as r
from mapreduce.scheduling.evolve import evolve
from mapreduce.scheduling.state import Job, State
from mapreduce.wal.files import LocalFiles
from mapreduce.wal.log import Log, LogLimits

BEGUN_AT = 1_790_000_000.0

TRACEBACK = """Traceback (most recent call last):
  File "job.py", line 7, in mapper
    yield record["key"], 1
KeyError: 'key'
"""


@dataclass(frozen=True, slots=True)
class LongJob:
    """How large, and how it goes."""

    maps: int = 1_000
    reduces: int = 16
    workers: int = 4
    slots: int = 2
    map_s: float = 0.5
    failing_every: int = 211
    """Every so manieth map fails once; 0: none."""
    is_skewed: bool = False
    """One reduce holds half of the bytes and takes many times as long."""
    ends: bool = True
    seed: int = 1

    @property
    def spec(self) -> JobSpec:
        return JobSpec(
            code=Code(volume_path="/jobs/job.py"),
            inputs=(Input(uri="/data/events/"),),
            output=Output(uri="/data/out"),
            reducers=self.reduces,
            workers=Workers(replicas=self.workers, slots=self.slots),
        )

    def records(self) -> Iterator[r.AnyRecord]:
        """The records of the job's whole life, epoch included."""
        yield r.EpochStarted(1, BEGUN_AT)
        yield r.JobSubmitted(1, "long", self.spec, "0" * 64, BEGUN_AT)
        yield r.JobStarted(1, BEGUN_AT + 0.1)
        yield r.JobPlanned(1, "0" * 32, self.maps, self.reduces, self.maps << 20, BEGUN_AT + 0.2)
        for number in range(self.workers):
            yield r.WorkerRegistered(self.worker(number), self.slots, "", BEGUN_AT + 0.3)
        chance = random.Random(self.seed)
        now_at = BEGUN_AT + 0.5
        for at, record in self._phase("map", self.maps, self.map_s, now_at, chance):
            now_at = at
            yield record
        yield r.MapsCompleted(1, tuple(self.partition_bytes()), now_at)
        for at, record in self._phase("reduce", self.reduces, self.map_s * 4, now_at, chance):
            now_at = at
            yield record
        if self.ends:
            yield r.JobCommitting(1, now_at)
            yield r.JobFinished(1, "Complete", "", "", now_at + 0.2)

    def worker(self, number: int) -> str:
        return f"worker-{number:03d}"

    def partition_bytes(self) -> list[int]:
        fair = 40 << 20
        return [
            fair * self.reduces if self.is_skewed and index == 1 else fair + index * 1_000
            for index in range(self.reduces)
        ]

    def _phase(
        self, kind: TaskKind, count: int, mean_s: float, now_at: float, chance: random.Random
    ) -> Iterator[tuple[float, r.AnyRecord]]:
        """Tasks over all slots, each slot taking the next when it is free."""
        free = [(now_at, slot) for slot in range(self.workers * self.slots)]
        heapq.heapify(free)
        pending = [(index, 1) for index in range(count)][::-1]
        running: list[tuple[float, int, int, int, float]] = []
        call = 0
        while pending or running:
            while pending and free:
                at, slot = heapq.heappop(free)
                index, attempt = pending.pop()
                call += 1
                granted = r.LeasesGranted(
                    self.worker(slot // self.slots), call, 1, kind, (r.Grant(index, attempt),), at
                )
                yield at, granted
                run_s = mean_s * chance.uniform(0.6, 1.3)
                if self.is_skewed and kind == "reduce" and index == 1:
                    run_s *= 12
                heapq.heappush(running, (at + run_s, index, attempt, slot, run_s))
            end_at, index, attempt, slot, run_s = heapq.heappop(running)
            heapq.heappush(free, (end_at + 0.01, slot))
            worker = self.worker(slot // self.slots)
            name = AttemptId(job=1, kind=kind, index=index, attempt=attempt, epoch=1)
            if kind == "map" and attempt == 1 and self.failing_every and index % self.failing_every == 7:
                failure = Failure(
                    failure_class="user",
                    message="the mapper raised KeyError: 'key'",
                    traceback=TRACEBACK,
                    record=f"/data/events/{index:05d}.jsonl, byte 4711: '{{\"kee\": 1}}'",
                )
                pending.append((index, attempt + 1))
                yield end_at, r.AttemptFailed(worker, name, failure, end_at, run_s)
                continue
            size = self.partition_bytes()[index] if kind == "reduce" and count < 1_000 else 50_000 + index % 977
            done = r.Committed(
                id=name,
                has_file=True,
                bytes=size,
                records=size // 40,
                digest=index,
                counters={"lines": 100} if kind == "map" else {},
                step_s={"map": run_s * 0.7, "read": run_s * 0.2, "write": run_s * 0.05}
                if kind == "map"
                else {"merge": run_s * 0.4, "reduce": run_s * 0.5},
                run_s=run_s,
            )
            yield end_at, r.TasksCommitted(worker, (done,), end_at)


def state_of(job: LongJob, *, limit: int | None = None) -> tuple[State, Job]:
    """The state after the first `limit` records, or all."""
    state = State()
    for number, record in enumerate(job.records()):
        if limit is not None and number >= limit:
            break
        evolve(state, record)
    return state, state.jobs[1]


def write_log(folder: Path, job: LongJob) -> None:
    """A state folder whose log tells the job's life."""
    folder.mkdir(parents=True, exist_ok=True)
    log, _ = Log.open(LocalFiles(), str(folder / "log"), store_id=None, limits=LogLimits())
    for record in job.records():
        if not isinstance(record, r.EpochStarted):
            log.enqueue(r.encode(record))
    log.flush()
    log.close()
