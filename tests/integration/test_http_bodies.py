"""Bodies and parameters that are not what they should be, and what the service never sees of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.refusals import HTTP_STATUS, Refused
from tests.support.edge import serving
from tests.support.examplecalls import ID, JSON_BODIES, OUTPUT, SPEAKER
from tests.support.running import runs


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"worker":"\xff"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{}", "epoch: is missing"),
        (b"1 2", "body: Expected `object`, got `int`"),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"[" * 900_000, "body: Expected `object`"),
        (b'{"x":' + b"[" * 900_000, "nested too deeply"),
        (b'{"epoch":1,"worker":"worker-a","call":0}', "call: Expected `int` >= 1"),
        (b'{"epoch":1,"worker":"a b","call":1}', "worker: Expected `str` matching regex"),
        (b'{"epoch":1,"worker":"worker-a","call":1,"want":1e9}', "want: "),
        (b'{"epoch":1,"worker":"worker-a","call":1,"wait_s":61}', "wait_s: Expected `float` <= 60"),
        (b'{"epoch":1,"worker":"worker-a","call":1,"finished":[{"type":"x"}]}', "finished[0].type: Invalid value"),
    ],
)
@runs
async def test_a_bad_body_is_told_what_is_wrong_and_where(body: bytes, told: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call("POST", "/v1/next", served.session(), data=body)
        assert (reply.status, reply.error().code) == (400, "bad-request")
        assert told in reply.error().message
        assert served.service.calls == []


@runs
async def test_a_number_that_the_log_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        body = b'{"epoch":1,"worker":"worker-a","call":1,"id":%b,"output":{"counters":{"ok":1,"much":%d}}}' % (
            b'{"job":1,"kind":"map","index":3,"attempt":1,"epoch":1}',
            1 << 64,
        )
        reply = await served.call("POST", "/v1/commit", served.session(), data=body)
        assert reply.error().message == "output.counters.much: an integer here is beyond 64 bits."


@runs
async def test_unknown_fields_are_ignored_for_a_newer_peer_may_send_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        body = {**JSON_BODIES["POST /v1/register"], "mood": {"good": [1, 2]}}
        assert (await served.call("POST", "/v1/register", served.tokens.worker, body=body)).status == 200


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/jobs/0", "job: "),
        ("/v1/jobs/-1", "job: "),
        ("/v1/jobs/1e3x", "job: "),
        ("/v1/jobs/" + "9" * 400, "job: "),
        ("/v1/jobs/%ff", "job: "),
        ("/v1/jobs/1?wait_s=nan", "wait_s: "),
        ("/v1/jobs/1?wait_s=-1", "wait_s: "),
        ("/v1/jobs/1?after_sequence=x", "after_sequence: "),
        ("/v1/jobs/1/logs/map-3%2f..%2ftoken", "task: "),
        ("/v1/jobs/1/logs/%2e%2e%2f", "task: "),
        ("/v1/jobs/1/logs/map-3%00", "task: "),
        ("/v1/jobs/1/logs/map-3%0a", "task: "),
        ("/v1/jobs/1/parts/..%2f..%2ftoken", "name: "),
        ("/v1/jobs/1/parts/a%00b", "name: "),
        ("/v1/events?from=-1", "from: "),
    ],
)
@runs
async def test_a_bad_parameter_is_named_and_reaches_no_service(path: str, told: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call("GET", path, served.tokens.read)
        assert (reply.status, reply.error().message[: len(told)]) == (400, told)
        assert served.service.calls == []


@runs
async def test_the_query_cannot_change_what_the_path_says(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.call("GET", "/v1/jobs/1?job=2", served.tokens.read)
        assert served.service.calls == [("status", (1, 0.0, 0))]


@runs
async def test_a_path_that_is_not_utf_8_is_no_server_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for path in (b"/v1/jobs/1/parts/\xff", b"/v1/jobs/\xed\xa0\x80", b"/v1/jobs/1?wait_s=\xff", b"/\xff"):
            head = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n"
            answer = await served.raw(head % (path, served.port, served.tokens.read.encode()))
            assert answer[9:12] in (b"400", b"404"), path


@pytest.mark.parametrize("code", HTTP_STATUS)
@runs
async def test_every_refusal_of_the_service_becomes_its_status_and_an_error_reply(code: str, tmp_path: Path) -> None:
    async def refuse(_: str) -> None:
        raise Refused(code, "because")  # type: ignore[arg-type] # a key of HTTP_STATUS is a code

    async with serving(tmp_path) as served:
        served.service.before = refuse
        reply = await served.call("POST", "/v1/heartbeat", served.session(), body=SPEAKER)
        error = reply.error()
        assert (error.code, error.message, error.epoch) == (code, "because", 1)
        assert reply.headers["Content-Type"] == "application/json"


@runs
async def test_a_bug_is_told_to_the_log_once_and_to_the_client_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: str) -> None:
        raise ZeroDivisionError("an inner detail")

    async with serving(tmp_path) as served:
        served.service.before = fail
        session = served.session()
        reply = await served.call("POST", "/v1/heartbeat", session, body=SPEAKER)
        assert (reply.status, reply.error().code) == (500, "internal")
        assert b"detail" not in reply.body
        assert len(caplog.records) == 1
        assert "an inner detail" in caplog.text
        assert session not in caplog.text


@runs
async def test_a_method_that_a_path_has_not_is_told_those_it_has(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for method in ("DELETE", "HEAD", "OPTIONS", "PATCH"):
            reply = await served.call(method, "/v1/jobs/1/cancel", served.tokens.admin)
            assert (reply.status, reply.headers["Allow"]) == (405, "POST")


@runs
async def test_no_answer_tells_the_versions_of_the_software_behind_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for path in ("/livez", "/nothing", "/v1/jobs/1/parts/part-00000", "/v1/events"):
            reply = await served.call("GET", path, served.tokens.read)
            assert reply.headers["Server"] == "mapreduce"


@runs
async def test_a_repeated_call_gets_the_same_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.call("POST", "/v1/register", served.tokens.worker, body=JSON_BODIES["POST /v1/register"])
        body = JSON_BODIES["POST /v1/next"]
        first = await served.call("POST", "/v1/next", served.session(), body=body)
        again = await served.call("POST", "/v1/next", served.session(), body=body)
        assert (first.status, first.body) == (again.status, again.body) == (200, first.body)
        await served.call("POST", "/v1/next", served.session(), body={**body, "call": 9})
        late = await served.call("POST", "/v1/next", served.session(), body=body)
        assert late.error().code == "stale-call"


@runs
async def test_a_single_commit_that_is_refused_is_a_conflict_with_the_reason(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.call("POST", "/v1/register", served.tokens.worker, body=JSON_BODIES["POST /v1/register"])
        served.service.refuses_commits = True
        body = {**SPEAKER, "call": 1, "id": ID, "output": OUTPUT}
        reply = await served.call("POST", "/v1/commit", served.session(), body=body)
        assert (reply.status, reply.error().code, reply.error().message) == (409, "conflict", "lease lost")


@runs
async def test_a_single_step_under_the_number_of_another_call_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.call("POST", "/v1/register", served.tokens.worker, body=JSON_BODIES["POST /v1/register"])
        await served.call("POST", "/v1/get-task", served.session(), body={**SPEAKER, "call": 1})
        reply = await served.call("POST", "/v1/release", served.session(), body={**SPEAKER, "call": 1, "id": ID})
        assert (reply.status, reply.error().message) == (400, "Call 1 was another one before. Use a higher number.")


@runs
async def test_a_coordinator_that_is_over_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.service.failed.set_result(None)
        assert (await served.call("GET", "/readyz")).error().code == "not-ready"
        assert (await served.call("GET", "/livez")).status == 200
