"""Submitting once: a key that the client chooses makes a repeated submission the same job."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.service import Service
from mapreduce.errors import Unreachable
from mapreduce.protocol import messages as m
from mapreduce_cli.commands import submit
from tests.support.simjobs import SimJob
from tests.support.simulation import Simulation, simulate

T = TypeVar("T")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulation]:
    with simulate(tmp_path) as made:
        made.run_until(lambda: made.network.server is not None)
        yield made


def ask(sim: Simulation, call: Callable[[Service], Coroutine[Any, Any, T]]) -> T:
    """Makes one call and waits for its answer."""
    assert sim.network.server is not None
    return sim.loop.run_until_complete(sim.loop.task(sim.network.server.program, call(sim.service)))


def keyed(sim: Simulation, key: str) -> m.SubmitRequest:
    """A submission whose code has been put."""
    placed = SimJob().place(sim.root)
    ask(sim, lambda it: it.put_code(placed.bundle.sha256, placed.bundle.data))
    return msgspec.structs.replace(placed.request, key=key)


def test_the_same_key_again_is_the_same_job(sim: Simulation) -> None:
    request = keyed(sim, "first")
    first = ask(sim, lambda it: it.submit(request))
    assert ask(sim, lambda it: it.submit(request)) == first
    assert len(ask(sim, lambda it: it.statuses()).jobs) == 1


def test_the_key_is_known_after_a_power_cut(sim: Simulation) -> None:
    request = keyed(sim, "first")
    first = ask(sim, lambda it: it.submit(request))
    sim.restart_coordinator(power_cut=1)
    sim.run_until(lambda: sim.network.server is sim.coordinator)
    assert ask(sim, lambda it: it.submit(request)) == first


def test_without_a_key_every_submission_is_a_job(sim: Simulation) -> None:
    request = keyed(sim, "")
    assert [ask(sim, lambda it: it.submit(request)).job for _ in range(2)] == [1, 2]


def test_a_key_that_another_job_has_is_refused(sim: Simulation) -> None:
    request = keyed(sim, "first")
    ask(sim, lambda it: it.submit(request))
    with pytest.raises(Refused) as caught:
        ask(sim, lambda it: it.submit(msgspec.structs.replace(request, name="other")))
    assert (caught.value.code, "job 1 was submitted with this key" in caught.value.message) == ("conflict", True)


class LosesAnswers:
    """A client whose first answers do not arrive."""

    def __init__(self, count: int) -> None:
        self.left, self.keys = count, list[str]()

    def submit(self, request: m.SubmitRequest) -> int:
        self.keys.append(request.key)
        if self.left:
            self.left -= 1
            raise Unreachable("nobody answers.")
        return 7


def test_the_command_asks_again_with_the_same_key(sim: Simulation) -> None:
    client, request = LosesAnswers(2), keyed(sim, "chosen")
    assert submit._submit_once(client, request, pause_s=0.0) == 7  # type: ignore[arg-type]
    assert client.keys == ["chosen"] * 3


def test_the_command_gives_up_in_the_end(sim: Simulation) -> None:
    client, request = LosesAnswers(9), keyed(sim, "chosen")
    with pytest.raises(Unreachable):
        submit._submit_once(client, request, pause_s=0.0)  # type: ignore[arg-type]
