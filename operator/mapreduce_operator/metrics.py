"""The operator's measures for Prometheus, and the server that hands them out."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PASSES: Final = Counter("mapreduce_operator_passes", "Passes over jobs, by how they ended.", ["outcome"])
PASS_SECONDS: Final = Histogram("mapreduce_operator_pass_seconds", "Duration of one pass.")
QUEUE: Final = Gauge("mapreduce_operator_queue", "Jobs that wait to be looked at now.")
JOBS: Final = Gauge("mapreduce_operator_jobs", "Jobs that are looked after.", ["stage"])
API_SECONDS: Final = Histogram(
    "mapreduce_operator_api_request_seconds", "Duration of requests to the API server.", ["method", "status"]
)
STATUS_WRITES: Final = Counter("mapreduce_operator_status_writes", "Statuses that were written.")
ACTIONS: Final = Counter("mapreduce_operator_actions", "What was done for jobs.", ["action"])
RELISTS: Final = Counter("mapreduce_operator_relists", "Complete lists that a watch had to begin with.", ["kind"])
SILENCE_SECONDS: Final = Gauge("mapreduce_operator_silence_seconds", "Time since the last sign of life of a watch.")
CLOSED_NAMESPACES: Final = Gauge(
    "mapreduce_operator_closed_namespaces", "Namespaces that are to be looked after and may not be looked at."
)
IS_LEADER: Final = Gauge("mapreduce_operator_leader", "1 while this operator acts.")
ACCEPT_SECONDS: Final = Histogram(
    "mapreduce_operator_accept_seconds",
    "Time from a job's creation to that of its coordinator.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
