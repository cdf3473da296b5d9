"""Those who look at a job: frames made once for all, exact after a break, and nothing while nobody looks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.service import Service
from mapreduce.page.messages import Frame
from tests.support.simjobs import SimJob
from tests.support.simulation import Simulation, simulate

T = TypeVar("T")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulation]:
    with simulate(tmp_path) as made:
        made.run_until(lambda: made.network.server is not None)
        yield made


class Viewer:
    """One page."""

    def __init__(self, service: Service, from_sequence: int = 0) -> None:
        self.frames: list[Frame] = []
        self._stream: AsyncIterator[tuple[int, bytes]] = service.frames(1)(from_sequence)

    async def read(self, count: int = 1) -> list[Frame]:
        """The next frames."""
        read = []
        for _ in range(count):
            sequence, data = await anext(self._stream)
            frame = msgspec.json.decode(data, type=Frame)
            assert frame.sequence == sequence
            read.append(frame)
        self.frames += read
        return read

    async def leave(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]

    @property
    def sequence(self) -> int:
        return self.frames[-1].sequence


def do(sim: Simulation, work: Coroutine[Any, Any, T]) -> T:
    """Carry something out in the coordinator's process, in simulated time."""
    assert sim.network.server is not None
    return sim.loop.run_until_complete(sim.loop.task(sim.network.server.program, work))


def test_there_is_nothing_to_look_at_before_a_job_is_there(sim: Simulation) -> None:
    with pytest.raises(Refused) as caught:
        sim.service.frames(1)
    assert caught.value.code == "not-found"


def test_who_begins_to_look_gets_everything_and_then_what_is_new(sim: Simulation) -> None:
    sim.submit(SimJob())

    async def look() -> tuple[Viewer, int]:
        viewer = Viewer(sim.service)
        await viewer.read(2)
        await viewer.leave()
        return viewer, sim.service.sequence

    viewer, sequence = do(sim, look())
    assert [frame.type for frame in viewer.frames] == ["State", "Delta"]
    assert viewer.sequence <= sequence


def test_all_viewers_share_the_same_frames(sim: Simulation) -> None:
    sim.submit(SimJob())
    sim.add_workers(1)

    async def look() -> list[list[int]]:
        viewers = [Viewer(sim.service) for _ in range(3)]
        await asyncio.gather(*(viewer.read(4) for viewer in viewers))
        for viewer in viewers:
            await viewer.leave()
        return [[frame.sequence for frame in viewer.frames[1:]] for viewer in viewers]

    first, *others = do(sim, look())
    assert all(other == first for other in others)


def test_who_comes_back_in_time_gets_what_he_missed_and_not_everything(sim: Simulation) -> None:
    sim.submit(SimJob())
    sim.add_workers(1)

    async def look() -> tuple[Viewer, Viewer]:
        viewer = Viewer(sim.service)
        await viewer.read(2)
        await viewer.leave()
        await asyncio.sleep(2.0)
        again = Viewer(sim.service, viewer.sequence)
        await again.read(2)
        await again.leave()
        return viewer, again

    viewer, again = do(sim, look())
    assert all(frame.type == "Delta" for frame in again.frames)
    rows = viewer.frames[0].rows
    for frame in [*viewer.frames[1:], *again.frames]:  # no row is missing between two frames
        if frame.new is not None:
            assert frame.new.first <= rows
            rows = max(rows, frame.new.first + frame.new.count)
        assert rows == frame.rows


def test_who_comes_back_from_another_incarnation_gets_everything(sim: Simulation) -> None:
    sim.submit(SimJob())

    async def look() -> Frame:
        viewer = Viewer(sim.service, 123_456)
        [frame] = await viewer.read()
        await viewer.leave()
        return frame

    assert do(sim, look()).type == "State"


def test_a_viewer_after_another_one_left_does_not_stop_the_coordinator(sim: Simulation) -> None:
    sim.submit(SimJob())

    async def look() -> list[str]:
        first = Viewer(sim.service)
        await first.read()
        await first.leave()
        second = Viewer(sim.service)
        async with asyncio.timeout(60):
            frames = await second.read(3)
        await second.leave()
        return [frame.type for frame in frames]

    assert do(sim, look()) == ["State", "Delta", "Delta"]


def test_nothing_is_noted_or_made_while_nobody_looks(sim: Simulation) -> None:
    sim.submit(SimJob())
    job = sim.service.machine.state.jobs[1]
    assert job.attempts.ended is None

    async def look() -> None:
        viewer = Viewer(sim.service)
        await viewer.read(2)
        assert job.attempts.ended is not None
        await viewer.leave()
        await asyncio.sleep(60.0)

    do(sim, look())
    assert job.attempts.ended is None


def test_frames_come_at_most_twice_a_second(sim: Simulation) -> None:
    sim.submit(SimJob())
    sim.add_workers(2)

    async def look() -> list[float]:
        viewer = Viewer(sim.service)
        frames = await viewer.read(6)
        await viewer.leave()
        return [frame.at for frame in frames[1:]]

    moments = do(sim, look())
    assert all(later - earlier >= 0.45 for earlier, later in itertools.pairwise(moments))
