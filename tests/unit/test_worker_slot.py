"""A slot that ends one attempt does no harm to the next, which its executor may have begun in the meantime."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mapreduce.protocol.endpoint import UrlEndpoint
from mapreduce.protocol.messages import AttemptId, Failure, TaskOutput
from mapreduce_worker.agent.executors import Ending
from mapreduce_worker.agent.jobs import Prepared
from mapreduce_worker.agent.settings import AgentSettings
from mapreduce_worker.agent.slot import Slot
from mapreduce_worker.executor.messages import NONCE_BYTES, VERSION, Hello, Result, frame, mark
from tests.support.sessions import attempt, prepared

NONCE = bytes(range(NONCE_BYTES))


class Owner:
    """Notes what it is told, and calls for a socket when the test says so."""

    def __init__(self) -> None:
        self.calls: dict[socket.socket, Callable[[int], None]] = {}
        self.begun: list[AttemptId] = []
        self.ended: list[tuple[AttemptId, str]] = []
        self.returned: list[AttemptId] = []

    def watch(self, source: socket.socket, events: int, call: Callable[[int], None]) -> None:
        del events
        self.calls[source] = call

    def unwatch(self, source: socket.socket) -> None:
        self.calls.pop(source, None)

    def look(self) -> None:
        """Something is to be read on every socket."""
        for call in list(self.calls.values()):
            call(selectors.EVENT_READ)

    def attempt_begun(self, attempt: AttemptId) -> None:
        self.begun.append(attempt)

    def attempt_ended(self, work: Prepared, outcome: TaskOutput | Failure, run_s: float, log: bytes) -> None:
        del run_s, log
        said = outcome.failure_class if isinstance(outcome, Failure) else "done"
        self.ended.append((work.assignment.id, said))

    def attempts_returned(self, work: list[Prepared]) -> None:
        self.returned += [one.assignment.id for one in work]

    def attempt_withdrawn(self, attempt: AttemptId) -> None:
        raise AssertionError(attempt)

    def executors_fail(self, failure: Failure) -> None:
        raise AssertionError(failure)


class Player:
    """An executor and where it comes from; the test says what it does."""

    is_ready = True
    memory_bytes = 0
    problem = ""
    temporary = "/tmp"

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.started = self.ended = 0
        self.at_its_end: Callable[[], None] = lambda: None
        self.listener, self.channel = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.listener.bind("")  # a name of no file, which the system chooses
        self.listener.listen(1)

    def attach(self, watcher: object) -> None:
        del watcher

    def start(self, slot: int, *, data_limit_bytes: int = 0) -> Player:
        del slot, data_limit_bytes
        self.started += 1
        return self

    def call(self) -> None:
        """It says hello."""
        self.channel.connect(self.listener.getsockname())
        socket.send_fds(self.channel, [frame(Hello(version=VERSION, pid=1, nonce=NONCE))], [self.read_end])

    def begin(self, number: int) -> None:
        os.write(self.write_end, mark(NONCE, number))

    def finish(self, number: int) -> None:
        self.channel.sendall(frame(Result(number=number, output=TaskOutput())))

    def stop_listening(self) -> None:
        """It stays open for the next one."""

    def has_ended(self) -> bool:
        return False

    def end(self) -> Ending:
        self.ended += 1
        at_its_end, self.at_its_end = self.at_its_end, lambda: None
        at_its_end()
        return Ending(-9)

    def end_after(self, seconds: float) -> Ending:
        del seconds
        return self.end()

    abort = end

    def private_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.listener.close()
        self.channel.close()
        for descriptor in (self.read_end, self.write_end):
            os.close(descriptor)


@pytest.fixture
def player() -> Iterator[Player]:
    made = Player()
    yield made
    made.close()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def slot(owner: Owner, player: Player, tmp_path: Path) -> Iterator[Slot]:
    """It runs map-0 and has map-1 and map-2 to run next."""
    settings = AgentSettings(endpoint=UrlEndpoint("http://127.0.0.1:9"), worker="w", scratch=tmp_path)
    made = Slot(owner, settings, player, 0)
    made.start()
    player.call()
    owner.look()
    owner.look()
    made.feed([prepared(0), prepared(1), prepared(2)])
    player.begin(1)
    made.tick()
    assert owner.begun == [attempt(0)]
    yield made
    made.close()


def test_what_runs_is_ended_and_the_others_go_back(slot: Slot, owner: Owner, player: Player) -> None:
    slot.cancel(attempt(0))
    assert (player.ended, owner.ended, owner.returned) == (1, [], [attempt(1), attempt(2)])


def test_the_next_one_that_began_meanwhile_goes_on(slot: Slot, owner: Owner, player: Player) -> None:
    player.finish(1)
    player.begin(2)
    slot.cancel(attempt(0))
    assert player.ended == 0
    player.finish(2)
    owner.look()
    assert owner.ended == [(attempt(1), "done")]


def test_the_next_one_that_begins_in_the_last_moment_goes_back_too(slot: Slot, owner: Owner, player: Player) -> None:
    def moves_on() -> None:
        player.finish(1)
        player.begin(2)

    player.at_its_end = moves_on
    slot.cancel(attempt(0))
    assert (player.ended, owner.ended, owner.returned) == (1, [], [attempt(1), attempt(2)])


def test_one_that_was_cancelled_before_it_began_is_ended_when_it_does(slot: Slot, owner: Owner, player: Player) -> None:
    slot.cancel(attempt(1))
    player.finish(1)
    owner.look()
    player.begin(2)
    slot.tick()
    assert (player.ended, owner.ended, owner.returned) == (1, [(attempt(0), "done")], [attempt(2)])
