"""A bad link between a worker and its coordinator: no wrong output, and nothing run again that need not be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from mapreduce.coordinator.statefiles import read_endpoint
from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import CoordinatorClient, FolderEndpoint
from tests.support.aftermath import Story, check_no_leftovers, check_result, committed_in, read_story, until_cleaned_up
from tests.support.killing import Program, kill, start_coordinator, start_worker, submit, until_quiet
from tests.support.mrruns import until
from tests.support.steppedjobs import SteppedJob, stepped_job
from tests.support.tcpproxy import BadLink, Request, address_of, ask, bad_link


@dataclass
class Stage:
    """A coordinator, and worker-a behind a link that may be bad."""

    job: SteppedJob
    link: BadLink
    coordinator: Program

    @property
    def state(self) -> str:
        client = CoordinatorClient(FolderEndpoint(self.job.root / "state"), deadline_s=5)
        try:
            return client.status(1)[0].state
        except MapReduceError:
            return ""
        finally:
            client.close()

    def start_worker(self) -> Program:
        where = ["--coordinator", self.link.url, "--token-file", "state/token"]
        return Program(self.job, ["worker", *where, "--scratch", "scratch", "--name", "worker-a"])

    def committed(self) -> set[str]:
        return committed_in(self.job.root / "state")

    def complete(self) -> Story:
        until(lambda: self.state == "Complete", "the end of the job", self.job.story)
        story = check_result(self.job, self.job.root / "state")
        until_cleaned_up(self.job.root / "state")
        for process in reversed(self.job.started):
            if process.poll() is None:
                process.terminate()
        until_quiet(self.job.root)
        check_no_leftovers(self.job, self.job.out, self.job.root / "state", self.job.root / "scratch")
        return story


@pytest.fixture
def stage() -> Iterator[Stage]:
    with stepped_job() as job:
        coordinator = start_coordinator(job)
        endpoint = read_endpoint(job.root / "state")
        assert endpoint is not None
        with bad_link(endpoint.url) as link:
            yield Stage(job, link, coordinator)


def _is_committed(stage: Stage, task: str) -> bool:
    return task in stage.committed()


def told_by_workers(stage: Stage) -> list[str]:
    """The records that workers cause by what they say; grants come by themselves."""
    kinds = read_story(stage.job.root / "state").kinds
    return [kind for kind in kinds if kind in {"TasksCommitted", "AttemptFailed", "WorkerRegistered"}]


def check_each_task_ran_once(stage: Stage, story: Story) -> None:
    assert set(stage.job.begun().values()) == {1}
    assert not [name for name in story.released if name.endswith("LOST")]
    assert not story.failed


@pytest.mark.parametrize("direction", ["both ways", "towards", "back"])
def test_a_partition_shorter_than_the_lease_costs_nothing(stage: Stage, direction: str) -> None:
    stage.job.close_gate("map-2", "end")
    stage.start_worker()
    submit(stage.job)
    stage.job.until_at("map-2", "end")
    for way in {"both ways": (stage.link.towards, stage.link.back), "towards": (stage.link.towards,)}.get(
        direction, (stage.link.back,)
    ):
        way.clear()
    earlier = len(stage.link.requests)
    stage.job.open_gates()
    # a heartbeat at least; the report may have to wait for the reply to a call that is under way
    until(lambda: len(stage.link.requests) > earlier, "a request on the bad link", stage.job.story)
    if direction == "back":
        stage.link.cut()  # what waits for its reply never gets it
    else:
        assert "map-2" not in stage.committed()
    stage.link.towards.set()
    stage.link.back.set()
    check_each_task_ran_once(stage, stage.complete())


def test_a_partition_longer_than_the_lease_moves_the_task_and_the_healed_worker_joins_again(stage: Stage) -> None:
    stage.job.close_gate("map-2", "end")
    worker = stage.start_worker()
    submit(stage.job, "--lease", "1s")
    stage.job.until_at("map-2", "end")
    stage.job.let_say("map-2", 1, "never=read")
    stage.link.towards.clear()
    stage.job.close_gate("map-5")
    start_worker(stage.job, "worker-b", "--slots", 2)  # one of them may stand at map-5 before map-2 is free
    stage.job.open_gate("map-2", "end")
    until(lambda: "map-2" in stage.committed(), "the map by the other worker", stage.job.story)
    stage.job.until_at("map-5")
    # its leases end first: heard again before it is given up, it would go on without joining again
    until(lambda: "WorkerLeft" in read_story(stage.job.root / "state").kinds, "the end of the silence", stage.job.story)
    stage.link.towards.set()
    until(lambda: worker.said.count("joined the coordinator") == 2, "its return", stage.job.story)
    stage.job.open_gates()
    story = stage.complete()
    assert story.committers["map-2"] == "worker-b a2"
    assert story.released["map-2 LOST"] == 1


def test_a_lost_reply_to_a_commit_is_asked_for_again_and_the_commit_counts_once(stage: Stage) -> None:
    lost: list[Request] = []

    def loses(request: Request) -> bool:
        is_report = b'"finished":[{' in request.raw and len(lost) < 6
        lost.extend([request] if is_report else [])
        return is_report

    stage.link.loses_reply = loses
    stage.start_worker()
    submit(stage.job)
    story = stage.complete()
    assert len(lost) == 6
    check_each_task_ran_once(stage, story)


def test_connections_that_break_again_and_again_cost_nothing(stage: Stage) -> None:
    stage.job.close_gate("map-5")
    stage.start_worker()
    submit(stage.job)
    for task in [f"map-{index}" for index in range(5)]:
        until(partial(_is_committed, stage, task), "progress", stage.job.story)
        stage.link.cut()
    stage.job.open_gates()
    check_each_task_ran_once(stage, stage.complete())


def test_every_request_doubled_has_the_effect_of_one(stage: Stage) -> None:
    stage.link.doubles = True
    stage.start_worker()
    submit(stage.job)
    story = stage.complete()
    check_each_task_ran_once(stage, story)
    assert set(story.committed.values()) == {1}


def test_a_slow_link_is_slow_and_nothing_else(stage: Stage) -> None:
    stage.link.delay_s, stage.link.bytes_per_s = 0.02, 40_000
    stage.start_worker()
    submit(stage.job, "--lease", "10s")
    check_each_task_ran_once(stage, stage.complete())


def test_a_captured_request_that_is_sent_again_changes_nothing(stage: Stage) -> None:
    stage.job.close_gate("reduce-0")
    stage.start_worker()
    submit(stage.job)
    stage.job.until_at("reduce-0")
    until(lambda: len(stage.committed()) >= 6, "all maps", stage.job.story)
    captured = [sent for sent in stage.link.requests if sent.path in {"/v1/next", "/v1/register", "/v1/heartbeat"}]
    reports = [sent for sent in captured if b'"finished":[{' in sent.raw]
    assert reports
    before = told_by_workers(stage)
    for request in reports:
        reply = ask(stage.link.upstream, request.raw)
        assert reply.startswith((b"HTTP/1.1 200", b"HTTP/1.1 409")), reply
        forged = request.raw.replace(b"Authorization: Bearer ", b"Authorization: Bearer x")
        assert ask(stage.link.upstream, forged).startswith(b"HTTP/1.1 401")
    assert told_by_workers(stage) == before
    kill([stage.coordinator.process.pid])
    start_coordinator(stage.job)
    endpoint = read_endpoint(stage.job.root / "state")
    assert endpoint is not None
    stage.link.upstream = address_of(endpoint.url)  # it may have got another port
    for request in reports:  # a session of the incarnation before
        assert ask(stage.link.upstream, request.raw).startswith(b"HTTP/1.1 409")
    stage.job.open_gates()
    check_each_task_ran_once(stage, stage.complete())
