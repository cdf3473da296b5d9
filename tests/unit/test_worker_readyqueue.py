"""How attempts that are ready are shared out among the slots of a worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mapreduce_worker.agent.jobs import Prepared
from mapreduce_worker.agent.readyqueue import ReadyQueue
from tests.support.sessions import attempt, prepared


@dataclass
class FakeSlot:
    """Takes so many in all, of one job if that is said."""

    depth: int
    job: int | None = None
    fed: list[int] = field(default_factory=list)

    def room(self, job: int) -> int:
        return self.depth - len(self.fed) if self.job in {None, job} else 0

    def feed(self, work: Iterable[Prepared]) -> None:
        self.fed += [prepared.assignment.id.index for prepared in work]


def queue_of(*work: Prepared) -> ReadyQueue:
    queue = ReadyQueue()
    for one in work:
        queue.put(one)
    return queue


def fed(queue: ReadyQueue, *slots: FakeSlot) -> list[list[int]]:
    queue.feed(slots)
    return [slot.fed for slot in slots]


def test_no_slot_gets_so_many_that_another_idles() -> None:
    queue = queue_of(*(prepared(index) for index in range(5)))
    assert fed(queue, FakeSlot(depth=100), FakeSlot(depth=100)) == [[0, 1, 2], [3, 4]]
    assert queue.pop() is None


def test_what_finds_no_room_waits_in_its_order() -> None:
    queue = queue_of(*(prepared(index) for index in range(4)))
    assert fed(queue, FakeSlot(depth=1), FakeSlot(depth=1)) == [[0], [1]]
    assert fed(queue, FakeSlot(depth=0)) == [[]]
    assert fed(queue, FakeSlot(depth=9)) == [[2, 3]]


def test_what_a_slot_gives_back_goes_first_again() -> None:
    queue = queue_of(prepared(2))
    queue.put_back([prepared(0), prepared(1)])
    assert fed(queue, FakeSlot(depth=9)) == [[0, 1, 2]]


def test_a_slot_gets_attempts_of_one_job_at_a_time() -> None:
    queue = queue_of(prepared(0), prepared(1, job=2), prepared(2, job=2), prepared(3))
    assert fed(queue, FakeSlot(depth=9, job=2), FakeSlot(depth=9, job=1)) == [[1, 2], [0, 3]]


def test_a_job_at_the_front_that_finds_no_room_is_not_overtaken() -> None:
    queue = queue_of(prepared(0), prepared(1, job=2))
    assert fed(queue, FakeSlot(depth=9, job=2)) == [[]]


def test_what_is_dropped_is_not_run() -> None:
    queue = queue_of(prepared(0), prepared(1))
    assert queue.drop(attempt(0))
    assert not queue.drop(attempt(0))
    assert fed(queue, FakeSlot(depth=9)) == [[1]]
    queue.put(prepared(2))
    queue.clear()
    assert queue.pop() is None
