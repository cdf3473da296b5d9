"""The network between simulated workers and coordinators: it delays, loses, doubles and reorders, and can be cut.

Requests and answers travel as the bytes that they are on the wire. Whatever happens to one, the caller hears of it at
most once: an answer, or that none will come. Who heard what is written down, for the checks at the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from tests.support.virtualtime import Program, VirtualLoop

COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: a status as of HTTP, and a body."""

    status: int
    body: bytes


class Server(Protocol):
    """Something that answers calls."""

    program: Program

    @property
    def epoch(self) -> int:
        """The incarnation that it is."""
        ...

    def answer(self, call: str, body: bytes) -> Awaitable[Answer]:
        """Answers, or raises: then the connection ends without a word."""
        ...


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is; all by chance and by the seed."""

    delay_s: tuple[float, float] = (0.001, 0.004)
    lost_requests: float = 0.0
    lost_answers: float = 0.0
    doubled: float = 0.0
    late_copies: float = 0.0
    """Requests of which a copy arrives up to a minute later."""


CALM = Weather()
STORM = Weather(delay_s=(0.001, 1.5), lost_requests=0.1, lost_answers=0.1, doubled=0.15, late_copies=0.1)

OnAnswer = Callable[[Answer | None], None]


@dataclass
class _Call:
    """One call under way."""

    caller: Program
    on_answer: OnAnswer
    is_calm: bool
    is_over: bool = False


@dataclass
class Network:
    """All links. The coordinator's address leads to whoever serves there when a request arrives."""

    loop: VirtualLoop
    random: Random
    weather: Weather = CALM
    server: Server | None = None
    cut: set[tuple[str, str]] = field(default_factory=set)
    """Directed links on which nothing travels: (from, to)."""
    spoken: list[tuple[int, str, float]] = field(default_factory=list)
    """Every answer that left a server: its epoch, to which call, when."""
    _serving: dict[Program, list[_Call]] = field(default_factory=dict)

    def call(
        self,
        caller: Program,
        name: str,
        body: bytes,
        on_answer: OnAnswer,
        *,
        wait_s: float = 10.0,
        is_calm: bool = False,
    ) -> None:
        """Sends a request. `on_answer` gets the answer, or None when there will be none."""
        call = _Call(caller, on_answer, is_calm)
        self.loop.call_as(caller, wait_s, lambda: self._tell(call, None))
        weather = CALM if is_calm else self.weather
        if self._is_cut(caller.name, COORDINATOR) or self._happens(weather.lost_requests):
            return
        copies = 2 if self._happens(weather.doubled) else 1
        for _ in range(copies):
            self.loop.call_outside(self._delay_s(), lambda: self._arrive(call, name, body))
        if self._happens(weather.late_copies):
            self.loop.call_outside(self.random.uniform(1, 60), lambda: self._arrive(call, name, body))

    def partition(self, name: str, *, inwards: bool = True, outwards: bool = True) -> None:
        """Cuts a worker off; one way only if asked."""
        if outwards:
            self.cut.add((name, COORDINATOR))
        if inwards:
            self.cut.add((COORDINATOR, name))

    def heal(self, name: str) -> None:
        """Undoes `partition`."""
        self.cut -= {(name, COORDINATOR), (COORDINATOR, name)}

    def hang_up(self, program: Program) -> None:
        """A server is dead: the connections to it break."""
        for call in self._serving.pop(program, []):
            if not self._is_cut(COORDINATOR, call.caller.name):
                self._answer_later(call, None)

    # ------------------------------------------------------------------------------------------------------- details

    def _arrive(self, call: _Call, name: str, body: bytes) -> None:
        server = self.server
        if server is None or server.program.is_dead:
            self._answer_later(call, None)  # nobody listens there
            return
        self._serving.setdefault(server.program, []).append(call)
        self.loop.start(server.program, self._serve(server, call, name, body))

    async def _serve(self, server: Server, call: _Call, name: str, body: bytes) -> None:
        try:
            answer: Answer | None = await server.answer(name, body)
        except Exception:  # it says nothing, whatever happened to it
            answer = None
        self._serving[server.program].remove(call)
        if answer is not None:
            self.spoken.append((server.epoch, name, self.loop.time()))
        if answer is not None and not call.is_calm and self._happens(self.weather.lost_answers):
            return
        if not self._is_cut(COORDINATOR, call.caller.name):
            self._answer_later(call, answer)

    def _answer_later(self, call: _Call, answer: Answer | None) -> None:
        self.loop.call_outside(
            self._delay_s(), lambda: _ignore(self.loop.call_as(call.caller, 0, lambda: self._tell(call, answer)))
        )

    def _tell(self, call: _Call, answer: Answer | None) -> None:
        if not call.is_over:
            call.is_over = True
            call.on_answer(answer)

    def _is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self.cut

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def _delay_s(self) -> float:
        return self.random.uniform(*self.weather.delay_s)


def _ignore(_result: object) -> None:
    """The call is made for what it does."""
