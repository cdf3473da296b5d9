"""Those who look at a job on the page: frames of what changes, made once for all of them, at most twice a second.

Nothing is noted and nothing is made while nobody looks. A frame is made of the state in one turn, waits for the disk
like any answer, and is kept for a while, so that a viewer whose connection broke goes on behind the last one it had;
one that comes too late, or from another incarnation, gets the whole state again. Which bytes a frame has is
`mapreduce.page`.
"""

from __future__ import annotations

import asyncio
import shlex
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mapreduce.coordinator.refusals import not_found
from mapreduce.coordinator.shell import Shell
from mapreduce.page.columns import attempt_columns, ended_columns, timeline_page
from mapreduce.page.durations import Durations
from mapreduce.page.frames import (
    Seen,
    delta_frame,
    failure_groups,
    job_lines,
    partition_bytes,
    state_frame,
    worker_views,
)
from mapreduce.page.messages import Frame, TimelinePage
from mapreduce.page.trace import chrome_trace
from mapreduce.protocol import wire
from mapreduce.scheduling.state import Job

#: Between two frames.
FRAME_S: Final = 0.5
#: A frame is made after so long even if nothing happened: ages grow.
_STILL_S: Final = 5.0
#: Workers, jobs and growing partitions are told in every n-th frame.
_SELDOM: Final = 4
#: How long frames are kept, and changes noted, for viewers that come back.
_LINGER_S: Final = 30.0
_KEPT_BYTES: Final = 16 << 20
#: What the last frame may take to reach the sockets of its viewers.
_LAST_WORDS_S: Final = 0.1


class Viewing:
    """All jobs that are looked at."""

    def __init__(self, shell: Shell) -> None:
        self._shell: Final = shell
        self._watched: Final[dict[int, _Watched]] = {}

    def follow(self, job: int, from_sequence: int) -> AsyncIterator[tuple[int, bytes]]:
        """Frames of a job as (sequence, JSON), for ever; the first is the whole state unless a viewer goes on.

        Raises Refused when there is no such job.
        """
        found = self.job(job)
        watched = self._watched.get(job)
        if watched is None:
            watched = self._watched[job] = _Watched(self, self._shell, found)
        return watched.follow(from_sequence)

    def page(self, job: int, first: int, limit: int) -> TimelinePage:
        """A window over the attempts and tasks of a job."""
        return timeline_page(self.job(job), first, limit)

    def trace(self, job: int) -> Callable[[], bytes]:
        """What makes the trace of a job as it is now; it takes a while and may run in a thread."""
        found, state = self.job(job), self._shell.machine.state
        log = found.attempts.copy()
        names, slots = dict(state.worker_names), dict(state.worker_slots)
        now_at = self._shell.clock.utc_s()
        return lambda: chrome_trace(log, names, slots, title=found.name, now_at=now_at)

    def job(self, job: int) -> Job:
        """The job of this number, or the latest for 0. Raises Refused."""
        self._shell.check_alive()
        jobs = self._shell.machine.state.jobs
        found = jobs.get(job or max(jobs, default=0))
        if found is None:
            raise not_found(f"job {job}")
        return found

    def forget(self, job: int) -> None:
        """Nobody has looked at it for a while."""
        self._watched.pop(job).job.attempts.ended = None

    async def finish(self) -> None:
        """Tell all viewers how things stand, before the server ends: the process of a `mr run` ends with its job."""
        seen = [watched for watched in self._watched.values() if watched.viewer_count]
        for watched in seen:
            await watched.publish()
        if seen:
            await asyncio.sleep(_LAST_WORDS_S)

    def close(self) -> None:
        """The coordinator ends."""
        for watched in self._watched.values():
            watched.close()

    def resumed(self, job: int) -> tuple[int, int]:
        """Maps and reduces that were committed when this incarnation took the job up."""
        found: tuple[int, int] = getattr(self._shell, "resumed", {}).get(job, (0, 0))
        return found


@dataclass(slots=True)
class _Kept:
    """Frames that were sent, oldest first; the last one of a sequence tells all of it."""

    frames: deque[tuple[int, bytes]] = field(default_factory=deque)
    first_number: int = 0
    """Number of the oldest frame; they are counted from 0."""
    size_bytes: int = 0

    @property
    def end(self) -> int:
        """Number of the next frame."""
        return self.first_number + len(self.frames)

    def add(self, sequence: int, data: bytes) -> None:
        self.frames.append((sequence, data))
        self.size_bytes += len(data)
        while self.size_bytes > _KEPT_BYTES and len(self.frames) > 1:
            self.size_bytes -= len(self.frames.popleft()[1])
            self.first_number += 1

    def after(self, sequence: int) -> int | None:
        """Number of the first frame that a viewer of `sequence` has not seen; None if that is not known."""
        for place in range(len(self.frames) - 1, -1, -1):
            if self.frames[place][0] == sequence:
                return self.first_number + place + 1
        return None


