"""The OpenAPI document: complete, and true of what is really sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mapreduce.coordinator.openapi import openapi_document
from mapreduce.coordinator.refusals import HTTP_STATUS
from mapreduce.coordinator.routes import NoBody
from mapreduce.coordinator.table import ROUTES
from tests.support.edge import serving
from tests.support.examplecalls import BUNDLE, DIGEST, JSON_BODIES, body_of, filled
from tests.support.jsonschema import problems
from tests.support.running import runs

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(openapi_document(ROUTES)))
COMPONENTS = DOCUMENT["components"]["schemas"]
CALLS = [(route.method, route.path) for route in ROUTES]


def _references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(item) for item in value.values()))
    return set().union(*(_references(item) for item in value)) if isinstance(value, list) else set()


def _problems_of_reply(method: str, path: str, status: int, body: bytes) -> list[str]:
    described = DOCUMENT["paths"][path][method.lower()]["responses"]
    if str(status) not in described:
        return [f"status {status} is not described"]
    content = described[str(status)].get("content", {})
    if schema := content.get("application/json", {}).get("schema"):
        return list(problems(msgspec.json.decode(body), schema, COMPONENTS))
    return [] if content or not body else ["a body is not described"]


def test_every_call_is_described_and_every_described_call_exists() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == set(CALLS)
    assert len(ROUTES) == len(described)


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere() -> None:
    assert {f"#/components/schemas/{name}" for name in COMPONENTS} >= _references(DOCUMENT)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_requests_are_described_as_they_are_read(route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert ("requestBody" in operation) == (route.body is not NoBody)
    assert ("security" in operation) == bool(route.callers)
    in_path = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
    assert all(f"{{{name}}}" in route.path for name in in_path)
    assert route.path.count("{") == len(in_path)
    if example := JSON_BODIES.get(f"{route.method} {route.path}"):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert list(problems(example, schema, COMPONENTS)) == []
        assert list(problems({}, schema, COMPONENTS)) != []


@pytest.mark.parametrize(("method", "path"), CALLS)
@runs
async def test_replies_and_refusals_are_as_described(method: str, path: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.service.bundles[DIGEST] = BUNDLE
        await served.call("POST", "/v1/register", served.tokens.worker, body=JSON_BODIES["POST /v1/register"])
        if path == "/v1/ticket":  # good once
            ticket = msgspec.json.encode({"ticket": served.edge.tickets.issue()})
            assert (await served.call(method, path, data=ticket)).status == 200
            return
        tokens = [served.tokens.admin, served.session(), served.tokens.read, None]
        sent = [(filled(path), body_of(method, path)), (filled(path), b"{"), (path.replace("{job}", "9"), b"")]
        statuses = set()
        for token in tokens:
            for target, body in sent:
                reply = await served.call(method, target, token, data=body)
                assert _problems_of_reply(method, path, reply.status, reply.body) == [], (target, reply.status)
                statuses.add(reply.status)
        assert statuses & {200, 204}


@runs
async def test_the_document_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call("GET", "/v1/openapi.json", served.tokens.read)
        assert msgspec.json.decode(reply.body) == DOCUMENT


def test_every_code_of_a_refusal_is_in_the_protocols_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    assert [code for code in HTTP_STATUS if f"`{code}`" not in page] == []


def test_every_call_is_in_the_protocols_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    assert [f"{method} {path}" for method, path in CALLS if f"`{method} {path}`" not in page] == []
