"""Events, parts, and what becomes of a call whose client leaves or whose server ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from mapreduce.coordinator.auth import make_tokens
from mapreduce.coordinator.http import make_app, serve
from mapreduce.coordinator.limits import HttpSettings
from tests.support.edge import NOW_AT, Served, serving
from tests.support.examplecalls import JSON_BODIES, SPEAKER
from tests.support.fakeservice import FakeService
from tests.support.running import runs

PART_PATH = "/v1/jobs/1/parts/part-00000"


async def _three_events(from_sequence: int) -> AsyncIterator[tuple[int, bytes]]:
    for sequence in range(from_sequence + 1, 4):
        yield sequence, b'{"sequence":%d}' % sequence


@pytest.mark.parametrize(
    ("query", "last_event_id", "first"), [("", None, 1), ("?from=1", None, 2), ("", "2", 3), ("?from=1", "2", 3)]
)
@runs
async def test_a_stream_of_events_goes_on_after_the_last_one_seen(
    query: str, last_event_id: str | None, first: int, tmp_path: Path
) -> None:
    async with serving(tmp_path) as served:
        served.service.subscription = _three_events
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        reply = await served.call("GET", "/v1/events" + query, served.tokens.read, headers=headers)
        expected = "".join(f'id: {number}\ndata: {{"sequence":{number}}}\n\n' for number in range(first, 4))
        assert (reply.body.decode(), reply.headers["Content-Type"]) == (expected, "text/event-stream")


@runs
async def test_a_quiet_stream_shows_that_it_lives_and_ends_with_the_server(tmp_path: Path) -> None:
    async def nothing(_: int) -> AsyncIterator[tuple[int, bytes]]:
        await asyncio.Event().wait()
        yield 0, b""

    async with serving(tmp_path, HttpSettings(ping_s=0.05)) as served:
        served.service.subscription = nothing
        headers = {"Authorization": f"Bearer {served.tokens.read}"}
        async with served.client.get(served.url + "/v1/events", headers=headers) as response:
            assert await response.content.readline() == b": ping\n"
            await served.edge.end()
            assert (await response.read()).replace(b": ping\n\n", b"") == b"\n"


@runs
async def test_viewers_beyond_the_cap_are_told_to_come_later(tmp_path: Path) -> None:
    async with serving(tmp_path, HttpSettings(viewer_count=0)) as served:
        assert (await served.call("GET", "/v1/events", served.tokens.read)).error().code == "not-ready"


@runs
async def test_a_part_is_sent_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.service.part.write_bytes(os.urandom(9 << 20))
        reply = await served.call("GET", PART_PATH, served.tokens.read)
        assert reply.body == served.service.part.read_bytes()
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


@runs
async def test_an_empty_part_is_sent(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.service.part.write_bytes(b"")
        assert (await served.call("GET", PART_PATH, served.tokens.read)).body == b""


@runs
async def test_a_range_of_a_part_is_sent(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        content = served.service.part.read_bytes()
        reply = await served.call("GET", PART_PATH, served.tokens.read, headers={"Range": "bytes=100-199"})
        assert (reply.status, reply.body) == (206, content[100:200])
        assert reply.headers["Content-Range"] == f"bytes 100-199/{len(content)}"


@runs
async def test_a_range_beyond_the_part_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call("GET", PART_PATH, served.tokens.read, headers={"Range": "bytes=999999-"})
        assert (reply.status, reply.error().code) == (416, "range-not-satisfiable")


@runs
async def test_a_part_whose_name_no_job_has_is_not_looked_for_on_disk(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.call("GET", "/v1/jobs/1/parts/the-part", served.tokens.read)
        assert (reply.status, reply.error().code) == (404, "not-found")


@runs
async def test_a_compressed_twin_of_a_part_is_never_sent_in_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        served.service.part.with_name("the-part.gz").write_bytes(b"not it")
        reply = await served.call("GET", PART_PATH, served.tokens.read, headers={"Accept-Encoding": "gzip"})
        assert reply.body == served.service.part.read_bytes()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "gone"])
@runs
async def test_what_is_no_regular_file_is_not_sent(kind: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        part = served.service.part
        part.unlink()
        if kind == "link":
            (tmp_path / "secret").write_text("secret")
            part.symlink_to(tmp_path / "secret")
        elif kind == "folder":
            part.mkdir()
        elif kind == "pipe":
            os.mkfifo(part)
        reply = await served.call("GET", PART_PATH, served.tokens.read)
        assert (reply.status, reply.error().code) == (404, "not-found")


@runs
async def test_a_reader_that_stalls_loses_its_connection_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, HttpSettings(stall_s=0.2)) as served:
        with served.service.part.open("wb") as file:
            file.truncate(64 << 20)
        headers = {"Authorization": f"Bearer {served.tokens.read}"}
        async with served.client.get(served.url + PART_PATH, headers=headers) as response:
            while served.edge._timers:
                assert (await served.call("GET", "/livez")).status == 200
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert caplog.records == []


@runs
async def test_a_long_poll_ends_when_its_client_leaves(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(_: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(tmp_path) as served:
        served.service.before = wait
        body = {**SPEAKER, "call": 1, "want": 1, "wait_s": 60}
        call = asyncio.create_task(served.call("POST", "/v1/next", served.session(), body=body))
        await begun.wait()
        call.cancel()
        await ended.wait()


@runs
async def test_a_submission_is_carried_out_though_its_client_leaves(tmp_path: Path) -> None:
    begun, client_is_gone, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(_: str) -> None:
        begun.set()
        await client_is_gone.wait()
        done.set()

    async with serving(tmp_path) as served:
        served.service.before = wait
        body = JSON_BODIES["POST /v1/jobs"]
        call = asyncio.create_task(served.call("POST", "/v1/jobs", served.tokens.admin, body=body))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        assert (await served.call("GET", "/livez")).status == 200
        client_is_gone.set()
        await done.wait()


@runs
async def test_the_end_of_the_server_answers_long_polls_at_once(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def wait(_: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    service, tokens = FakeService(tmp_path / "none"), make_tokens()
    service.before = wait
    edge = make_app(service, tokens, now_at=lambda: NOW_AT)
    runner, port = await serve(edge, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as client:
        served = Served(service, edge, tokens, port, client)
        call = asyncio.create_task(served.call("GET", "/v1/jobs/1?wait_s=60", tokens.read))
        await begun.wait()
        await runner.cleanup()
        assert (await call).error().code == "not-ready"
        with pytest.raises(aiohttp.ClientConnectorError):
            await served.call("GET", "/livez")


@runs
async def test_a_port_in_use_is_an_error_of_the_system(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        other = make_app(served.service, served.tokens)
        with pytest.raises(OSError, match="in use"):
            await serve(other, "127.0.0.1", served.port)
