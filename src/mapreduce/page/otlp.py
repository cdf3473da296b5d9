"""A job as an OpenTelemetry trace, in OTLP's JSON: a span for the job, one for each phase, one for each attempt. Pure.

All ids are derived from the log's id and the job, so there is one trace a job however often its coordinator was started
again, and sending it twice sends the same spans. Every collector takes this form by HTTP at `/v1/traces`, so nothing of
OpenTelemetry need be installed. Format: opentelemetry-proto, `trace/v1`, JSON mapping.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from mapreduce.page.lanes import Box, boxes_of
from mapreduce.protocol.messages import JobStatus
from mapreduce.scheduling.attemptlog import AttemptEnd, AttemptLog
from mapreduce.version import __version__

#: Spans in one request: collectors refuse bodies of more than some MiB.
MAX_SPANS: Final = 2_000

_INTERNAL: Final = 1
_OK, _ERROR = 1, 2
_OUTCOMES: Final = {
    AttemptEnd.RUNNING: "running",
    AttemptEnd.COMMITTED: "committed",
    AttemptEnd.FAILED: "failed",
    AttemptEnd.RELEASED: "released",
    AttemptEnd.LOST: "lost",
}
_KINDS: Final = ("map", "reduce")

Span = dict[str, Any]


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be told as a trace."""

    store_id: str
    """The log's id, in hex."""
    status: JobStatus
    log: AttemptLog
    names: Mapping[int, str]
    """Of workers, by number."""
    slots: Mapping[int, int]
    now_at: float
    """When what still runs is taken to end."""
    service: str = "mapreduce"
    """The name under which the trace is found."""


def trace_id(store_id: str, job: int) -> str:
    """The id of a job's trace, 32 hex digits."""
    return hashlib.sha256(f"mapreduce-trace:{store_id}:{job}".encode()).hexdigest()[:32]


def requests(traced: Traced) -> Iterator[bytes]:
    """Bodies of the requests that tell the whole trace."""
    spans: list[Span] = []
    for span in _spans(traced):
        spans.append(span)
        if len(spans) == MAX_SPANS:
            yield _request(spans, traced.service)
            spans = []
    if spans:
        yield _request(spans, traced.service)


def _request(spans: list[Span], service: str) -> bytes:
    resource = {"attributes": _attributes({"service.name": service, "service.version": __version__})}
    scope = {"scope": {"name": "mapreduce", "version": __version__}, "spans": spans}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
    return json.dumps(body, separators=(",", ":")).encode()


def _spans(traced: Traced) -> Iterator[Span]:
    status, log = traced.status, traced.log
    trace = trace_id(traced.store_id, status.job)
    boxes = boxes_of(log, traced.slots, traced.now_at)
    end_at = status.finished_at or traced.now_at
    yield _job_span(trace, status, end_at)
    for kind, name in enumerate(_KINDS):
        own = [box for box in boxes if log.kind[box.row] == kind]
        if not own:
            continue
        begun_at, over_at = min(box.start_at for box in own), max(box.end_at for box in own)
        counts = status.reduces if kind else status.maps
        facts = {"mapreduce.tasks": counts.total, "mapreduce.attempts_failed": counts.attempts_failed}
        yield _span(trace, name, f"{name} phase", (begun_at, over_at), parent="job", facts=facts)
        for box in own:
            yield _attempt_span(trace, traced, box, name)


def _job_span(trace: str, status: JobStatus, end_at: float) -> Span:
    facts = {
        "mapreduce.job.name": status.name,
        "mapreduce.job.id": status.job,
        "mapreduce.job.state": status.state,
        "mapreduce.input_bytes": status.input_bytes,
        "mapreduce.output": status.output,
        "mapreduce.output_bytes": status.output_bytes,
        "mapreduce.output_records": status.output_records,
        "mapreduce.maps_remade": status.maps_remade,
    }
    facts |= {f"mapreduce.counter.{name}": count for name, count in status.counters.items()}
    span = _span(trace, "job", f"job {status.name}", (status.submitted_at, end_at), facts=facts)
    if status.state == "Complete":
        span["status"] = {"code": _OK}
    elif status.state in {"Failed", "Cancelled"}:
        span["status"] = {"code": _ERROR, "message": f"{status.reason}: {status.message}"[:1_000]}
    return span


def _attempt_span(trace: str, traced: Traced, box: Box, parent: str) -> Span:
    log, row = traced.log, box.row
    end = log.end[row]
    facts = {
        "mapreduce.task.kind": parent,
        "mapreduce.task.index": log.index[row],
        "mapreduce.attempt": log.number[row],
        "mapreduce.worker": traced.names.get(log.worker[row], str(log.worker[row])),
        "mapreduce.slot": box.lane,
        "mapreduce.outcome": _OUTCOMES[end],
        "mapreduce.waited_s": max(0.0, box.start_at - log.start_at[row]),
    }
    span = _span(
        trace, f"attempt-{row}", f"{parent}-{log.index[row]}", (box.start_at, box.end_at), parent=parent, facts=facts
    )
    if end in {AttemptEnd.FAILED, AttemptEnd.LOST}:
        span["status"] = {"code": _ERROR, "message": _OUTCOMES[end]}
    return span


def _span(
    trace: str, key: str, name: str, when: tuple[float, float], *, parent: str = "", facts: Mapping[str, Any]
) -> Span:
    begun_at, end_at = when
    span: Span = {
        "traceId": trace,
        "spanId": _span_id(trace, key),
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(round(begun_at * 1e9)),
        "endTimeUnixNano": str(round(max(begun_at, end_at) * 1e9)),
        "attributes": _attributes(facts),
    }
    if parent:
        span["parentSpanId"] = _span_id(trace, parent)
    return span


def _span_id(trace: str, key: str) -> str:
    return hashlib.sha256(f"{trace}:{key}".encode()).hexdigest()[:16]


def _attributes(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in facts.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value).encode("utf-8", "replace").decode()}
