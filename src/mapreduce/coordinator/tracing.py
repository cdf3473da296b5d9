"""Telling a collector of each job that has ended here, once: traces are made from the state, when all is over.

A collector that is away costs a line in the log and nothing else; `mr trace OUT --otlp URL` sends the same trace later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from mapreduce.coordinator.oversight import as_written
from mapreduce.coordinator.service import Service
from mapreduce.errors import MapReduceError, Unreachable
from mapreduce.page.otlp import Traced, requests
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.views import job_status
from mapreduce.tracesending import TraceTarget, send

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.5
#: How long the end of a coordinator waits for a collector.
_LAST_WORD_S: Final = 5.0


class Tracing:
    """Sends the traces of one incarnation's jobs: those that had not ended when it began."""

    def __init__(self, service: Service, target: TraceTarget) -> None:
        self._service, self._target = service, target
        self._told = {job.id for job in service.machine.state.jobs.values() if job.phase.is_final}
        self._is_ending = asyncio.Event()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def finish(self) -> None:
        """Tell what is left, and let what is being told be told to its end, but do not hold up the end for long."""
        self._is_ending.set()
        await asyncio.wait({self._watching}, timeout=_LAST_WORD_S)
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._is_ending.wait()
            is_last = self._is_ending.is_set()
            with contextlib.suppress(MapReduceError):  # a log that has failed is told elsewhere
                await self._tell_ended()

    async def _tell_ended(self) -> None:
        for job in list(self._service.machine.state.jobs.values()):
            if job.phase.is_final and job.id not in self._told:
                await self._service.durable()
                self._told.add(job.id)  # before it is sent: a collector that is away is asked once
                await self._tell(job)

    async def _tell(self, job: Job) -> None:
        service, state = self._service, self._service.machine.state
        traced = Traced(
            store_id=service.store_id.hex(),
            status=as_written(job_status(state, job), service.settings.shown_root),
            log=job.attempts,
            names=dict(state.worker_names),
            slots=dict(state.worker_slots),
            now_at=job.finished_at,
            service=self._target.service,
        )
        try:
            await service.blocking.run(lambda: send(self._target, requests(traced)))
        except Unreachable as error:
            _log.warning("The trace of job %d was not sent: %s.", job.id, error)
