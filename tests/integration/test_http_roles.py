"""Who may call what: every call of the protocol with every kind of token."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.coordinator.table import ROUTES
from tests.support.edge import NOW_AT, Served, serving
from tests.support.examplecalls import BUNDLE, DIGEST, body_of, filled
from tests.support.running import runs

#: The bar, written down apart from the table that is tested: a admin, w worker, r read, s session, o open to all,
#: t open to all who bring a good ticket, which the example is not.
ALLOWED = {
    "POST /v1/register": "aw",
    "POST /v1/next": "s",
    "POST /v1/heartbeat": "s",
    "POST /v1/get-task": "s",
    "POST /v1/commit": "s",
    "POST /v1/fail": "s",
    "POST /v1/release": "s",
    "GET /v1/jobs/{job}/definition": "as",
    "GET /v1/jobs/{job}/runs": "as",
    "PUT /v1/jobs/{job}/runs/{stem}": "s",
    "GET /v1/jobs/{job}/runs/{stem}": "as",
    "PUT /v1/jobs/{job}/outputs/{stem}": "s",
    "GET /v1/jobs/{job}/maps/{index}/files/{number}": "as",
    "PUT /v1/jobs/{job}/attempts/{stem}/log": "s",
    "GET /v1/code/{digest}": "as",
    "PUT /v1/code/{digest}": "a",
    "POST /v1/jobs": "a",
    "GET /v1/jobs": "awr",
    "GET /v1/jobs/{job}": "awr",
    "POST /v1/jobs/{job}/cancel": "a",
    "GET /v1/jobs/{job}/logs/{task}": "awr",
    "GET /v1/jobs/{job}/parts": "awr",
    "GET /v1/jobs/{job}/parts/{name}": "awr",
    "POST /v1/workers/gone": "a",
    "GET /v1/coordinator": "awr",
    "GET /v1/events": "awr",
    "GET /": "o",
    "POST /v1/tickets": "awr",
    "POST /v1/ticket": "t",
    "GET /v1/jobs/{job}/frames": "awr",
    "GET /v1/jobs/{job}/timeline": "awr",
    "GET /trace.json": "awr",
    "GET /v1/openapi.json": "awrs",
    "GET /livez": "o",
    "GET /readyz": "o",
}
#: Calls that answer nothing but that they were carried out.
SILENT = {f"{route.method} {route.path}" for route in ROUTES if route.reply == "no content"}
KINDS = ["none", "garbage", "empty", "basic", "read", "worker", "admin", "session", "expired", "other-epoch", "forged"]


def _header(served: Served, kind: str) -> dict[str, str]:
    session = served.session()
    tokens = {
        "garbage": "x" * 43,
        "empty": "",
        "read": served.tokens.read,
        "worker": served.tokens.worker,
        "admin": served.tokens.admin,
        "session": session,
        "expired": served.session(expires_at=NOW_AT),
        "other-epoch": served.session(epoch=2),
        "forged": session.replace("worker-a", "worker-b"),
    }
    if kind == "none":
        return {}
    if kind == "basic":
        return {"Authorization": f"Basic {served.tokens.admin}"}
    return {"Authorization": f"Bearer {tokens[kind]}"}


def _expected(call: str, kind: str) -> tuple[int, str]:
    if ALLOWED[call] == "o":
        return 200, ""
    if ALLOWED[call] == "t":
        return 401, "unauthorized"
    if kind == "other-epoch":
        return 409, "epoch-changed"
    if kind not in ("admin", "worker", "read", "session"):
        return 401, "unauthorized"
    if kind[0] not in ALLOWED[call]:
        return 403, "forbidden"
    return (204 if call in SILENT else 200), ""


def test_the_bar_names_every_call_of_the_table() -> None:
    assert {f"{route.method} {route.path}" for route in ROUTES} == set(ALLOWED)


@pytest.mark.parametrize("call", ALLOWED)
@runs
async def test_each_call_is_for_its_callers_only(call: str, tmp_path: Path) -> None:
    method, path = call.split()
    async with serving(tmp_path) as served:
        served.service.bundles[DIGEST] = BUNDLE
        await served.call("POST", "/v1/register", served.tokens.worker, data=body_of("POST", "/v1/register"))
        answers = {}
        for kind in KINDS:
            header = _header(served, kind)
            reply = await served.call(method, filled(path), data=body_of(method, path), headers=header)
            answers[kind] = reply.status, reply.error().code if reply.status >= 400 else ""
        assert answers == {kind: _expected(call, kind) for kind in KINDS}


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/jobs/1/", "/v1/jobs//parts", "/livez/", "//v1/jobs"]
)
@runs
async def test_an_unknown_path_is_401_without_a_token_and_404_with_one(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert (await served.call("GET", path)).status == 401
        assert (await served.call("GET", path, served.tokens.read)).error().code == "not-found"


@runs
async def test_a_refused_caller_reaches_no_service(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for route in ROUTES:
            await served.call(route.method, filled(route.path), data=body_of(route.method, route.path))
            await served.call(route.method, filled(route.path), "x" * 43, data=body_of(route.method, route.path))
        assert served.service.calls == []


@runs
async def test_a_session_speaks_for_its_own_worker_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        session = served.session(worker="worker-b")
        for path in ("/v1/next", "/v1/heartbeat", "/v1/get-task", "/v1/commit", "/v1/fail", "/v1/release"):
            reply = await served.call("POST", path, session, data=body_of("POST", path))
            assert reply.error().code == "forbidden", path
        assert served.service.calls == []


@runs
async def test_a_body_of_another_epoch_is_told_the_present_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        body = {"epoch": 9, "worker": "worker-a", "call": 1}
        error = (await served.call("POST", "/v1/next", served.session(), body=body)).error()
        assert (error.code, error.epoch) == ("epoch-changed", 1)


@runs
async def test_register_answers_with_a_session_that_works(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        body = {"worker": "worker-a", "slots": 1, "protocol": 1}
        reply = await served.call("POST", "/v1/register", served.tokens.worker, body=body)
        session = reply.body.decode().partition('"session":"')[2].partition('"')[0]
        beat = await served.call("POST", "/v1/heartbeat", session, body={"epoch": 1, "worker": "worker-a"})
        assert beat.status == 200


@runs
async def test_another_host_name_is_refused_on_loopback_before_anything_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for host in ("evil.example", "evil.example:80", f"localhost.evil.example:{served.port}", "127.0.0.1", ""):
            reply = await served.call("GET", "/v1/jobs", served.tokens.admin, headers={"Host": host})
            assert reply.error().code == "forbidden", host
        for host in (f"localhost:{served.port}", f"LOCALHOST:{served.port}", f"[::1]:{served.port}"):
            assert (await served.call("GET", "/v1/jobs", served.tokens.admin, headers={"Host": host})).status == 200


@runs
async def test_any_host_name_is_served_on_other_addresses(tmp_path: Path) -> None:
    async with serving(tmp_path, host="0.0.0.0") as served:
        reply = await served.call("GET", "/v1/jobs", served.tokens.read, headers={"Host": "coordinator.jobs.svc:8080"})
        assert reply.status == 200
