"""The reader of what a job left: who may ask, and that nothing but parts and logs is given."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mapreduce.coordinator.reader import Places, serve

TOKEN = "a-token-of-this-pod"


@dataclass
class Serving:
    """A reader of two folders."""

    output: Path
    state: Path
    port: int = 0

    def ask(self, path: str, *, token: str = TOKEN, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers={"X-MapReduce-Token": token, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    output, state = tmp_path / "out", tmp_path / "state"
    logs = state / "jobs" / "1" / "logs"
    logs.mkdir(parents=True)
    output.mkdir()
    (output / "part-00000").write_bytes(b"a\t1\nb\t2\n")
    (output / "secret").write_text("not a part")
    (output / "part-00001").symlink_to(output / "secret")
    listed: dict[str, object] = {"part-00000": {}, "part-00001": {}, "../state/token": {}, ".hidden": {}}
    (output / "_SUCCESS").write_text(json.dumps({"parts": listed}))
    (state / "token").write_text("the token of another process")
    (logs / "map-00003.e1.a2.log").write_bytes(b"said")
    (logs / "map-00000.e1.a1.log").write_bytes(b"")
    serving = Serving(output, state)
    loop, stop, listening = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    def heard(port: int) -> None:
        serving.port = port
        listening.set()

    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    running = serve(Places(output, state), digest, ("127.0.0.1", 0), stop=stop, listening=heard)
    thread = threading.Thread(target=lambda: loop.run_until_complete(running))
    thread.start()
    try:
        assert listening.wait(30)
        yield serving
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_parts_and_success_are_given_whole_and_in_ranges(serving: Serving) -> None:
    assert serving.ask("/v1/jobs/1/parts/part-00000") == (200, b"a\t1\nb\t2\n")
    assert serving.ask("/v1/jobs/1/parts/part-00000", Range="bytes=4-6") == (206, b"b\t2")
    assert json.loads(serving.ask("/v1/jobs/1/parts/_SUCCESS")[1])["parts"]


def test_only_names_that_can_be_parts_are_listed(serving: Serving) -> None:
    assert json.loads(serving.ask("/v1/jobs/1/parts")[1]) == ["part-00000", "part-00001"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/1/parts/secret",
        "/v1/jobs/1/parts/part-00001",
        "/v1/jobs/1/parts/..%2Fstate%2Ftoken",
        "/v1/jobs/1/parts/%2Fetc%2Fpasswd",
        "/v1/jobs/1/logs/..%2F..%2F..%2Ftoken",
        "/v1/jobs/2/parts",
        "/v1/jobs",
        "/token",
    ],
)
def test_nothing_else_is_given_whatever_success_lists(serving: Serving, path: str) -> None:
    status, body = serving.ask(path)
    assert status == 404
    assert json.loads(body)["code"] == "not-found"


def test_logs_are_given_by_task(serving: Serving) -> None:
    assert json.loads(serving.ask("/v1/jobs/1/logs")[1]) == ["map-3"]
    assert serving.ask("/v1/jobs/1/logs/map-3") == (200, b"==> map-3/attempt-2 <==\nsaid\n")


@pytest.mark.parametrize("token", ["", "wrong", hashlib.sha256(TOKEN.encode()).hexdigest()])
def test_who_has_no_token_learns_nothing_and_its_digest_is_none(serving: Serving, token: str) -> None:
    assert serving.ask("/v1/jobs/1/parts/part-00000", token=token)[0] == 401
    assert serving.ask("/none", token=token)[0] == 401
    assert serving.ask("/livez", token=token) == (200, b"ok\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_reads(serving: Serving, method: str) -> None:
    assert serving.ask("/v1/jobs/1/parts/part-00000", method=method)[0] == 405
    assert (serving.output / "part-00000").exists()


def test_without_success_there_is_no_result(serving: Serving) -> None:
    (serving.output / "_SUCCESS").unlink()
    status, body = serving.ask("/v1/jobs/1/parts")
    assert status == 404
    assert json.loads(body)["message"].startswith("There is no finished result here: the folder has no _SUCCESS")
