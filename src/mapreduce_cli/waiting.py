"""Waiting for a job of a coordinator that runs elsewhere, with progress on stderr."""

from __future__ import annotations

import math
import sys
import time
from typing import Final

from mapreduce.errors import Unreachable
from mapreduce.local.progress import make_watcher
from mapreduce.protocol.client import CoordinatorClient
from mapreduce.protocol.messages import FINAL_STATES, JobStatus
from mapreduce_cli.summary import describe_failure

LONG_POLL_S: Final = 5.0
#: Between two looks at a job that changes all the time.
PAUSE_S: Final = 0.2
#: How long the coordinator may be away: it is being started again, perhaps.
PATIENCE_S: Final = 60.0


def wait_for_job(
    client: CoordinatorClient, job: int, *, name: str, retry: str = "", timeout_s: float | None = None
) -> int:
    """Wait until the job has ended and say how; the exit code. Raises Unreachable when the coordinator stays away.

    `name` is how commands name the job, with the options that lead to its coordinator; `retry`, what runs it again.
    """
    watcher = make_watcher()
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    status, sequence = client.status(job)
    try:
        while status.state not in FINAL_STATES and (left_s := deadline_s - time.monotonic()) > 0:
            watcher.progress(status)
            status, sequence = _next_status(client, job, sequence, min(LONG_POLL_S, left_s))
            if status.state not in FINAL_STATES:
                time.sleep(min(PAUSE_S, max(0.0, deadline_s - time.monotonic())))
        watcher.progress(status)
    except KeyboardInterrupt:
        watcher.close()
        print(
            f"mr: job {job} '{status.name}' goes on; `mr wait {name}` waits for it, `mr cancel {name}` ends it",
            file=sys.stderr,
        )
        raise
    finally:
        watcher.close()
    if status.state == "Complete":
        print(f"mr: job {job} '{status.name}' is complete, output in {status.output}", file=sys.stderr)
        return 0
    if status.state not in FINAL_STATES:
        print(f"mr: job {job} '{status.name}' is still {status.state}; `mr why {name}` says more", file=sys.stderr)
        return 1
    story = describe_failure(status, logs=f"mr logs {name}", retry=retry or "correct it, then `mr submit` it again")
    print(f"mr: {story}", file=sys.stderr)
    return 1


def _next_status(client: CoordinatorClient, job: int, sequence: int, wait_s: float) -> tuple[JobStatus, int]:
    """The next change, or the same status after `wait_s`; a coordinator that is being started again is waited for."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.status(job, wait_s=wait_s, after_sequence=sequence)
        except Unreachable:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(PAUSE_S)
