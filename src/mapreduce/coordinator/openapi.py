"""The protocol as an OpenAPI 3.1 document, made of the table of calls and the types of its messages. Pure.

Nothing is described twice: texts come from the routes' summaries and the messages' docstrings and bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from mapreduce import typed
from mapreduce.coordinator.auth import TOKEN_HEADER
from mapreduce.coordinator.refusals import HTTP_STATUS, RefusalCode
from mapreduce.coordinator.replies import SEQUENCE_HEADER
from mapreduce.coordinator.routes import AnyRoute, NoBody
from mapreduce.protocol.messages import PROTOCOL_VERSION, ErrorReply, JobStatus

Json = dict[str, Any]

#: What every call that takes a token, parameters or a body may be refused with.
_BY_TOKEN: Final[tuple[RefusalCode, ...]] = ("unauthorized", "forbidden", "epoch-changed")
_BY_INPUT: Final[tuple[RefusalCode, ...]] = ("bad-request",)
_BY_BODY: Final[tuple[RefusalCode, ...]] = ("timeout", "too-large", "unsupported-encoding")
_ALWAYS: Final[tuple[RefusalCode, ...]] = ("internal", "not-ready")

_REF: Final = "#/components/schemas/{name}"


def openapi_document(routes: Iterable[AnyRoute]) -> Json:
    """The document, as JSON-like data."""
    routes = tuple(routes)
    messages = [kind for route in routes for kind in (route.body, route.reply) if _is_message(kind)]
    kinds = list(dict.fromkeys([*messages, ErrorReply]))
    schemas, components = typed.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MapReduce coordinator",
            "version": str(PROTOCOL_VERSION),
            "description": "Between workers, clients and a coordinator. Unknown fields are ignored by both sides.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin, worker or read token, or the session that `register` answers with.",
                },
                "header": {
                    "type": "apiKey",
                    "in": "header",
                    "name": TOKEN_HEADER,
                    "description": "The same, where something on the way keeps `Authorization` for itself.",
                },
            },
        },
    }


def refusals_of(route: AnyRoute) -> tuple[RefusalCode, ...]:
    """Everything that a call may be refused with, in the order of the list of codes."""
    codes: set[RefusalCode] = {*route.refusals, *_ALWAYS}
    if route.callers:
        codes.update(_BY_TOKEN)
    if route.parameters.__struct_fields__:
        codes.update(_BY_INPUT, ("not-found",))
    if route.body is not NoBody:
        codes.update(_BY_INPUT, _BY_BODY)
    return tuple(code for code in HTTP_STATUS if code in codes)


def _is_message(kind: object) -> bool:
    """Whether a body or reply is JSON of a type, and not bytes, a stream or nothing."""
    return kind not in (NoBody, bytes) and not isinstance(kind, str)


def _operation(route: AnyRoute, schema_of: dict[Any, Json]) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "responses": {**_reply(route, schema_of), **_errors(route, schema_of)},
    }
    if route.callers:
        operation["security"] = [{scheme: sorted(route.callers)} for scheme in ("token", "header")]
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not NoBody:
        kind = "application/octet-stream" if route.body is bytes else "application/json"
        content = {kind: {"schema": schema_of[route.body]} if route.body in schema_of else {}}
        description = f"At most {route.body_limit_bytes} bytes."
        operation["requestBody"] = {"required": True, "description": description, "content": content}
    return operation


def _operation_id(route: AnyRoute) -> str:
    return f"{route.method.lower()}-{re.sub('[^a-z0-9]+', '-', route.path.removeprefix('/v1')).strip('-')}"


def _parameters(route: AnyRoute) -> list[Json]:
    """Each field of the parameters' type, where it comes in the request."""
    _, components = typed.schema_components([route.parameters], ref_template=_REF)
    schema = components[route.parameters.__name__]
    parameters = []
    for name, described in schema.get("properties", {}).items():
        text = described.get("description")
        place = "header" if name in route.headers else "path" if f"{{{name}}}" in route.path else "query"
        parameters.append(
            {
                "name": route.headers.get(name, name),
                "in": place,
                "required": name in schema.get("required", ()),
                "schema": {key: value for key, value in described.items() if key != "description"},
                **({"description": text} if text else {}),
            }
        )
    return parameters


def _reply(route: AnyRoute, schema_of: dict[Any, Json]) -> Json:
    if route.reply == "no content":
        return {"204": {"description": "Done."}}
    if isinstance(route.reply, str):
        reply: Json = {"description": route.summary, "content": {route.reply.partition(";")[0]: {}}}
        return {"200": reply, "206": reply} if "range-not-satisfiable" in route.refusals else {"200": reply}
    reply = {"description": route.summary, "content": {"application/json": {"schema": schema_of[route.reply]}}}
    if route.reply is JobStatus and route.method == "GET":
        text = "The status is of this sequence; give it as after_sequence to wait for the next one."
        reply["headers"] = {SEQUENCE_HEADER: {"description": text, "schema": {"type": "integer"}}}
    return {"200": reply}


def _errors(route: AnyRoute, schema_of: dict[Any, Json]) -> Json:
    """One response for each status, naming the codes that have it."""
    codes_of: dict[int, list[str]] = {}
    for code in refusals_of(route):
        codes_of.setdefault(HTTP_STATUS[code], []).append(code)
    content = {"application/json": {"schema": schema_of[ErrorReply]}}
    return {str(status): {"description": ", ".join(codes), "content": content} for status, codes in codes_of.items()}
