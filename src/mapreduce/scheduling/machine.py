"""The decisions: one door through which every event passes. Pure; time is an argument.

`Machine.turn` looks at state, sessions, event and time, applies the records it decides on (by the same `evolve` as in
replay) and returns them with the reply. The shell enqueues the records in the same turn and speaks only when they are
durable. A refusal that belongs to the protocol is a reply (`Refusal`), not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from mapreduce.protocol import messages as m
from mapreduce.scheduling import decide_jobs, decide_outputs, decide_workers, events, policy
from mapreduce.scheduling import records as r
from mapreduce.scheduling.policy import Settings
from mapreduce.scheduling.sessions import Sessions
from mapreduce.scheduling.state import State
from mapreduce.scheduling.turn import Refusal, Turn

Request = m.RegisterRequest | m.NextRequest | m.HeartbeatRequest | m.SubmitRequest
Reply = m.RegisterReply | m.NextReply | m.HeartbeatReply | m.SubmitReply | Refusal | None


class Decision(msgspec.Struct, frozen=True):
    """What must be durable before `reply` may be spoken."""

    records: list[r.AnyRecord]
    reply: Reply


@dataclass(slots=True)
class Machine:
    """State and sessions of one incarnation, and the only code that changes them."""

    state: State
    settings: Settings
    split_of: Callable[[int, int], m.Split]
    """(job, map index) -> its input; the plan lies beside the log, not in the state."""
    sessions: Sessions = field(default_factory=Sessions)

    def turn(self, event: Request | events.Event | r.AnyRecord, now_s: float, at: float) -> Decision:
        """Decides on one event.

        Args:
            event: a request, an outcome of the coordinator's own I/O, or a record to apply as it is (start of an epoch,
                a rebuilt job).
            now_s: monotonic seconds.
            at: UTC seconds since 1970, only for the record.

        Raises:
            IllegalTransition: a bug; nothing was changed by the offending record.
        """
        turn = Turn(self.state, self.sessions, self.settings, self.split_of, now_s, at)
        self.sessions.pass_time(now_s, policy.pause_s(self.settings, turn.lease_s))
        reply = _dispatch(turn, event)
        decide_jobs.advance(turn)
        return Decision(turn.records, reply)


def _dispatch(turn: Turn, event: Request | events.Event | r.AnyRecord) -> Reply:
    match event:
        case m.NextRequest():
            return decide_workers.decide_next(turn, event)
        case m.HeartbeatRequest():
            return decide_workers.decide_heartbeat(turn, event)
        case m.RegisterRequest():
            return decide_workers.decide_register(turn, event)
        case m.SubmitRequest():
            return decide_jobs.decide_submit(turn, event)
        case events.Tick():
            decide_workers.decide_tick(turn)
        case events.WorkersGone():
            decide_workers.decide_gone(turn, event)
        case events.CancelRequested():
            return decide_jobs.decide_cancel(turn, event)
        case events.PlanMade() | events.JobBroken() | events.Published():
            decide_jobs.decide_outcome(turn, event)
        case events.OutputsMissing():
            decide_outputs.decide_missing(turn, event)
        case events.RunsProbed():
            decide_outputs.decide_probed(turn, event)
        case events.ReplicaKept():
            turn.sessions.replicas[event.run] = event.digest
        case events.ReplicasBad():
            decide_outputs.decide_bad_replicas(turn, event)
        case r.Record():
            turn.emit(event)
            turn.sessions.forget_ended(turn.state)
        case _:
            assert_never(event)
    return None
