"""What one caller may take from the coordinator: bytes, time, connections. And that the others do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mapreduce.coordinator.limits import HttpSettings
from mapreduce.protocol.wire import BODY_LIMIT_BYTES, CODE_LIMIT_BYTES, LOG_LIMIT_BYTES, WORKER_BODY_LIMIT_BYTES
from tests.support.edge import Served, close, serving
from tests.support.examplecalls import DIGEST, JSON_BODIES, filled
from tests.support.running import runs

LOG = filled("/v1/jobs/{job}/attempts/{stem}/log")


def _head(served: Served, line: str, token: str, *more: str) -> bytes:
    lines = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", f"Authorization: Bearer {token}", *more, "", ""]
    return "\r\n".join(lines).encode()


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


@pytest.mark.parametrize(
    ("path", "limit_bytes"),
    [
        ("POST /v1/jobs", BODY_LIMIT_BYTES),
        ("POST /v1/next", WORKER_BODY_LIMIT_BYTES),
        (f"PUT /v1/code/{DIGEST}", CODE_LIMIT_BYTES),
        (f"PUT {LOG}", LOG_LIMIT_BYTES),
        ("POST /v1/jobs", 1 << 30),
    ],
)
@runs
async def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(
    path: str, limit_bytes: int, tmp_path: Path
) -> None:
    async with serving(tmp_path) as served:
        token = served.session() if "next" in path or "log" in path else served.tokens.admin
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, path, token, f"Content-Length: {limit_bytes + 1}", "Expect: 100-continue"))
        assert await _status(reader) == 413
        await close(writer)


@runs
async def test_endless_chunks_are_refused_at_the_limit(tmp_path: Path) -> None:
    sent_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent_bytes
        while True:
            sent_bytes += 1 << 16
            yield bytes(1 << 16)

    async with serving(tmp_path, HttpSettings(lingering_s=0.1)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, f"PUT {LOG}", served.session(), "Transfer-Encoding: chunked"))
        answer = asyncio.create_task(_status(reader))
        async for chunk in endless():
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
            if answer.done():
                break
        assert await answer == 413
        assert served.service.log_of_attempt == {}
        await close(writer)


@runs
async def test_a_body_of_the_largest_size_is_taken(tmp_path: Path) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * (LOG_LIMIT_BYTES // 4)

    async with serving(tmp_path) as served:
        whole = await served.call("PUT", LOG, served.session(), data=b"x" * LOG_LIMIT_BYTES)
        chunked = await served.call("PUT", LOG, served.session(), data=in_chunks())
        one_more = await served.call("PUT", LOG, served.session(), data=b"x" * (LOG_LIMIT_BYTES + 1))
        assert (whole.status, chunked.status, one_more.status) == (204, 204, 413)


@runs
async def test_a_body_that_trickles_is_cut_off_while_others_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(body_deadline_s=0.2, lingering_s=0.05)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_head(served, "POST /v1/jobs", served.tokens.admin, "Content-Length: 100") + b"{")
        answer = asyncio.create_task(_status(reader))
        served_meanwhile = 0
        while not answer.done():
            assert (await served.call("GET", "/v1/jobs", served.tokens.read)).status == 200
            served_meanwhile += 1
        assert await answer == 408
        assert served_meanwhile > 1
        await close(writer)


@runs
async def test_headers_that_trickle_end_with_the_keep_alive_time(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(keepalive_s=0.2)) as served:
        assert await served.raw(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""


@runs
async def test_an_idle_connection_ends_with_the_keep_alive_time(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(keepalive_s=0.2)) as served:
        answer = await served.raw(f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
        assert answer.endswith(b"ok\n")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "zstd", "gzip, identity"])
@runs
async def test_a_compressed_body_is_refused(encoding: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call(
            "POST", "/v1/jobs", served.tokens.admin, data=b"\x1f\x8b", headers={"Content-Encoding": encoding}
        )
        assert reply.error().code == "unsupported-encoding"


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\n" + "".join(f"X-{number}: 1\r\n" for number in range(10_000)) + "\r\n",
        "GET / HTTP/1.1\r\nX: " + "y" * 100_000 + "\r\n\r\n",
        "GET /" + "y" * 100_000 + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["10 000 headers", "long header", "long path", "version", "two lengths", "smuggling", "negative", "TLS"],
)
@runs
async def test_what_is_no_proper_http_gets_a_short_json_error_and_the_end(head: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        answer = await served.raw(head.encode("latin-1"))
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert b'{"code":"bad-request"' in answer
        assert len(answer) < 1_000
        assert (await served.call("GET", "/livez")).status == 200


@runs
async def test_broken_chunks_are_a_bad_request(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(lingering_s=0.05)) as served:
        head = _head(served, "POST /v1/jobs", served.tokens.admin, "Transfer-Encoding: chunked")
        assert b" 400 " in (await served.raw(head + b"zz\r\nxx\r\n")).partition(b"\r\n")[0]


@runs
async def test_connections_beyond_the_cap_of_an_address_are_turned_away_until_one_ends(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(peer_connection_count=2)) as served:
        held = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
        turned_away = await served.raw(b"")
        assert turned_away.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"not-ready"' in turned_away
        for _, writer in held:
            await close(writer)
        while (await served.raw(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 503 "):
            pass  # until the server has noticed
        assert (await served.call("GET", "/livez")).status == 200


@runs
async def test_connections_beyond_the_cap_in_all_are_turned_away(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(connection_count=1)) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        assert (await served.raw(b"")).startswith(b"HTTP/1.1 503 ")
        await close(writer)


@runs
async def test_a_call_that_hangs_is_answered_after_its_deadline(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def hang(_: str) -> None:
        await never.wait()

    async with serving(tmp_path, HttpSettings(reply_deadline_s=0.1)) as served:
        served.service.before = hang
        body = JSON_BODIES["POST /v1/next"]
        reply = await served.call("POST", "/v1/next", served.session(), body=body)
        assert (reply.status, reply.error().code) == (503, "not-ready")


@runs
async def test_a_long_poll_may_last_as_long_as_it_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(reply_deadline_s=0.05)) as served:
        changed = asyncio.Event()

        async def until_changed(_: str) -> None:
            asyncio.get_running_loop().call_later(0.2, changed.set)
            await changed.wait()

        served.service.before = until_changed
        reply = await served.call("GET", "/v1/jobs/1?wait_s=5&after_sequence=3", served.tokens.read)
        assert (reply.status, reply.headers["MapReduce-Sequence"]) == (200, "7")
        assert served.service.calls == [("status", (1, 5.0, 3))]


@runs
async def test_a_large_body_is_asked_for_only_when_it_is_welcome(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        more = ("Content-Length: 6", "Expect: 100-continue")
        for token, first in ((served.session(), b"HTTP/1.1 100 Continue\r\n"), ("x" * 43, b"HTTP/1.1 401 ")):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(_head(served, f"PUT {LOG}", token, *more))
            assert (await reader.readline()).startswith(first)
            if b"100" in first:
                await reader.readline()
                writer.write(b"hello\n")
                assert await _status(reader) == 204
            await close(writer)
