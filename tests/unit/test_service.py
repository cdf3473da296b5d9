"""What may be asked of a coordinator, answered by the real service; and what it does when its log fails."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from mapreduce.coordinator.refusals import Refused
from mapreduce.coordinator.service import Service
from mapreduce.coordinator.settings import ServiceSettings
from mapreduce.errors import StorageFailed
from mapreduce.protocol import messages as m
from mapreduce.scheduling.transitions import JobPhase
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


def refused(sim: Simulation, call: Callable[[Service], Coroutine[Any, Any, object]]) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(sim, call)
    return caught.value


def test_code_is_kept_under_its_own_digest_only(sim: Simulation) -> None:
    body = b"a bundle"
    digest = hashlib.sha256(body).hexdigest()
    assert refused(sim, lambda it: it.put_code("../etc/passwd", body)).code == "bad-request"
    assert refused(sim, lambda it: it.put_code("0" * 64, body)).code == "bad-request"
    assert refused(sim, lambda it: it.code(digest)).code == "not-found"
    for _ in range(2):
        ask(sim, lambda it: it.put_code(digest, body))
    assert ask(sim, lambda it: it.code(digest)) == body


def test_a_job_whose_code_is_not_there_is_refused(sim: Simulation) -> None:
    request = SimJob().place(sim.root).request
    assert refused(sim, lambda it: it.submit(request)).code == "bad-request"


def test_a_specification_that_a_manifest_could_not_have_is_refused_before_it_is_a_job(sim: Simulation) -> None:
    request = SimJob().place(sim.root).request
    output = msgspec.structs.replace(request.spec.output, name_template="the-same-for-all")
    bad = msgspec.structs.replace(request, spec=msgspec.structs.replace(request.spec, output=output))
    answer = refused(sim, lambda it: it.submit(bad))
    assert answer.code == "bad-request"
    assert "nameTemplate" in answer.message
    assert not ask(sim, lambda it: it.statuses()).jobs


def test_a_job_that_does_not_exist_is_not_found_whatever_is_asked(sim: Simulation) -> None:
    asked: list[Callable[[Service], Coroutine[Any, Any, object]]] = [
        lambda it: it.status(7),
        lambda it: it.cancel(7),
        lambda it: it.definition(7),
        lambda it: it.runs(7, 0, 10),
        lambda it: it.parts(7),
        lambda it: it.task_log(7, "map-0"),
        lambda it: it.put_attempt_log(7, "map-00000.e1.a1", b""),
    ]
    assert {refused(sim, call).code for call in asked} == {"not-found"}


def test_what_attempts_printed_comes_back_by_task(sim: Simulation) -> None:
    number = sim.submit()
    for attempt, text in ((2, b"second"), (10, b"tenth"), (1, b"first")):
        ask(sim, lambda it, a=attempt, t=text: it.put_attempt_log(number, f"map-00003.e1.a{a}", t))  # type: ignore[misc]
    text = ask(sim, lambda it: it.task_log(number, "map-3"))
    assert text.index(b"first") < text.index(b"second") < text.index(b"tenth")
    assert b"==> map-3/attempt-10 <==" in text
    assert ask(sim, lambda it: it.task_log(number, "map-4")) == b""
    assert refused(sim, lambda it: it.task_log(number, "../secret")).code == "not-found"
    for stem in ("../x", "map-1", "map-00001.e1.a1/../../x"):
        assert refused(sim, lambda it, s=stem: it.put_attempt_log(number, s, b"")).code == "bad-request"  # type: ignore[misc]


def _join(sim: Simulation) -> None:
    sim.add_worker()


def test_a_status_waits_for_something_newer_than_what_is_known(sim: Simulation) -> None:
    number = sim.submit()
    sim.run_until(lambda: sim.job(number).phase is JobPhase.MAPPING)
    shown, sequence = ask(sim, lambda it: it.status(number))
    assert shown.state == "Mapping"
    began_s = sim.loop.time()
    sim.at(5.0, lambda: _join(sim))
    later, newer = ask(sim, lambda it: it.status(number, wait_s=30.0, after_sequence=sequence))
    assert newer > sequence
    assert later.workers == 1
    assert sim.loop.time() - began_s == pytest.approx(5.0, abs=0.2)


def test_a_status_that_has_nothing_new_to_tell_answers_when_its_time_is_over(sim: Simulation) -> None:
    number = sim.submit()
    sim.run_until(lambda: sim.job(number).phase is JobPhase.MAPPING)
    _, sequence = ask(sim, lambda it: it.status(number))
    began_s = sim.loop.time()
    ask(sim, lambda it: it.status(number, wait_s=3.0, after_sequence=sequence))
    assert sim.loop.time() - began_s == pytest.approx(3.0)


def test_runs_are_listed_in_pages_and_only_when_all_are_there(sim: Simulation) -> None:
    number = sim.submit()
    sim.run_until(lambda: sim.job(number).phase is JobPhase.MAPPING)
    assert refused(sim, lambda it: it.runs(number, 0, 10)).code == "not-ready"
    sim.add_worker()
    sim.run_until(lambda: sim.job(number).phase is JobPhase.REDUCING)
    first = ask(sim, lambda it: it.runs(number, 0, 3))
    assert first.next == 3
    rest = ask(sim, lambda it: it.runs(number, 3, 3))
    assert rest.next is None
    assert [run.map.index for run in (*first.runs, *rest.runs)] == [0, 1, 2, 3]


def test_parts_are_named_once_they_are_published(sim: Simulation) -> None:
    number = sim.submit()
    assert refused(sim, lambda it: it.parts(number)).code == "conflict"
    sim.add_worker()
    sim.run_until(lambda: sim.is_over(number))
    assert ask(sim, lambda it: it.parts(number)) == ["part-00000", "part-00001"]
    path = ask(sim, lambda it: it.part_path(number, "part-00001"))
    assert path.read_bytes()
    assert refused(sim, lambda it: it.part_path(number, "../part-00001")).code == "not-found"


def test_a_waiting_call_is_answered_as_soon_as_there_is_work(sim: Simulation) -> None:
    ask(sim, lambda it: it.register(m.RegisterRequest(worker="a", slots=1, protocol=1)))
    request = m.NextRequest(epoch=1, worker="a", call=1, want=1, wait_s=20.0)
    assert sim.network.server is not None
    waiting = sim.loop.task(sim.network.server.program, sim.service.next(request))
    sim.run_for(2.0)
    assert not waiting.done()
    sim.submit()
    began_s = sim.loop.time()
    reply = sim.loop.run_until_complete(waiting)
    assert [task.id.task for task in reply.tasks] == ["map-0"]
    assert sim.loop.time() - began_s < 1.0


def test_a_waiting_call_of_a_worker_that_has_registered_again_takes_nothing(sim: Simulation) -> None:
    joining = m.RegisterRequest(worker="a", slots=1, protocol=1)
    ask(sim, lambda it: it.register(joining))
    request = m.NextRequest(epoch=1, worker="a", call=5, want=1, wait_s=20.0)
    assert sim.network.server is not None
    ghost = sim.loop.task(sim.network.server.program, sim.service.next(request))
    sim.run_for(1.0)
    ask(sim, lambda it: it.register(joining))
    number = sim.submit()
    with pytest.raises(Refused) as caught:
        sim.loop.run_until_complete(ghost)
    assert caught.value.code == "stale-call"
    assert not sim.job(number).maps.leases


def test_a_stream_tells_the_whole_life_of_a_job(sim: Simulation) -> None:
    seen: list[str] = []

    async def follow(service: Service) -> None:
        stream: AsyncIterator[tuple[int, bytes]] = service.subscribe(0)
        async for _, body in stream:
            seen.append(msgspec.json.decode(body)["type"])
            if seen[-1] == "JobFinished":
                return

    assert sim.network.server is not None
    following = sim.loop.task(sim.network.server.program, follow(sim.service))
    sim.run_for(0.1)
    sim.add_worker()
    sim.submit()
    sim.loop.run_until_complete(following)
    assert seen[0] == "State"
    assert [kind for kind in seen if kind.startswith(("Job", "Maps"))] == [
        "JobSubmitted",
        "JobStarted",
        "JobPlanned",
        "MapsCompleted",
        "JobCommitting",
        "JobFinished",
    ]


def test_once_the_log_has_failed_nothing_is_answered_any_more(tmp_path: Path) -> None:
    is_broken = False

    def hook(call: str, _path: str) -> None:
        if is_broken and call == "sync":
            raise OSError(5, "input/output error")

    with simulate(tmp_path, hook=hook, restarts=False) as sim:
        sim.submit()
        service = sim.service
        is_broken = True
        request = m.RegisterRequest(worker="a", slots=1, protocol=1)
        with pytest.raises(StorageFailed):
            ask(sim, lambda it: it.register(request))
        assert isinstance(service.failed.exception(), StorageFailed)
        program = sim.loop.program("late caller")
        for call in (service.register(request), service.status(1), service.statuses()):
            with pytest.raises(Refused) as caught:
                sim.loop.run_until_complete(sim.loop.task(program, wait_for(call)))
            assert caught.value.code == "not-ready"


async def wait_for(call: Coroutine[Any, Any, object]) -> object:
    return await call


def test_a_coordinator_whose_disk_is_nearly_full_grants_nothing_until_there_is_room(tmp_path: Path) -> None:
    settings = ServiceSettings(low_water_bytes=1 << 60)
    with simulate(tmp_path, settings=settings) as sim:
        sim.run_for(1.0)
        sim.add_worker()
        number = sim.submit()
        sim.run_for(30.0)
        assert sim.job(number).phase is JobPhase.MAPPING
        assert not sim.job(number).maps.leases
        sim.service.settings = ServiceSettings(low_water_bytes=0)
        sim.finish()


def test_a_resumed_job_says_what_was_done_before(sim: Simulation) -> None:
    sim.add_worker()
    number = sim.submit()
    sim.run_until(lambda: sim.job(number).maps.committed_count == 3)
    sim.restart_coordinator()
    sim.run_until(lambda: sim.network.server is sim.coordinator)
    shown, _ = ask(sim, lambda it: it.status(number))
    assert shown.resumed_maps == 3
    sim.finish()


def test_closing_ends_all_that_was_under_way(sim: Simulation) -> None:
    sim.submit()
    ask(sim, lambda it: it.close())
    before = len(sim.loop.tasks)
    sim.run_for(60.0)
    assert len(sim.loop.tasks) == before + 1, "nothing but the waiting itself"
    assert not sim.service.failed.done()
