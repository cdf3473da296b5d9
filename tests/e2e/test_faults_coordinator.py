"""The coordinator lost in each phase: it goes on from its log, and nothing that ran or was committed is done again."""

from __future__ import annotations

import re
import time
from itertools import count
from pathlib import Path

import pytest

from cluster.running import wait_until
from tests.support.gatedjobs import MAPS, REDUCES, GatedJob, Stage
from tests.support.kubecalls import WITHIN_S, condition
from tests.support.podprocesses import kill_container, kill_when_there, lose_pod

SHUFFLES = [pytest.param("Shared", id="shared"), pytest.param("Peer", id="peer", marks=pytest.mark.full)]
OTHER_FIRST = [pytest.param("Peer", id="peer"), pytest.param("Shared", id="shared", marks=pytest.mark.full)]
PROGRESS_WITHIN_S = 30.0
"""The aim is 10 s, on a machine that is not busy with other things as well."""
PARTS = 16


@pytest.mark.parametrize("shuffle", OTHER_FIRST)
def test_a_coordinator_pod_deleted_in_each_phase_finds_its_workers_still_at_work(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    job = stage.start(f"phases-{shuffle.lower()}", shuffle, "map-begin")
    job.until_at("map-end", 2)
    lost_s = time.monotonic()
    lose(job)
    job.open("map-end")
    job.until_at("reduce-begin", 1)  # the maps were committed and a reduce was given, for which it takes a coordinator
    to_progress_s = time.monotonic() - lost_s
    print(f"from the loss of the coordinator to progress: {to_progress_s:.1f} s")
    job.until_at("reduce-begin", 2)
    lose(job)
    job.open("all")
    ended = job.check_complete(tmp_path)
    job.check_begun_once()
    assert job.begun().total() == MAPS + REDUCES
    last = epoch(job)
    lose(job)
    await_epoch(job, after=last)
    assert condition(job.found(), "Complete") == condition(ended, "Complete")
    assert to_progress_s < PROGRESS_WITHIN_S


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
def test_a_killed_coordinator_process_comes_back_in_its_pod(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    job = stage.start(f"kill-{shuffle.lower()}", shuffle, "map-begin", "map-0@map-end", "map-1@map-end")
    job.until_at("map-end", 4)
    before = job.namespace.get("pod", job.coordinator())["metadata"]["uid"]
    kill_container(stage.namespace, job.coordinator(), "coordinator")
    await_said(job, f"goes on: 2 of {MAPS} maps and 0 of {REDUCES} reduces are committed already")
    job.open("all")
    job.check_complete(tmp_path)
    job.check_begun_once()
    assert job.namespace.get("pod", job.coordinator())["metadata"]["uid"] == before


@pytest.mark.full
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_coordinator_killed_while_it_publishes_ends_what_it_began(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    job = stage.start(f"publish-{shuffle.lower()}", shuffle, "map-begin", "map-end", reducers=PARTS)
    job.until_at("reduce-begin", 2)
    with kill_when_there(stage.namespace, job.coordinator(), "coordinator", f"/mr/claims/stage/out/{job.name}/part-*"):
        job.open("all")
    await_said(job, f"goes on: {MAPS} of {MAPS} maps and {PARTS} of {PARTS} reduces")
    job.check_complete(tmp_path)
    job.check_begun_once()


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
def test_a_coordinator_and_all_workers_lost_at_once_keep_what_was_committed(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    job = stage.start(f"both-{shuffle.lower()}", shuffle, "map-begin", "map-0@map-end", "map-1@map-end")
    job.until_at("map-end", 4)
    job.until_kept(maps=2)
    for pod in [*job.pods("worker", 2), *job.pods("coordinator")]:
        stage.namespace.kill_pod(pod)
    job.until_at("map-end", 6)
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert [begun[f"map-{index}"] for index in range(MAPS)] == [1, 1, 2, 2]


def lose(job: GatedJob) -> None:
    lose_pod(job.namespace, job.coordinator(), "coordinator")


def await_epoch(job: GatedJob, *, after: int) -> None:
    """Waits until the coordinator serves in a later epoch."""
    wait_until(f"an epoch of {job.name} after {after}", (epoch(job) > after for _ in count()), timeout_s=WITHIN_S)


def await_said(job: GatedJob, words: str) -> None:
    """Waits until the coordinator that runs now has said something."""
    wait_until(f"{words!r} from {job.name}", (words in job.coordinator_log() for _ in count()), timeout_s=WITHIN_S)


def epoch(job: GatedJob) -> int:
    """The epoch in which the coordinator serves; 0 while it does not."""
    found = re.search(r"Epoch (\d+) of job", job.coordinator_log())
    return int(found[1]) if found else 0
