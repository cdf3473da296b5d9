"""The shell around the scheduling core: the only place where order matters.

Every event takes the same way: decide, evolve and enqueue in one turn, without awaiting; then wait until the log is
durable up to the sequence the reply saw; then speak. That holds for every answer, status and streams included. If the
log fails, nothing is said any more and `failed` is set; whoever hosts the coordinator ends its process.

What may be asked of a coordinator is `service`, what it does by itself is `background`.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Callable
from pathlib import Path

from mapreduce.clock import Clock
from mapreduce.coordinator.blocking import Blocking
from mapreduce.coordinator.feed import Feed
from mapreduce.coordinator.refusals import Refused, not_ready
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.scheduling import events, records, snapshot
from mapreduce.scheduling.machine import Decision, Machine, Reply, Request
from mapreduce.scheduling.turn import Refusal
from mapreduce.wal.groupcommit import GroupCommit
from mapreduce.wal.log import Log

#: Records after which a worker that waits for a task may find one.
_WORK = (
    records.JobPlanned,
    records.MapsCompleted,
    records.OutputLost,
    records.AttemptFailed,
    records.LeasesReleased,
    records.JobFinished,
    records.JobRebuilt,
)


class Shell:
    """Log, machine and clock of one incarnation, and the one way in which an event passes through them."""

    def __init__(
        self, folder: Path, log: Log, machine: Machine, *, settings: ServiceSettings, clock: Clock, blocking: Blocking
    ) -> None:
        self.folder = folder
        self.log = log
        self.machine = machine
        self.settings = settings
        self.clock = clock
        self.blocking = blocking
        self.records_since_snapshot = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.commits = GroupCommit(log, run_blocking=blocking.serial, on_failure=self.fail)
        self.feed = Feed(settings.event_backlog)
        self.on_records: Callable[[], None] = lambda: None
        """Called at the end of every turn that recorded something."""
        self.work = asyncio.Event()
        """Set, and replaced, when a worker that waits may find a task."""
        self.change = asyncio.Event()
        """Set, and replaced, with every record."""

    @property
    def epoch(self) -> int:
        """The epoch this incarnation claimed."""
        return self.log.epoch

    @property
    def sequence(self) -> int:
        """Sequence of the newest record."""
        return self.log.sequence

    def turn(self, event: Request | events.Event | records.AnyRecord) -> Decision:
        """Decides, evolves and enqueues, without awaiting. Nothing of it may be said before `durable` returns."""
        try:
            decision = self.machine.turn(event, self.clock.monotonic_s(), self.clock.utc_s())
            if decision.records:
                self._enqueue(decision.records)
        except Exception as error:
            self.fail(error)  # state and log may differ now: this incarnation must not say another word
            raise
        return decision

    def _enqueue(self, decided: list[records.AnyRecord]) -> None:
        for record in decided:
            sequence = self.log.enqueue(records.encode(record))
            self.feed.add(sequence, record)
        self.records_since_snapshot += len(decided)
        self.change.set()
        self.change = asyncio.Event()
        if any(isinstance(record, _WORK) for record in decided):
            self.wake_workers()
        self.on_records()

    async def durable(self) -> int:
        """Waits until everything decided so far is on disk, and looks at the claim once more; returns the sequence.

        An answer that needs no record waits for that look too: an incarnation that was paused and overtaken must not
        answer from a state that others have left behind.
        """
        sequence = self.log.sequence
        if sequence > self.log.durable_sequence:
            await self.commits.durable(sequence)
        else:
            await self.commits.confirm()
        return sequence

    async def handle(self, event: Request | events.Event) -> Reply:
        """Takes one event all the way; raises `Refused` for a reply that says no."""
        self.check_alive()
        decision = self.turn(event)
        await self.durable()
        if isinstance(decision.reply, Refusal):
            raise Refused(decision.reply.code, decision.reply.message)
        return decision.reply

    @property
    def is_compaction_due(self) -> bool:
        """So much was logged since the last snapshot that replaying or keeping it costs too much."""
        is_long = self.records_since_snapshot >= self.settings.snapshot_records
        return is_long or self.log.stats.bytes_since_snapshot >= self.settings.snapshot_bytes

    async def compact(self, room_bytes: float = math.inf) -> None:
        """Writes the state as a snapshot and lets the log drop what it replaces; not one larger than `room_bytes`."""
        image, sequence = snapshot.dump(self.machine.state), self.sequence
        if len(image) > room_bytes:
            return
        self.records_since_snapshot = 0
        await self.commits.durable(sequence)
        await self.commits.snapshot(image, sequence)

    def fail(self, error: BaseException) -> None:
        """The log failed, a newer incarnation took over, or state and log may differ: nothing is said from here on."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # the host may look later, or never: that is no warning

    def check_alive(self) -> None:
        """Raises `Refused` once this incarnation may not speak any more."""
        if self.failed.done():
            raise not_ready(f"this coordinator has stopped: {self.failed.exception()}")

    def wake_workers(self) -> None:
        """Lets every waiting `next` look again."""
        self.work.set()
        self.work = asyncio.Event()

    def close_when_idle(self) -> None:
        """From now on workers are told to end once no job is left."""
        self.machine.sessions.is_closing = True
        self.wake_workers()

    async def free_bytes(self) -> int:
        """Free space on the volume of the state folder, or on that of the runs if it has less."""
        folders = [self.folder, *([self.settings.runs_folder] if self.settings.runs_folder is not None else [])]
        return await self.blocking.run(lambda: min(shutil.disk_usage(it).free for it in folders if it.exists()))
