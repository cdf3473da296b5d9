"""Attempts and outputs of a job as columns of bytes. Pure; copies memory and loops over what ended only."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from mapreduce.page.messages import AttemptColumns, EndedColumns, TaskColumns, TimelinePage
from mapreduce.scheduling.attemptlog import AttemptEnd, AttemptLog
from mapreduce.scheduling.state import Job
from mapreduce.scheduling.tasks import TaskTable

MAX_ROWS: Final = 50_000
"""Rows in one page: about 2 MB."""


def attempt_columns(log: AttemptLog, first: int, end: int) -> AttemptColumns:
    """The attempts in rows `first` to `end`."""
    end = max(first, min(end, len(log.kind)))
    return AttemptColumns(
        first=first,
        count=end - first,
        kind=log.kind[first:end].tobytes(),
        index=log.index[first:end].tobytes(),
        number=log.number[first:end].tobytes(),
        worker=log.worker[first:end].tobytes(),
        start_at=log.start_at[first:end].tobytes(),
        end_at=log.end_at[first:end].tobytes(),
        end=log.end[first:end].tobytes(),
        run_s=log.run_s[first:end].tobytes(),
    )


def task_columns(table: TaskTable, first: int, end: int) -> TaskColumns:
    """What tasks `first` to `end` have committed."""
    end = max(first, min(end, table.count))
    return TaskColumns(
        first=first,
        count=end - first,
        sizes=table.out_bytes[first:end].tobytes(),
        records=table.out_records[first:end].tobytes(),
    )


def timeline_page(job: Job, first: int, limit: int) -> TimelinePage:
    """A window of `limit` rows and tasks from `first` on."""
    end = first + min(limit, MAX_ROWS)
    last = max(len(job.attempts.kind), job.maps.count, job.reduces.count)
    return TimelinePage(
        rows=len(job.attempts.kind),
        attempts=attempt_columns(job.attempts, first, end),
        maps=task_columns(job.maps, first, end),
        reduces=task_columns(job.reduces, first, end),
        next=end if end < last else None,
    )


def ended_columns(job: Job, rows: Sequence[int]) -> EndedColumns:
    """What is known of rows that have ended."""
    log = job.attempts
    kinds = bytes(map(log.kind.__getitem__, rows))
    indexes = list(map(log.index.__getitem__, rows))
    ends = bytes(map(log.end.__getitem__, rows))
    tables = (job.maps, job.reduces)
    if len(set(kinds)) == 1 and ends.count(AttemptEnd.COMMITTED) == len(rows):  # as it nearly always is
        table = tables[kinds[0]]
        sizes = array("Q", map(table.out_bytes.__getitem__, indexes))
        records = array("Q", map(table.out_records.__getitem__, indexes))
    else:
        done = [
            (tables[kind], index, end == AttemptEnd.COMMITTED)
            for kind, index, end in zip(kinds, indexes, ends, strict=True)
        ]
        sizes = array("Q", (table.out_bytes[index] if is_committed else 0 for table, index, is_committed in done))
        records = array("Q", (table.out_records[index] if is_committed else 0 for table, index, is_committed in done))
    return EndedColumns(
        count=len(rows),
        row=array("I", rows).tobytes(),
        end_at=array("d", map(log.end_at.__getitem__, rows)).tobytes(),
        end=ends,
        run_s=array("f", map(log.run_s.__getitem__, rows)).tobytes(),
        sizes=sizes.tobytes(),
        records=records.tobytes(),
    )
