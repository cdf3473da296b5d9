"""When traces are told: each job's once, and one that is being told when the coordinator ends is told to its end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from mapreduce.coordinator.tracing import Tracing
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.transitions import JobPhase
from mapreduce.tracesending import TraceTarget
from tests.support.running import runs


class SlowTracing(Tracing):
    """Notes what is told, which takes until the test lets it."""

    def __init__(self, service: Any) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self.told: list[int] = []
        super().__init__(service, TraceTarget("http://127.0.0.1:9"))

    async def _tell(self, job: Job) -> None:
        self.began.set()
        await self.may_end.wait()
        self.told.append(job.id)


def service_with(*jobs: int) -> Any:
    async def durable() -> None:
        pass

    found = {job: SimpleNamespace(id=job, phase=JobPhase.COMPLETE) for job in jobs}
    return SimpleNamespace(machine=SimpleNamespace(state=SimpleNamespace(jobs=found)), durable=durable)


@runs
async def test_what_is_being_told_at_the_end_is_told_once_and_to_its_end() -> None:
    service = service_with()
    tracing = SlowTracing(service)
    service.machine.state.jobs |= service_with(1).machine.state.jobs
    await tracing.began.wait()
    ending = asyncio.create_task(tracing.finish())
    await asyncio.sleep(0)
    tracing.may_end.set()
    await ending
    assert tracing.told == [1]


@runs
async def test_what_has_ended_just_before_is_told_too_and_what_an_earlier_incarnation_told_is_not() -> None:
    service = service_with(1)
    tracing = SlowTracing(service)
    tracing.may_end.set()
    service.machine.state.jobs |= service_with(2).machine.state.jobs
    await tracing.finish()
    assert tracing.told == [2]
