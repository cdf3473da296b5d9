"""A job as an OpenTelemetry trace: ids that never change, spans that lie in one another, and where it is sent."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mapreduce.errors import Unreachable, UsageError
from mapreduce.page.otlp import MAX_SPANS, Traced, requests, trace_id
from mapreduce.tracesending import TraceTarget, send
from tests.support.collector import collecting
from tests.support.longjobs import LongJob
from tests.support.pageruns import view_of

STORE = "0123456789abcdef0123456789abcdef"


def _traced(attempts: int = 30, maps: int = 1_000) -> Traced:
    traced = view_of(LongJob(maps=maps), limit=attempts).traced("wc")
    return Traced(
        store_id=STORE, status=traced.status, log=traced.log, names=traced.names, slots=traced.slots,
        now_at=traced.now_at, service="wc",
    )  # fmt: skip


def _spans(traced: Traced) -> list[dict[str, Any]]:
    bodies = [json.loads(body) for body in requests(traced)]
    return [span for body in bodies for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def test_the_trace_of_a_job_has_one_id_for_ever() -> None:
    assert trace_id(STORE, 1) == trace_id(STORE, 1)
    assert len({trace_id(STORE, 1), trace_id(STORE, 2), trace_id("other", 1)}) == 3
    assert len(bytes.fromhex(trace_id(STORE, 1))) == 16
    once, again = _spans(_traced()), _spans(_traced())
    assert [span["spanId"] for span in once] == [span["spanId"] for span in again]
    assert len({span["spanId"] for span in once}) == len(once)
    assert {span["traceId"] for span in once} == {trace_id(STORE, _traced().status.job)}


def test_attempts_lie_in_their_phase_and_phases_in_the_job() -> None:
    spans = {span["spanId"]: span for span in _spans(_traced())}
    root, *others = spans.values()
    assert "parentSpanId" not in root
    assert root["name"].startswith("job ")
    for span in others:
        parent = spans[span["parentSpanId"]]
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        if parent is not root:
            assert parent["name"] in {"map phase", "reduce phase"}
            assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
            assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"])


@pytest.mark.parametrize(("state", "code"), [("Complete", 1), ("Failed", 2), ("Cancelled", 2)])
def test_how_the_job_ended_is_the_status_of_its_span(state: Any, code: int) -> None:
    traced = _traced()
    status = msgspec.structs.replace(traced.status, state=state, reason="BadInput", message="no \udcff such file")
    ended = Traced(
        store_id=STORE, status=status, log=traced.log, names=traced.names, slots=traced.slots, now_at=traced.now_at
    )
    assert _spans(ended)[0]["status"]["code"] == code


def test_a_large_job_is_told_in_several_requests() -> None:
    traced = _traced(attempts=100_000, maps=3_000)
    sizes = [body.count(b'"spanId"') for body in requests(traced)]
    assert len(sizes) > 1
    assert max(sizes) == MAX_SPANS
    assert sum(sizes) == len(_spans(traced))


def test_requests_go_to_the_collector_with_its_headers_and_the_services_name() -> None:
    with collecting() as collector:
        target = TraceTarget.of(collector.url, {"OTEL_EXPORTER_OTLP_HEADERS": "x-token=a%20b,y=2"})
        assert "a b" not in repr(target)
        assert send(target, requests(_traced())) == 1
    assert collector.paths == ["/v1/traces"]
    assert (collector.headers[0]["x-token"], collector.headers[0]["y"]) == ("a b", "2")
    assert {"key": "service.name", "value": {"stringValue": "wc"}} in collector.requests[0]["resourceSpans"][0][
        "resource"
    ]["attributes"]


def test_a_collector_that_refuses_or_is_away_is_told_in_words() -> None:
    with collecting(status=503) as collector, pytest.raises(Unreachable, match="answered 503: too much"):
        send(TraceTarget.of(collector.url, {}), requests(_traced()))
    with pytest.raises(Unreachable, match="cannot be reached"):
        send(TraceTarget.of(collector.url.replace("http://", "http://me:secret@"), {}), requests(_traced()))


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/otlp/"}, "http://c:4318/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, "http://c/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4318"}, None),
    ],
)
def test_the_environment_says_where_to_and_never_refuses(environment: dict[str, str], url: str | None) -> None:
    target = TraceTarget.from_environment(environment)
    assert (target.url if target is not None else None) == url


def test_an_address_that_a_person_gives_must_be_one() -> None:
    with pytest.raises(UsageError, match="write http://HOST:4318"):
        TraceTarget.of("localhost:4317", {})
