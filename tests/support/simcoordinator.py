"""The coordinator in a simulation: the real service as a program that can be killed, answering as over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mapreduce.coordinator.blocking import Blocking
from mapreduce.coordinator.refusals import Refused, epoch_changed
from mapreduce.coordinator.service import Service
from mapreduce.protocol import messages as m
from mapreduce.protocol import wire
from mapreduce.scheduling import events, invariants, records, snapshot
from mapreduce.scheduling.machine import Decision, Request
from mapreduce.scheduling.state import State
from tests.support import simchecks
from tests.support.faultyfiles import FaultyFiles
from tests.support.simnetwork import Answer
from tests.support.virtualtime import Program

if TYPE_CHECKING:
    from tests.support.simulation import Simulation


class CheckedService(Service):
    """The service, with the invariants checked after every turn and a history of the states that were."""

    starting: ClassVar[Simulation]
    """Whose service is being made."""
    sim: Simulation
    history: dict[int, bytes]

    def turn(self, event: Request | events.Event | records.AnyRecord) -> Decision:
        if isinstance(event, records.EpochStarted):
            self.sim, self.history = self.starting, {}
            simchecks.check_recovered(self.sim, self.log.sequence, self.machine.state)
            self.sim.histories.append(self.history)
        decision = super().turn(event)
        invariants.check(self.machine.state, self.machine.sessions)
        self.history[self.log.sequence] = digest_of(self.machine.state)
        for record in decision.records:
            self.sim.seen_records.append(record)
        return decision


def digest_of(state: State) -> bytes:
    """Stands for a whole state."""
    return hashlib.blake2b(snapshot.dump(state), digest_size=16).digest()


@dataclass(eq=False, repr=False)
class SimCoordinator:
    """One incarnation of the coordinator, as a program that can be killed."""

    sim: Simulation
    program: Program
    files: FaultyFiles
    service: CheckedService | None = None
    error: BaseException | None = None

    @property
    def epoch(self) -> int:
        """The epoch it claimed; 0 before."""
        return 0 if self.service is None else self.service.epoch

    async def host(self) -> None:
        """What a process that hosts a service does: start it, serve, end when it has failed."""
        CheckedService.starting = self.sim
        try:
            service = await CheckedService.start(
                self.sim.folder,
                settings=self.sim.settings,
                files=self.files,
                clock=self.sim.clock,
                blocking=Blocking.inline(),
            )
            assert isinstance(service, CheckedService)
            self.service, self.sim.network.server = service, self
            await asyncio.shield(service.failed)
        except Exception as error:
            self.error = error
            self.sim.coordinator_ended(self)

    async def answer(self, call: str, body: bytes) -> Answer:
        """One call over the network."""
        assert self.service is not None
        try:
            return Answer(200, await self._answer(self.service, call, body))
        except Refused as refused:
            error = m.ErrorReply(code=refused.code, message=refused.message, epoch=self.service.epoch)
            return Answer(refused.http_status, wire.encode(error))

    async def _answer(self, service: Service, call: str, body: bytes) -> bytes:
        match call:
            case "register":
                request = msgspec.json.decode(body, type=m.RegisterRequest)
                reply = await service.register(request)
                return wire.encode(msgspec.structs.replace(reply, session=str(reply.epoch)))
            case "next":
                return wire.encode(await service.next(msgspec.json.decode(body, type=m.NextRequest)))
            case "heartbeat":
                return wire.encode(await service.heartbeat(msgspec.json.decode(body, type=m.HeartbeatRequest)))
            case "submit":
                return wire.encode(await service.submit(msgspec.json.decode(body, type=m.SubmitRequest)))
            case "jobs":
                return wire.encode(await service.statuses())
            case _:
                return await self._answer_session(service, call, body)

    async def _answer_session(self, service: Service, call: str, body: bytes) -> bytes:
        arguments: dict[str, Any] = msgspec.json.decode(body)
        if arguments["session"] != str(service.epoch):
            raise epoch_changed(service.epoch)
        match call:
            case "definition":
                return wire.encode(await service.definition(arguments["job"]))
            case "runs":
                return wire.encode(await service.runs(arguments["job"], arguments["start"], 3))
            case "code":
                return await service.code(arguments["digest"])
            case "put-run":
                job, stem = arguments["job"], arguments["stem"]
                offset, size, piece = arguments["offset"], arguments["size"], b64decode(arguments["piece"])
                return wire.encode(await service.put_run(arguments["worker"], job, stem, offset, size, piece))
            case _:
                raise AssertionError(call)
