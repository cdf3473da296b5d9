"""Runs fetched from other workers: whose fault it is when one cannot be."""

from __future__ import annotations

import errno
import http.client
import os
from pathlib import Path

import pytest

from mapreduce.dataplane.groups import make_groups
from mapreduce.dataplane.runs import RunHeader
from mapreduce.dataplane.runwriter import RunWriter
from mapreduce.dataplane.values import Codec
from mapreduce.errors import Unauthorized
from mapreduce.protocol.messages import NOBODY_SERVES, AttemptId, RunRef
from mapreduce_worker.agent.fetch import FetchFailed, Target, fetch_runs
from mapreduce_worker.agent.jobs import RunsLost
from mapreduce_worker.executor.messages import Source

MAP = AttemptId(job=1, kind="map", index=0, attempt=1, epoch=1)


class Kept:
    """What keeps the replica of one run."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def copy(self, run: RunRef, start: int, end: int, file: Target) -> None:
        del run
        file.write(start, self._content[start:end])

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_connections(monkeypatch, errno.ECONNREFUSED)


def refuse_connections(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_connection: http.client.HTTPConnection) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(http.client.HTTPConnection, "connect", fail)


def fetch(
    tmp_path: Path, *, has_replica: bool = True, url: str = "http://other/run", token: str = "good"
) -> tuple[Source, ...]:
    made = tmp_path / "made"
    with RunWriter(made, RunHeader(1, 1, 0, 1), 8, Codec()) as writer:
        writer.write(0, make_groups(["a"], [[1]]))
        facts = writer.close()
    run = RunRef(map=MAP, digest=facts.digest, bytes=facts.size, url=url, has_replica=has_replica)
    content = made.read_bytes()
    into, own = tmp_path / "into", tmp_path / "own"
    return fetch_runs([run], 0, into=into, own=own, token=token, replicas=lambda: Kept(content))


def test_a_run_whose_worker_does_not_answer_is_read_from_its_replica(tmp_path: Path) -> None:
    [source] = fetch(tmp_path)
    assert Path(source.path).read_bytes() == (tmp_path / "made").read_bytes()


@pytest.mark.parametrize(("url", "is_own_read"), [("http://self/run", True), (f"{NOBODY_SERVES}/run", False)])
def test_a_run_of_this_worker_is_read_where_it_is_unless_only_the_replica_counts(
    tmp_path: Path, url: str, is_own_read: bool
) -> None:
    own = tmp_path / "own" / f"{MAP.stem}.run"
    own.parent.mkdir()
    own.write_bytes(b"rotten")
    [source] = fetch(tmp_path, url=url)
    assert (source.path == str(own)) == is_own_read


def test_a_run_that_nobody_has_is_lost(tmp_path: Path) -> None:
    with pytest.raises(RunsLost) as told:
        fetch(tmp_path, has_replica=False)
    assert [(lost.map, lost.problem) for lost in told.value.lost] == [
        (MAP, "its worker does not answer: Connection refused")
    ]


def test_a_worker_that_is_between_two_coordinators_asks_nobody_and_finds_nothing_lost(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized):
        fetch(tmp_path, has_replica=False, token="")


@pytest.mark.parametrize("harm", ["open", "write"])
def test_a_file_that_cannot_be_written_here_says_nothing_of_the_run(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "into" / f"{MAP.stem}.run"
    path.parent.mkdir()
    if harm == "open":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    with pytest.raises(FetchFailed, match="Look at this worker's disk"):
        fetch(tmp_path)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_connection_that_this_worker_has_no_means_to_open_says_nothing_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_connections(monkeypatch, number)
    with pytest.raises(FetchFailed, match="Look at this worker's limits"):
        fetch(tmp_path)
