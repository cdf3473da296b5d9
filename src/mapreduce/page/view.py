"""One job with all that the page shows of it, to be kept: the report is the page with this inside. Pure."""

from __future__ import annotations

import msgspec

from mapreduce.page.assembling import page_with_data
from mapreduce.page.columns import MAX_ROWS, timeline_page
from mapreduce.page.durations import Durations
from mapreduce.page.frames import Seen, state_frame
from mapreduce.page.messages import Frame, TimelinePage
from mapreduce.page.otlp import Traced
from mapreduce.page.trace import chrome_trace
from mapreduce.scheduling.attemptlog import AttemptLog
from mapreduce.scheduling.state import Job, State


class View(msgspec.Struct, frozen=True):
    """One job at one moment."""

    frame: Frame
    """Of type "State"."""
    pages: tuple[TimelinePage, ...]
    made_at: float

    def report(self) -> bytes:
        """The page as one HTML file that fetches nothing."""
        return page_with_data(msgspec.json.encode({"frame": self.frame, "pages": self.pages, "made_at": self.made_at}))

    def attempts(self) -> AttemptLog:
        """The columns as a log again."""
        log = AttemptLog()
        for page in self.pages:
            columns = page.attempts
            for name in ("kind", "index", "number", "worker", "start_at", "end_at", "end", "run_s"):
                getattr(log, name).frombytes(getattr(columns, name))
        return log

    def trace(self) -> bytes:
        """The attempts in Chrome's trace format."""
        names, slots = self._workers()
        return chrome_trace(self.attempts(), names, slots, title=self.frame.status.name, now_at=self.frame.at)

    def traced(self, service: str) -> Traced:
        """The job for an OpenTelemetry trace, which is found under the service's name."""
        names, slots = self._workers()
        return Traced(
            store_id=self.frame.store_id,
            status=self.frame.status,
            log=self.attempts(),
            names=names,
            slots=slots,
            now_at=self.frame.at,
            service=service,
        )

    def _workers(self) -> tuple[dict[int, str], dict[int, int]]:
        """Names and slots of all workers that ever were, by number."""
        workers = self.frame.workers or ()
        return ({worker.number: worker.name for worker in workers}, {worker.number: worker.slots for worker in workers})


def make_view(state: State, job: Job, *, sequence: int, source: str, made_at: float, store_id: str = "") -> View:
    """A view of a state that a log has told. A job that never ended is shown as when it was last heard of."""
    durations = Durations()
    durations.learn(job.attempts, range(len(job.attempts.kind)))
    seen = Seen(
        sequence=sequence, now_at=_last_at(job), durations=durations.quantiles(), source=source, store_id=store_id
    )
    pages: list[TimelinePage] = []
    first: int | None = 0
    while first is not None:
        pages.append(timeline_page(job, first, MAX_ROWS))
        first = pages[-1].next
    return View(state_frame(state, job, seen), tuple(pages), made_at)


def _last_at(job: Job) -> float:
    log = job.attempts
    last_at = max(job.submitted_at, job.started_at, max(log.start_at, default=0.0), max(log.end_at, default=0.0))
    return job.finished_at or last_at
