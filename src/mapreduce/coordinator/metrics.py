"""Metrics of one coordinator in Prometheus' text format, written here: the engine depends on no client library.

Counters and the histogram count what this process has seen; gauges are the present state. Serving them is `podmetrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from mapreduce.coordinator.shell import Shell
from mapreduce.scheduling import records as r
from mapreduce.scheduling.state import Job
from mapreduce.version import __version__

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0)


class Metrics:
    """What is counted from records, beside what the state itself tells."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[int]] = {kind: [0] * (len(_BUCKETS_S) + 1) for kind in ("map", "reduce")}
        self._seconds_sum: dict[str, float] = dict.fromkeys(("map", "reduce"), 0.0)
        self._failed: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._backups: Counter[str] = Counter()
        self._leases_lost = 0
        self._outputs_lost: Counter[str] = Counter()

    def count(self, record: r.AnyRecord) -> None:
        """Take one record into account."""
        match record:
            case r.TasksCommitted():
                for commit in record.commits:
                    kind = commit.id.kind
                    self._seconds[kind][bisect_left(_BUCKETS_S, commit.run_s)] += 1
                    self._seconds_sum[kind] += commit.run_s
                    self._bytes[kind] += commit.bytes
            case r.AttemptFailed():
                self._failed[record.id.kind, record.failure.failure_class] += 1
            case r.LeasesReleased() if record.why is r.Release.LOST:
                self._leases_lost += len(record.ids)
            case r.BackupsGranted():
                self._backups[record.kind] += len(record.grants)
            case r.OutputLost():
                self._outputs_lost[record.kind] += len(record.indexes)
            case _:
                pass

    def text(self, shell: Shell, replicas_pending: int) -> str:
        """All metrics now."""
        state, stats = shell.machine.state, shell.log.stats
        page = _Page()
        page.add("mapreduce_build_info", "gauge", "The release.", [({"version": __version__}, 1)])
        page.add("mapreduce_epoch", "gauge", "Incarnations of this coordinator so far.", [({}, shell.epoch)])
        page.add("mapreduce_tasks", "gauge", "Tasks by kind and state.", _task_counts(list(state.jobs.values())))
        page.add_histogram(
            "mapreduce_task_seconds", "Run time of committed attempts.", self._seconds, self._seconds_sum
        )
        page.add(
            "mapreduce_attempts_failed_total",
            "counter",
            "Attempts that ended without a result, by class.",
            [({"kind": kind, "class": name}, count) for (kind, name), count in sorted(self._failed.items())],
        )
        page.add(
            "mapreduce_backup_attempts_total",
            "counter",
            "Second attempts of stragglers.",
            [({"kind": kind}, self._backups[kind]) for kind in ("map", "reduce")],
        )
        page.add("mapreduce_leases_lost_total", "counter", "Leases of silent workers.", [({}, self._leases_lost)])
        page.add(
            "mapreduce_outputs_lost_total",
            "counter",
            "Committed tasks whose bytes were gone.",
            [({"kind": kind}, self._outputs_lost[kind]) for kind in ("map", "reduce")],
        )
        page.add(
            "mapreduce_committed_bytes_total",
            "counter",
            "Bytes of committed runs and outputs.",
            [({"kind": kind}, self._bytes[kind]) for kind in ("map", "reduce")],
        )
        input_bytes = sum(job.input_bytes for job in state.jobs.values())
        page.add("mapreduce_input_bytes", "gauge", "Bytes of input of all jobs.", [({}, input_bytes)])
        page.add("mapreduce_workers", "gauge", "Registered workers.", [({}, len(shell.machine.sessions.workers))])
        slots = sum(worker.slots for worker in state.workers.values())
        page.add("mapreduce_worker_slots", "gauge", "Their slots.", [({}, slots)])
        page.add("mapreduce_replicas_pending", "gauge", "Runs that only their worker has.", [({}, replicas_pending)])
        is_short = int(shell.machine.sessions.is_paused)
        page.add("mapreduce_short_of_space", "gauge", "1 while nothing is granted for want of space.", [({}, is_short)])
        page.add("mapreduce_wal_fsyncs_total", "counter", "Fsyncs of the log.", [({}, stats.fsync_count)])
        page.add("mapreduce_wal_fsync_seconds_total", "counter", "Time in them.", [({}, stats.fsync_total_s)])
        page.add("mapreduce_wal_fsync_slowest_seconds", "gauge", "The slowest.", [({}, stats.fsync_slowest_s)])
        page.add("mapreduce_wal_bytes_total", "counter", "Bytes written to the log.", [({}, stats.bytes)])
        page.add("mapreduce_wal_records_total", "counter", "Records written to the log.", [({}, stats.records)])
        return page.text()


def _task_counts(jobs: list[Job]) -> list[tuple[dict[str, str], float]]:
    counts: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        for table in (job.maps, job.reduces):
            running, committed = len(table.leases), table.committed_count
            counts[table.kind, "running"] += running
            counts[table.kind, "committed"] += committed
            counts[table.kind, "pending"] += max(0, table.count - running - committed)
    states = ("pending", "running", "committed")
    return [({"kind": k, "state": s}, counts[k, s]) for k in ("map", "reduce") for s in states]


class _Page:
    """The text format: HELP, TYPE, samples."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, text: str, samples: list[tuple[dict[str, str], float]]) -> None:
        """One metric with its samples."""
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]

    def add_histogram(self, name: str, text: str, counts: dict[str, list[int]], sums: dict[str, float]) -> None:
        """One histogram for each kind of task."""
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        for kind, buckets in counts.items():
            total = 0
            for bound, count in zip((*map(_number, _BUCKETS_S), "+Inf"), buckets, strict=True):
                total += count
                self._lines.append(f"{name}_bucket{_labels({'kind': kind, 'le': bound})} {total}")
            self._lines.append(f"{name}_sum{_labels({'kind': kind})} {_number(sums[kind])}")
            self._lines.append(f"{name}_count{_labels({'kind': kind})} {total}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    quoted = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
