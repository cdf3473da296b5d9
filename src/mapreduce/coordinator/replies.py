"""Answers as data, and how they become HTTP responses.

A call returns one of these; only streams (a part, the events) need the connection itself, see `downloads` and `events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from mapreduce.coordinator.events import Subscribe
from mapreduce.coordinator.refusals import Refused
from mapreduce.protocol import wire
from mapreduce.protocol.messages import ErrorReply

#: Instead of aiohttp's own header, which tells its version and Python's to everyone.
SERVER: Final = {"Server": "mapreduce"}
#: For what users wrote: a browser must not guess a type that it would run.
AS_IT_IS: Final = {**SERVER, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
JSON_TYPE: Final = "application/json"
SEQUENCE_HEADER: Final = "MapReduce-Sequence"


class Json(msgspec.Struct, frozen=True):
    """A message."""

    message: object
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Bytes(msgspec.Struct, frozen=True):
    """Bytes that the coordinator does not look into."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Part(msgspec.Struct, frozen=True):
    """A file, streamed."""

    path: Path
    is_link_followed: bool = False
    """Whether the file may be behind a symbolic link: inputs may, what we made ourselves is none."""


class Events(msgspec.Struct, frozen=True):
    """A stream of events after a sequence."""

    from_sequence: int
    subscribe: Subscribe


Answer = Json | Bytes | Part | Events | None
"""None is 204: done, nothing to say."""


def json_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] = SERVER) -> web.Response:
    """A response of encoded JSON."""
    return web.Response(body=body, status=status, headers={**headers, "Content-Type": JSON_TYPE})


def simple_response(answer: Json | Bytes | None) -> web.Response:
    """The response for an answer that is no stream."""
    match answer:
        case Json(message, headers):
            return json_response(wire.encode(message), headers={**SERVER, **headers} if headers else SERVER)
        case Bytes(body, content_type, headers):
            return web.Response(body=body, headers={**AS_IT_IS, **headers, "Content-Type": content_type})
        case None:
            return web.Response(status=204, headers=SERVER)


def error_body(refused: Refused, epoch: int) -> bytes:
    """The JSON body of every refusal. A message may quote what came over the wire, so it may be no valid text."""
    message = refused.message.encode("utf-8", "replace").decode()
    return wire.encode(ErrorReply(code=refused.code, message=message, epoch=epoch))


def error_response(refused: Refused, epoch: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """The response of a refused call."""
    extra = {"WWW-Authenticate": "Bearer"} if refused.code == "unauthorized" else {}
    return json_response(
        error_body(refused, epoch), status=refused.http_status, headers={**SERVER, **extra, **(headers or {})}
    )
