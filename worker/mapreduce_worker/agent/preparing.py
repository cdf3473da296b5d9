"""Makes attempts ready to run in threads beside the main loop, and keeps trying while the coordinator is away.

Inputs from afar are fetched in threads of their own, a few at once; the disk they take is bounded by how many attempts
may wait with their inputs here. Runs have a thread as well: a reduce task whose runs are not complete waits for a map
that is made again, and that may be one of this worker's.

An attempt that cannot be made ready ends in a `Failure`; one that is no longer this worker's is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from mapreduce.errors import InvalidUserCode, MapReduceError, TaskFailed, Unauthorized, Unreachable
from mapreduce.protocol.client import Refusal
from mapreduce.protocol.messages import Assignment, AttemptId, Failure
from mapreduce_worker.agent.inputs import InputFetcher, is_needed
from mapreduce_worker.agent.jobs import JobFiles, JobStore, Prepared, RunsLost
from mapreduce_worker.agent.lanes import Backoff, Lane
from mapreduce_worker.executor.failures import failure

#: Refusals that go away: the coordinator is starting, a map is being made again, or this worker has to register again.
PASSING: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
_MAX_STREAMS: Final = 4
_ROOM_PAUSE_S: Final = 0.05


def is_passing(error: Refusal) -> bool:
    """Whether the same call may succeed later."""
    return error.status in PASSING and error.code != "conflict"


class Preparer:
    """Turns assignments into `Prepared`, in order, but for what waits for inputs or runs. Used by one thread.

    Args:
        store: where jobs and runs come from.
        holds: whether an attempt is still this worker's; called from the preparing threads.
        done: takes each assignment's outcome; called from the preparing threads.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        holds: Callable[[AttemptId], bool],
        done: Callable[[Assignment, Prepared | Failure], None],
    ) -> None:
        self._store, self._holds, self._done = store, holds, done
        self._lane, self._runs = Lane("prepare"), Lane("runs")
        self._expected: set[AttemptId] = set()
        self._streams: list[_Stream] = []
        self._next_stream = 0

    def prepare_now(self, assignment: Assignment) -> Prepared | None:
        """The attempt, if that takes no call: a map task of a known job, of local files."""
        job = self._store.known(assignment.id.job)
        if job is None or assignment.id.kind != "map" or is_needed(job, assignment):
            return None
        return Prepared(assignment, job)

    def prepare(self, assignment: Assignment) -> None:
        """Make it ready in the background."""
        granted_s = time.monotonic()
        self._expected.add(assignment.id)
        self._lane.put(lambda: self._prepare(assignment, lambda: self._try(assignment, granted_s)))

    def drop(self, attempt: AttemptId) -> bool:
        """Whether an outcome of this attempt is expected; from now on none is, so a late one is nobody's."""
        is_expected = attempt in self._expected
        self._expected.discard(attempt)
        return is_expected

    def _prepare(self, assignment: Assignment, make: Callable[[], Prepared | None]) -> None:
        """`make` it, and again; None: somebody else goes on with it."""
        backoff = Backoff()
        while self._holds(assignment.id):
            try:
                prepared = make()
                if prepared is not None:
                    self._done(assignment, prepared)
            except (Unreachable, Unauthorized):
                time.sleep(backoff.next_pause_s())
            except Refusal as error:
                if not is_passing(error):
                    problem = f"The coordinator refuses what {assignment.id} needs: {error}"
                    self._done(assignment, failure("system", problem))
                    return
                time.sleep(backoff.next_pause_s())
            except RunsLost as error:
                lost = failure("run-lost", str(error))
                self._done(assignment, Failure(failure_class="run-lost", message=lost.message, lost_runs=error.lost))
                return
            except TaskFailed as error:
                self._done(assignment, failure(error.failure_class, str(error)))
                return
            except InvalidUserCode as error:
                self._done(assignment, failure("user", str(error)))
                return
            except (OSError, MapReduceError) as error:
                self._done(assignment, failure("system", f"The worker cannot prepare {assignment.id}: {error}"))
                return
            else:
                return

    def _try(self, assignment: Assignment, granted_s: float) -> Prepared | None:
        job = self._store.job(assignment.id.job)
        if assignment.id.kind == "map":
            if not is_needed(job, assignment):
                return Prepared(assignment, job)
            stream = self._stream()
            stream.lane.put(lambda: self._prepare(assignment, lambda: self._fetch(stream, job, assignment)))
            return None
        self._runs.put(lambda: self._prepare(assignment, lambda: self._find_sources(job, assignment, granted_s)))
        return None

    def _find_sources(self, job: JobFiles, assignment: Assignment, granted_s: float) -> Prepared:
        self._store.forget_unheld(self._holds)
        return Prepared(assignment, job, self._store.sources(job, assignment, granted_s, time.monotonic()))

    def _fetch(self, stream: _Stream, job: JobFiles, assignment: Assignment) -> Prepared | None:
        while not self._store.make_room(assignment.id, self._holds):
            if not self._holds(assignment.id):
                return None
            time.sleep(_ROOM_PAUSE_S)
        into = self._store.fetched_folder(job, assignment.id)
        return Prepared(assignment, job, inputs=stream.fetcher.fetch(job, assignment, into))

    def _stream(self) -> _Stream:
        """One of a few threads that fetch inputs, in turn."""
        if len(self._streams) < min(self._store.slots, _MAX_STREAMS):
            self._streams.append(_Stream(self._store.make_fetcher()))
            return self._streams[-1]
        self._next_stream = (self._next_stream + 1) % len(self._streams)
        return self._streams[self._next_stream]


class _Stream:
    """A thread that fetches inputs."""

    def __init__(self, fetcher: InputFetcher) -> None:
        self.fetcher, self.lane = fetcher, Lane("inputs")
