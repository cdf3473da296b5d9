"""Makes attempts ready to run in a thread beside the main loop, and keeps trying while the coordinator is away.

An attempt that cannot be made ready ends in a `Failure`; one that is no longer this worker's is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from mapreduce.errors import InvalidUserCode, MapReduceError, Unauthorized, Unreachable
from mapreduce.protocol.client import Refusal
from mapreduce.protocol.messages import Assignment, AttemptId, Failure
from mapreduce_worker.agent.jobs import JobStore, Prepared, RunsLost
from mapreduce_worker.agent.lanes import Backoff, Lane
from mapreduce_worker.executor.failures import failure

#: Refusals that go away: the coordinator is starting, a map is being made again, or this worker has to register again.
PASSING: Final = frozenset({408, 409, 429, 500, 502, 503, 504})


class Preparer:
    """Turns assignments into `Prepared`, in order.

    Args:
        store: where jobs and runs come from.
        holds: whether an attempt is still this worker's; called from the preparing thread.
        done: takes each assignment's outcome; called from the preparing thread.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        holds: Callable[[AttemptId], bool],
        done: Callable[[Assignment, Prepared | Failure], None],
    ) -> None:
        self._store, self._holds, self._done = store, holds, done
        self._lane = Lane("prepare")

    def prepare_now(self, assignment: Assignment) -> Prepared | None:
        """The attempt, if that takes no call: a map task of a known job."""
        job = self._store.known(assignment.id.job)
        return Prepared(assignment, job) if job is not None and assignment.id.kind == "map" else None

    def prepare(self, assignment: Assignment) -> None:
        """Make it ready in the background."""
        granted_s = time.monotonic()
        self._lane.put(lambda: self._prepare(assignment, granted_s))

    def _prepare(self, assignment: Assignment, granted_s: float) -> None:
        backoff = Backoff()
        while self._holds(assignment.id):
            try:
                self._done(assignment, self._try(assignment, granted_s))
            except (Unreachable, Unauthorized):
                time.sleep(backoff.next_pause_s())
            except Refusal as error:
                if error.status not in PASSING:
                    problem = f"The coordinator refuses what {assignment.id} needs: {error}"
                    self._done(assignment, failure("system", problem))
                    return
                time.sleep(backoff.next_pause_s())
            except RunsLost as error:
                lost = failure("run-lost", str(error))
                self._done(assignment, Failure(failure_class="run-lost", message=lost.message, lost_runs=error.lost))
                return
            except InvalidUserCode as error:
                self._done(assignment, failure("user", str(error)))
                return
            except (OSError, MapReduceError) as error:
                self._done(assignment, failure("system", f"The worker cannot prepare {assignment.id}: {error}"))
                return
            else:
                return

    def _try(self, assignment: Assignment, granted_s: float) -> Prepared:
        job = self._store.job(assignment.id.job)
        if assignment.id.kind == "map":
            return Prepared(assignment, job)
        return Prepared(assignment, job, self._store.sources(job, assignment, granted_s, time.monotonic()))
