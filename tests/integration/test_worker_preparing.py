"""Real agents under a fake coordinator: attempts that wait for what they need before an executor gets them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapreduce.protocol.messages import Assignment, AttemptId, Commit, FileRange, Release, Split
from tests.support.attempts import SUM
from tests.support.documentserver import DocumentServer, serving_a_document
from tests.support.workers import Setting, Worker, setting_in


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """Reduce tasks are told to ask again for the list of runs, as while a lost map is made again."""
    with setting_in(tmp_path) as made:
        made.job(SUM)
        made.coordinator.has_runs = False
        yield made


def wait_in_vain(setting: Setting, *options: str) -> tuple[Worker, AttemptId]:
    """A worker that holds a reduce task and has asked for its runs."""
    worker = setting.worker(*options)
    reduce = setting.reduce_task(0)
    setting.coordinator.grant(reduce)
    setting.coordinator.wait_for(lambda: setting.coordinator.runs_refused > 0, "it asks for runs")
    return worker, reduce.id


def distant_map(setting: Setting, server: DocumentServer, index: int) -> Assignment:
    """A map task whose input has to be fetched."""
    size = len(server.content)
    part = FileRange(path=server.url, start=0, end=size, size=size, mtime_ns=0, validator=server.etag)
    attempt = AttemptId(job=1, kind="map", index=index, attempt=1, epoch=setting.coordinator.epoch)
    return Assignment(id=attempt, split=Split(input=0, files=(part,)), budget_bytes=16 << 20)


def test_a_reduce_task_that_waits_for_its_runs_is_given_back_when_asked_for(setting: Setting) -> None:
    _, reduce = wait_in_vain(setting)
    setting.coordinator.order(take_back=(reduce,))
    assert setting.coordinator.result(reduce) == Release(id=reduce, was_started=False)
    with serving_a_document() as server:
        lost = distant_map(setting, server, 0)
        setting.coordinator.grant(lost)
        assert isinstance(setting.coordinator.result(lost.id), Commit)


def test_a_map_task_does_not_wait_behind_a_reduce_task_that_waits_for_that_map(setting: Setting) -> None:
    _, reduce = wait_in_vain(setting, "--slots", "2")
    with serving_a_document() as server:
        lost = distant_map(setting, server, 0)
        setting.coordinator.grant(lost)
        assert isinstance(setting.coordinator.result(lost.id), Commit)
    setting.coordinator.complete_maps()
    assert isinstance(setting.coordinator.result(reduce), Commit)


def test_a_reduce_task_that_is_cancelled_while_it_waits_for_its_runs_is_never_run(setting: Setting) -> None:
    _, reduce = wait_in_vain(setting)
    coordinator = setting.coordinator
    coordinator.wait_for(lambda: bool(coordinator.beats), "it beats")
    coordinator.order(cancel=(reduce,))
    coordinator.wait_for(lambda: reduce not in coordinator.beats[-1][1].queued, "it is dropped")
    coordinator.complete_maps()
    other = setting.reduce_task(1)
    coordinator.grant(other)
    assert isinstance(coordinator.result(other.id), Commit)
    assert reduce not in coordinator.results
    assert not (setting.folder / "attempts-1" / f"{reduce.stem}.out").exists()


def test_on_sigterm_a_reduce_task_that_waits_for_its_runs_is_given_back_unstarted(setting: Setting) -> None:
    worker, reduce = wait_in_vain(setting)
    worker.signal(signal.SIGTERM)
    assert setting.coordinator.result(reduce) == Release(id=reduce, was_started=False)
    assert worker.exit_code() == 143
