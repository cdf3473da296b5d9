"""Workers lost amid their work: what was committed is not done again, and the output is the oracle's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gatedjobs import MAPS, REDUCES, Stage
from tests.support.podprocesses import kill_container, kill_processes

SHUFFLES = [pytest.param("Shared", id="shared"), pytest.param("Peer", id="peer", marks=pytest.mark.full)]
MAP_NAMES = [f"map-{index}" for index in range(MAPS)]


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_worker_pod_deleted_amid_a_map_costs_no_other_attempt(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    job = stage.start(f"amid-map-{shuffle.lower()}", shuffle, "map-begin", "map-0@map-end", "map-1@map-end")
    job.until_at("map-end", 4)
    job.until_kept(maps=2)
    stage.namespace.kill_pod(job.pods("worker", 2)[0])
    job.until_at("map-end", 5)  # the replacement is there, or the other worker was free
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert (begun["map-0"], begun["map-1"]) == (1, 1)
    assert sorted((begun["map-2"], begun["map-3"])) == [1, 2]


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Shared", "Peer"])
def test_a_worker_pod_deleted_amid_a_reduce_leaves_all_maps_as_they_are(
    stage: Stage, shuffle: str, tmp_path: Path
) -> None:
    job = stage.start(f"amid-reduce-{shuffle.lower()}", shuffle, "map-begin", "map-end")
    job.until_at("reduce-begin", 2)
    job.until_kept(maps=MAPS)
    stage.namespace.kill_pod(job.pods("worker", 2)[0])
    job.until_at("reduce-begin", 3)
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert [begun[name] for name in MAP_NAMES] == [1] * MAPS
    assert sorted((begun["reduce-0"], begun["reduce-1"])) == [1, 2]


@pytest.mark.full
@pytest.mark.parametrize("shuffle", ["Peer", "Shared"])
def test_all_workers_deleted_at_once_are_replaced_and_go_on(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    job = stage.start(f"all-{shuffle.lower()}", shuffle, "map-begin", "map-end")
    job.until_at("reduce-begin", 2)
    job.until_kept(maps=MAPS)
    for pod in job.pods("worker", 2):
        stage.namespace.kill_pod(pod)
    job.until_at("reduce-begin", 4)
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert [begun[name] for name in MAP_NAMES] == [1] * MAPS


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_killed_processes_of_a_worker_come_back(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    """`kill -9` one after the other: the process that runs the job's code, the executors' container, the agent."""
    job = stage.start(f"killed-{shuffle.lower()}", shuffle, "map-begin", replicas=1)
    job.until_at("map-end", 1)
    (pod,) = job.pods("worker")
    assert kill_processes(stage.namespace, pod, "executor", "mapreduce_worker.executor --socket ") >= 1
    job.until_at("map-end", 2)
    assert job.pods("worker") == [pod]  # only the process was made anew
    kill_container(stage.namespace, pod, "executor")
    job.until_at("map-end", 3)
    assert job.pods("worker") == [pod]  # only the container was
    kill_container(stage.namespace, pod, "agent")
    job.until_at("map-end", 4)
    assert pod not in job.pods("worker")
    job.open("all")
    job.check_complete(tmp_path)
    begun = job.begun()
    assert (begun.total(), begun["reduce-0"], begun["reduce-1"]) == (MAPS + REDUCES + 3, 1, 1)


#: The first attempt of one map never ends by itself.
HANGING = """\
import os
import time


def mapper(line, ctx):
    while ctx.task_id == "map-3" and ctx.attempt == 1 and os.path.isdir(ctx.args["gates"]):
        time.sleep(0.05)
    for token in line.split():
        word, _, value = token.partition("=")
        yield word, value


def reducer(word, values):
    yield word, " ".join(values)
"""


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_map_that_hangs_on_one_pod_is_finished_by_another(stage: Stage, shuffle: str, tmp_path: Path) -> None:
    job = stage.start(f"straggler-{shuffle.lower()}", shuffle, code=HANGING, speculation="Stragglers")
    job.check_complete(tmp_path)
