"""The executor's only real work: take the next order, run it, answer. One thread runs user code, ever.

Cyclic garbage collection is off while a task runs (it costs up to half of a task that makes many lists) and runs
between tasks, when enough has happened since the last time.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Final

import msgspec

from mapreduce_worker.executor.failures import failure, failure_of
from mapreduce_worker.executor.inbox import Inbox
from mapreduce_worker.executor.messages import Job, Order, Result, frame, mark
from mapreduce_worker.executor.surroundings import flush_output
from mapreduce_worker.executor.tasks import JobTasks

#: Garbage is collected after so many seconds of tasks, or so many tasks.
_COLLECT_AFTER_S: Final = 1.0
_COLLECT_AFTER_TASKS: Final = 500


class TaskLoop:
    """Runs orders from `inbox` until the process is ended from outside."""

    def __init__(self, inbox: Inbox, *, nonce: bytes, mark_descriptor: int) -> None:
        self._inbox, self._nonce, self._marks = inbox, nonce, mark_descriptor
        self._pid = os.getpid()
        self._tasks: JobTasks | None = None
        self._ran_s = 0.0
        self._ran_count = 0

    def run_forever(self) -> None:
        """Serve orders; the inbox ends the process when the agent goes."""
        gc.disable()
        gc.freeze()
        while True:
            job, order = self._inbox.next_order()
            os.write(self._marks, mark(self._nonce, order.number))
            result = self._run(job, order)
            flush_output()
            if os.getpid() != self._pid:
                os._exit(0)  # a forked child that found its way out of user code
            self._inbox.send(_encoded(result))
            self._collect_sometimes(result.run_s)

    def _run(self, job: Job, order: Order) -> Result:
        started_s = time.perf_counter()
        try:
            if self._tasks is None:
                self._tasks = JobTasks(job)
            output = self._tasks.run(order)
        except BaseException as error:  # whatever user code does must not end the executor
            runs = {run.map.stem: run.map for run in order.sources}
            told = failure_of(error, runs)
            return Result(number=order.number, failure=told, run_s=time.perf_counter() - started_s)
        return Result(number=order.number, output=output, run_s=time.perf_counter() - started_s)

    def _collect_sometimes(self, run_s: float) -> None:
        self._ran_s += run_s
        self._ran_count += 1
        if self._ran_s >= _COLLECT_AFTER_S or self._ran_count >= _COLLECT_AFTER_TASKS:
            gc.collect()
            self._ran_s, self._ran_count = 0.0, 0


def _encoded(result: Result) -> bytes:
    """The result as a frame; what cannot be sent (a counter that is no number) is the user's failure."""
    try:
        data = frame(result)
        if result.output is not None and result.output.counters:
            # the agent passes them on as JSON, which refuses other things than msgpack does
            msgspec.json.encode(result.output.counters)
    except (TypeError, ValueError, OverflowError) as error:
        problem = f"The attempt's counters cannot be stored: {error}. Count with texts as names and whole numbers."
        return frame(Result(number=result.number, failure=failure("user", problem), run_s=result.run_s))
    return data
