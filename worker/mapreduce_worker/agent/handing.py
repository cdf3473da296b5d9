"""Between an attempt's end and its commit, and behind it: files are moved, outputs handed in, replicas of runs kept.

Each of the three has a thread of its own, so that nothing waits for a slow upload but what is uploaded. `handover` is
how files are taken, `uploads` how they reach the coordinator. What waits is a list of names: the files lie on disk.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial

from mapreduce.errors import MapReduceError, TaskFailed
from mapreduce.protocol.client import WorkerClient
from mapreduce.protocol.endpoint import Endpoint
from mapreduce.protocol.messages import AttemptId, Failure, TaskOutput, UploadReply
from mapreduce_worker.agent.calls import say
from mapreduce_worker.agent.handover import check_made, move, remove_leftovers
from mapreduce_worker.agent.jobs import JobFiles
from mapreduce_worker.agent.lanes import Lane
from mapreduce_worker.agent.uploads import upload
from mapreduce_worker.executor.failures import failure

#: Takes what became of an attempt in the end: its id, result, seconds and log. Called from a thread of `HandingOver`.
Done = Callable[[AttemptId, TaskOutput | Failure, float, bytes], None]


class HandingOver:
    """Files of attempts that have ended.

    Args:
        endpoint: where the coordinator is.
        session: the session token of now.
        holds: whether an attempt is still this worker's; from any thread.
        done: told of every attempt that was given to `take`.
    """

    def __init__(
        self, endpoint: Endpoint, session: Callable[[], str], *, holds: Callable[[AttemptId], bool], done: Done
    ) -> None:
        self._session, self._holds, self._done = session, holds, done
        self._moves, self._uploads, self._replicas = Lane("handover"), Lane("outputs"), Lane("replicas")
        self._output_client, self._replica_client = WorkerClient(endpoint), WorkerClient(endpoint)
        self._lock = threading.Lock()
        self._runs: dict[AttemptId, tuple[str, int]] = {}
        self._pending = 0
        self._job = 0
        self.taken_s = float("-inf")
        """When the coordinator last took a piece of a replica."""

    @property
    def pending_replicas(self) -> int:
        """Runs that exist here only, and are on their way to the coordinator."""
        with self._lock:
            return self._pending

    def is_needed(self, job: JobFiles, outcome: TaskOutput | Failure) -> bool:
        """Whether an attempt that ended so has anything to hand over."""
        if isinstance(outcome, Failure):
            return job.places.is_separate
        return outcome.has_file and (job.places.is_separate or job.is_by_coordinator)

    def take(self, job: JobFiles, attempt: AttemptId, outcome: TaskOutput | Failure, run_s: float, log: bytes) -> None:
        """Do what has to be done before the attempt's result is reported, then tell `done`. Returns at once."""
        is_upload = isinstance(outcome, TaskOutput) and not job.final(attempt)
        lane, carry_out = (self._uploads, self._hand_in) if is_upload else (self._moves, self._move)

        def finish() -> None:
            told = outcome
            try:
                carry_out(job, attempt, outcome)
            except TaskFailed as error:
                told = failure(error.failure_class, str(error))
            self._done(attempt, told, run_s, log)

        lane.put(finish)

    def keep_replica(self, attempt: AttemptId) -> None:
        """The attempt was committed: if it made a run that only this worker has, give the coordinator a copy."""
        with self._lock:
            run = self._runs.pop(attempt, None)
            if run is None:
                return
            self._pending += 1
        self._replicas.put(lambda: self._replicate(attempt, *run))

    def _move(self, job: JobFiles, attempt: AttemptId, outcome: TaskOutput | Failure) -> None:
        if isinstance(outcome, Failure):
            remove_leftovers(os.path.dirname(job.made(attempt)), attempt)  # noqa: PTH120
            return
        made, final = job.made(attempt), job.final(attempt)
        if made != final:
            move(made, final, outcome.bytes)
        if job.is_by_coordinator:
            with self._lock:
                if attempt.job != self._job:  # jobs run in order: nothing of an earlier one is asked for any more
                    self._runs.clear()
                    self._job = attempt.job
                self._runs[attempt] = (final, outcome.bytes)

    def _hand_in(self, job: JobFiles, attempt: AttemptId, outcome: TaskOutput | Failure) -> None:
        made = job.made(attempt)
        size = outcome.bytes if isinstance(outcome, TaskOutput) else 0
        check_made(made, size)
        put = partial(self._output_client.put_output, attempt=attempt, size=size)
        try:
            upload(put, self._session, made, lambda: self._holds(attempt))
        except TaskFailed:
            raise
        except (MapReduceError, OSError) as error:
            raise TaskFailed("system", f"the output of {attempt} cannot be handed in: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(made)  # noqa: PTH108

    def _replicate(self, attempt: AttemptId, path: str, size: int) -> None:
        def put(session: str, *, offset: int, piece: bytes) -> UploadReply:
            reply = self._replica_client.put_run(session, attempt=attempt, size=size, offset=offset, piece=piece)
            if reply.received > offset:
                self.taken_s = time.monotonic()
            return reply

        try:
            upload(put, self._session, path, lambda: attempt.job == self._job)
        except (MapReduceError, OSError) as error:
            say(f"the run of {attempt} has no replica: {error}")
        finally:
            with self._lock:
                self._pending -= 1
