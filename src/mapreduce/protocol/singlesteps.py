"""The worker's calls one step at a time, for people with `curl`: types only, pure.

Each is the part of `next` that its name says, under the same call numbers; agents use `next` itself. The types of all
other calls are in `messages`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mapreduce.protocol.messages import (
    AttemptId,
    Commit,
    Epoch,
    Fail,
    Failure,
    Finished,
    Message,
    NextRequest,
    Release,
    TaskOutput,
    WorkerName,
)


class SingleStep(Message, frozen=True, kw_only=True):
    """What all single steps say: who calls, and which call it is."""

    epoch: Epoch
    worker: WorkerName
    call: Annotated[int, Meta(ge=1, le=1 << 53)]
    """Rises by one with each new call; the same number again means a repeat and gets the same answer."""

    def _reporting(self, finished: Finished) -> NextRequest:
        return NextRequest(epoch=self.epoch, worker=self.worker, call=self.call, finished=(finished,))


class GetTaskRequest(SingleStep, frozen=True, kw_only=True):
    """Takes one task."""

    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """How long the call may wait for a task."""

    def as_next(self) -> NextRequest:
        """The same as a `next`."""
        return NextRequest(epoch=self.epoch, worker=self.worker, call=self.call, want=1, wait_s=self.wait_s)


class CommitRequest(SingleStep, frozen=True, kw_only=True):
    """Asks that an attempt's output become the task's."""

    id: AttemptId
    output: TaskOutput
    run_s: float = 0.0

    def as_next(self) -> NextRequest:
        """The same as a `next`."""
        return self._reporting(Commit(id=self.id, output=self.output, run_s=self.run_s))


class FailRequest(SingleStep, frozen=True, kw_only=True):
    """Reports that an attempt ended without a result."""

    id: AttemptId
    failure: Failure
    run_s: float = 0.0

    def as_next(self) -> NextRequest:
        """The same as a `next`."""
        return self._reporting(Fail(id=self.id, failure=self.failure, run_s=self.run_s))


class ReleaseRequest(SingleStep, frozen=True, kw_only=True):
    """Gives a lease back."""

    id: AttemptId
    was_started: bool = False

    def as_next(self) -> NextRequest:
        """The same as a `next`."""
        return self._reporting(Release(id=self.id, was_started=self.was_started))