class _Watched:
    """One job that is looked at: its viewers' common frames."""

    def __init__(self, viewing: Viewing, shell: Shell, job: Job) -> None:
        self.job: Final = job
        self._viewing, self._shell = viewing, shell
        self._kept = _Kept()
        self._arrived = asyncio.Event()
        self.viewer_count = 0
        self._making: asyncio.Task[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._rows = len(job.attempts.kind)
        self._told: tuple[object, ...] = ()
        self._number = 0
        self._publishing = asyncio.Lock()
        self._durations = Durations()
        self._durations.learn(job.attempts, range(self._rows))
        job.attempts.ended = []

    async def follow(self, from_sequence: int) -> AsyncIterator[tuple[int, bytes]]:
        """See `Viewing.follow`."""
        self._enter()
        try:
            position = self._kept.after(from_sequence) if from_sequence else None
            if position is None:
                position = self._kept.end
                frame = state_frame(self._shell.machine.state, self.job, self._seen())
                await self._shell.durable()
                yield frame.sequence, wire.encode(frame)
            while True:
                if position < self._kept.first_number:  # too slow: the same as coming too late
                    return
                if position == self._kept.end:
                    if self._making is None or self._making.done():  # the log has failed: nothing more is said
                        return
                    await self._arrived.wait()
                    continue
                sequence, data = self._kept.frames[position - self._kept.first_number]
                position += 1
                yield sequence, data
        finally:
            self._leave()

    def _enter(self) -> None:
        self.viewer_count += 1
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_frames())
            self._making.add_done_callback(lambda _: self._wake())

    def _leave(self) -> None:
        self.viewer_count -= 1
        if (
            not self.viewer_count
        ):  # frames are not cut short: what one has taken note of would be lost to who comes back
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(_LINGER_S, self._viewing.forget, self.job.id)

    def close(self) -> None:
        """End everything; nobody comes back."""
        if self._making is not None:
            self._making.cancel()
        if self._leaving is not None:
            self._leaving.cancel()

    async def _make_frames(self) -> None:
        sequence = self._kept.frames[-1][0] if self._kept.frames else -1
        while True:
            if self._shell.sequence == sequence:
                try:
                    async with asyncio.timeout(_STILL_S):
                        await self._shell.change.wait()
                except TimeoutError:
                    pass
            if not self.viewer_count:
                return
            sequence = await self.publish()
            await asyncio.sleep(FRAME_S)

    async def publish(self) -> int:
        """Make a frame now and hand it to all viewers; the sequence it shows."""
        async with self._publishing:  # frames come in the order in which they were made
            frame = self._frame()
            await self._shell.durable()
            self._kept.add(frame.sequence, wire.encode(frame))
            self._wake()
            return frame.sequence

    def _wake(self) -> None:
        """Let every follower look again, once: an event that stays set would be a loop without a rest."""
        self._arrived.set()
        self._arrived = asyncio.Event()

    def _frame(self) -> Frame:
        """What is new since the last one; in one turn with taking note of it."""
        job, state, seen = self.job, self._shell.machine.state, self._seen()
        ended = job.attempts.ended or []
        job.attempts.ended = []
        self._durations.learn(job.attempts, ended)
        first, self._rows = self._rows, len(job.attempts.kind)
        seldom = self._number % _SELDOM == 0 or job.phase.is_final
        self._number += 1
        parts = partition_bytes(job, seen) if seldom else None
        told = (parts, len(job.failures), job.failures[-1].id if job.failures else None)
        before, self._told = self._told or (None,) * 3, told
        return msgspec.structs.replace(
            delta_frame(state, job, seen),
            failures=failure_groups(job, seen.shown_root) if told[1:] != before[1:] else None,
            failures_kept=len(job.failures),
            partition_bytes=parts if parts != before[0] else None,
            workers=worker_views(state, job, seen) if seldom else None,
            jobs=job_lines(state) if seldom else None,
            new=attempt_columns(job.attempts, first, self._rows) if first < self._rows else None,
            ended=ended_columns(job, ended) if ended else None,
        )

    def _seen(self) -> Seen:
        shell = self._shell
        sessions, now_s = shell.machine.sessions, shell.clock.monotonic_s()
        return Seen(
            sequence=shell.sequence,
            now_at=shell.clock.utc_s(),
            durations=self._durations.quantiles(),
            source=self._source(),
            partition_bytes=tuple(sessions.partition_bytes.get(self.job.id, ())),
            is_paused=sessions.is_paused,
            silent_s={name: max(0.0, now_s - session.heard_s) for name, session in sessions.workers.items()},
            memory_bytes={name: session.memory_bytes for name, session in sessions.workers.items()},
            resumed=self._viewing.resumed(self.job.id),
            store_id=shell.log.store_id.hex(),
            shown_root=shell.settings.shown_root,
        )

    def _source(self) -> str:
        """The output folder when the coordinator lives in it, as that of `mr run` does; else the job's number."""
        folder, name = self._shell.folder.parent, self._shell.settings.command_name
        own = shlex.quote(str(folder)) if str(folder) == self.job.spec.output.uri else str(self.job.id)
        return name or own
