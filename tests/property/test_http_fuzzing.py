"""Whatever is sent, the answer is an answer: no 500, no crash, and the next caller is served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mapreduce.coordinator.limits import HttpSettings
from tests.support.edge import Served, close, serving
from tests.support.examplecalls import JSON_BODIES

CALLS = sorted(JSON_BODIES)
FUZZING = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=1 << 53, max_value=1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@dataclass(frozen=True, slots=True)
class Running:
    runner: asyncio.Runner
    served: Served

    def post(self, call: str, body: bytes) -> int:
        path = call.removeprefix("POST ")
        token = self.served.tokens.admin if path in ("/v1/register", "/v1/jobs") else self.served.session()
        return self.runner.run(self.served.call("POST", path, token, data=body)).status


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        limits = HttpSettings(lingering_s=0.05, keepalive_s=5)
        served = runner.run(stack.enter_async_context(serving(tmp_path_factory.mktemp("http"), limits)))
        yield Running(runner, served)
        runner.run(stack.aclose())


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = _with(value[place[0]], place[1:], new)
    return copy


@st.composite
def spoilt_bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good body of some call, with something else in one place."""
    call = draw(st.sampled_from(CALLS))
    body = msgspec.json.decode(msgspec.json.encode(JSON_BODIES[call]))
    place = draw(st.sampled_from(sorted(_places(body), key=repr)))
    return call, msgspec.json.encode(_with(body, place, draw(documents)))


def _may_be_answered(call: str) -> set[int]:
    """A ticket is a credential in a body: one that nobody was given is 401, as a wrong token is."""
    return {200, 400, 403, 409} | ({401} if call == "POST /v1/ticket" else set())


@FUZZING
@given(spoilt_bodies())
@example(("POST /v1/ticket", b'{"ticket":"0"}'))
def test_a_spoilt_body_is_taken_or_refused(running: Running, sent: tuple[str, bytes]) -> None:
    assert running.post(*sent) in _may_be_answered(sent[0])


@FUZZING
@given(st.sampled_from(CALLS), st.binary(max_size=200))
@example("POST /v1/ticket", b'{"ticket":"0"}')
def test_any_bytes_are_taken_or_refused(running: Running, call: str, body: bytes) -> None:
    assert running.post(call, body) in _may_be_answered(call)


@FUZZING
@given(st.text(st.characters(max_codepoint=0x2FF), max_size=60))
def test_any_path_is_found_or_refused(running: Running, path: str) -> None:
    line = path.translate({ord(char): None for char in "\r\n \t"}).encode("utf-8", "surrogatepass")
    head = b"GET /v1/%b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n"
    served = running.served
    answer = running.runner.run(served.raw(head % (line, served.port, served.tokens.read.encode())))
    assert answer[9:12] in (b"200", b"400", b"403", b"404", b"405")


@FUZZING
@given(st.binary(max_size=300))
def test_any_bytes_on_the_socket_leave_the_server_serving(running: Running, sent: bytes) -> None:
    async def throw() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.served.port)
        writer.write(sent)
        writer.write_eof()
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            await close(writer)

    answer = running.runner.run(throw())
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert running.runner.run(running.served.call("GET", "/livez")).status == 200
