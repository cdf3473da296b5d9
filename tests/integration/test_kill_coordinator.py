"""A coordinator killed, stopped or overtaken under workers that were started by hand; and workers that are stopped.

Workers keep what they run and come back with it; who was away too long is refused and nothing of his is ever read.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from mapreduce.coordinator.statefiles import read_endpoint
from mapreduce.errors import MapReduceError
from mapreduce.protocol.client import CoordinatorClient, FolderEndpoint
from mapreduce.protocol.endpoint import UrlEndpoint, read_token
from tests.support.aftermath import (
    Story,
    check_no_leftovers,
    check_result,
    check_run,
    committed_in,
    read_story,
    until_cleaned_up,
)
from tests.support.killing import (
    agents,
    executors_of,
    kill,
    send,
    start_coordinator,
    start_run,
    start_worker,
    submit,
    until_quiet,
)
from tests.support.mrruns import until
from tests.support.sampling import sampled
from tests.support.steppedjobs import MAPS, SteppedJob, stepped_job


@pytest.fixture
def job() -> Iterator[SteppedJob]:
    with stepped_job() as made:
        yield made


def state_of(job: SteppedJob) -> str:
    client = CoordinatorClient(FolderEndpoint(job.root / "state"), deadline_s=5)
    try:
        return client.status(1)[0].state
    except MapReduceError:
        return ""
    finally:
        client.close()


def complete(job: SteppedJob) -> Story:
    """Wait for the job's end, end everybody in order, and judge."""
    until(lambda: state_of(job) == "Complete", "the end of the job", job.story)
    story = check_result(job, job.root / "state")
    until_cleaned_up(job.root / "state")
    for process in reversed(job.started):
        if process.poll() is None:
            process.terminate()
    until_quiet(job.root)
    check_no_leftovers(job, job.out, job.root / "state", job.root / "scratch")
    assert not list((job.root / "scratch").iterdir())
    return story


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("task", "place"),
    sampled([("map-0", "begin"), ("map-3", "end"), ("map-5", "begin"), ("reduce-0", "begin")], 2, seed="coordinator"),
)
def test_workers_of_a_killed_coordinator_come_back_and_keep_running_their_attempts(
    job: SteppedJob, task: str, place: str
) -> None:
    job.close_gate(task, place)
    first = start_coordinator(job)
    start_worker(job, "worker-a")
    start_worker(job, "worker-b")
    submit(job)
    job.until_at(task, place)
    kill([first.process.pid])
    second = start_coordinator(job)
    assert second.is_running, job.story()
    until(lambda: job.story().count("in epoch 2") == 2, "both workers to come back", job.story)
    job.open_gate(task, place)
    story = complete(job)
    assert set(job.begun().values()) == {1}, "an attempt was not kept"
    assert story.epochs == 2
    assert story.committers[task].endswith(" a1")


def test_a_stopped_worker_is_refused_after_its_lease_and_its_files_are_never_read(job: SteppedJob) -> None:
    job.close_gate("map-3", "end")
    start_coordinator(job)
    zombie = start_worker(job, "worker-z")
    submit(job, "--lease", "1s")
    job.until_at("map-3", "end")
    stopped = [zombie.process.pid, *executors_of(zombie.process.pid)]
    send(stopped, signal.SIGSTOP)
    job.let_say("map-3", 1, "never=read")  # the zombie's version of the task differs
    job.close_gate("map-4")  # holds the job while the zombie reports
    worker = start_worker(job, "worker-b")
    job.open_gate("map-3", "end")
    job.until_at("map-4")
    assert "map-3" in committed_in(job.root / "state") or job.visits("map-3") == 2
    until(lambda: "WorkerLeft" in read_story(job.root / "state").kinds, "the end of the silence", job.story)
    send(stopped, signal.SIGCONT)
    until(lambda: zombie.said.count("joined the coordinator") == 2, "the zombie to register anew", job.story)
    job.open_gates()
    story = complete(job)
    assert worker.is_running is False
    assert story.committers["map-3"] == "worker-b a2"
    assert story.released["map-3 LOST"] == 1


def test_a_coordinator_that_was_stopped_for_longer_than_a_lease_holds_nobody_s_silence_against_him(
    job: SteppedJob,
) -> None:
    for task in ("map-1", "map-2"):
        job.close_gate(task, "end")
    coordinator = start_coordinator(job)
    start_worker(job, "worker-a")
    start_worker(job, "worker-b")
    submit(job, "--lease", "1s")
    job.until_at("map-1", "end")
    job.until_at("map-2", "end")
    everybody = [process.pid for process in job.started if process.poll() is None]
    everybody += [executor for pid in everybody for executor in executors_of(pid)]
    send(everybody, signal.SIGSTOP)
    wake_at_s = time.monotonic() + 2.5  # the lease itself has to pass: nothing else is waited for here
    while time.monotonic() < wake_at_s:
        time.sleep(0.1)
    send([coordinator.process.pid], signal.SIGCONT)  # it comes first, and finds only silence
    until(lambda: state_of(job) == "Mapping", "the coordinator to answer", job.story)
    send(everybody, signal.SIGCONT)
    job.open_gates()
    story = complete(job)
    assert set(job.begun().values()) == {1}
    assert not [name for name in story.released if name.endswith("LOST")]


def test_an_old_coordinator_that_wakes_up_beside_a_new_one_never_answers_again_and_ends(job: SteppedJob) -> None:
    job.close_gate("map-2", "end")
    old = start_coordinator(job)
    endpoint = read_endpoint(job.root / "state")
    assert endpoint is not None
    admin = read_token(job.root / "state" / "token", "admin")
    start_worker(job, "worker-a")
    start_worker(job, "worker-b")
    submit(job)
    job.until_at("map-2", "end")
    send([old.process.pid], signal.SIGSTOP)
    (job.root / "state" / "lock").unlink()  # as on a volume whose locks do not outlive a lost connection
    new = start_coordinator(job)
    now = read_endpoint(job.root / "state")
    assert now is not None
    assert now.epoch == endpoint.epoch + 1
    client = CoordinatorClient(UrlEndpoint(endpoint.url, admin), deadline_s=20)
    send([old.process.pid], signal.SIGCONT)
    with pytest.raises(MapReduceError):
        client.status(1)
    client.close()
    assert old.wait() not in {0, -9}
    assert old.said.count("mr: ") == 1
    assert read_endpoint(job.root / "state") == now, "the old one has touched what is the new one's"
    assert new.is_running
    job.open_gates()
    assert complete(job).committers["map-2"].endswith(" a1"), "an attempt of the older epoch stays committable"
    assert set(job.begun().values()) == {1}


def test_a_stopped_agent_of_a_run_is_not_waited_for(job: SteppedJob) -> None:
    """Its task is done by the other worker; when it wakes up it is told that no work is left."""
    job.close_gate("map-5")
    run = start_run(job, "--lease", "3s")
    job.until_at("map-5")
    until(lambda: len(committed_in(job.out / "_mapreduce")) == MAPS - 1, "the other maps", job.story)
    (note,) = job.seen.glob("map-5@begin.a1.*")
    executor = int(note.suffix[1:])
    agent = next(pid for pid in agents(job.root) if executor in executors_of(pid))
    send([agent, executor], signal.SIGSTOP)
    job.until_at("map-5", attempt=2)
    job.open_gates()
    until(lambda: "map-5" in committed_in(job.out / "_mapreduce"), "the map by another worker", job.story)
    send([agent, executor], signal.SIGCONT)
    run.finishes()
    story = check_run(job)
    assert story.committers["map-5"].endswith(" a2")
